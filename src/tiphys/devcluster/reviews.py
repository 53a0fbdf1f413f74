"""Reviews: who am I, may I, is this token good. Nothing is stored.

Source: kubernetes pkg/registry/{authentication,authorization}, pkg/apis/authorization/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import BadRequest, FieldCause
from tiphys.devcluster.auth import ADMIN, ANONYMOUS, Authenticator, User
from tiphys.devcluster.rbac import Attributes, Rule
from tiphys.devcluster.rbac_gate import Gate
from tiphys.runtime.secret import Secret

Object = dict[str, Any]


def answer_review(
    kind: str, obj: Object, *, user: User, namespace: str, auth: Authenticator, gate: Gate, now: str
) -> Object:
    """The review with its status filled in. Raises BadRequest, Invalid."""
    if kind == "SelfSubjectReview":
        return {**obj, "metadata": {"creationTimestamp": now}, "status": {"userInfo": user.to_json()}}
    if kind == "SelfSubjectRulesReview":
        # Written anew rather than completed: the API server gives an empty spec back.
        head = {key: obj[key] for key in ("kind", "apiVersion")}
        return {**head, "metadata": {}, "spec": {}, "status": _rules_status(obj.get("spec") or {}, user, gate)}
    if kind == "TokenReview":
        return {**obj, "status": _token_status(obj.get("spec") or {}, auth)}
    spec = obj.get("spec") or {}
    if kind == "LocalSubjectAccessReview":
        given = (obj.get("metadata") or {}).get("namespace") or ""
        if given not in ("", namespace):
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        obj = {**obj, "metadata": {**(obj.get("metadata") or {}), "namespace": namespace}}
    causes = _problems(kind, obj, spec, namespace)
    if causes:
        raise apierrors.invalid("", "authorization.k8s.io", "", causes)  # the kind is not known there either
    asker = user if kind == "SelfSubjectAccessReview" else _subject(spec)
    allowed, why = gate.decide(_attributes(asker, spec))
    return {**obj, "status": {"allowed": allowed, "reason": why} if why else {"allowed": allowed}}


def _problems(kind: str, obj: Object, spec: Mapping[str, Any], namespace: str) -> list[FieldCause]:
    on_resource, on_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    shown = {"Path": (on_path or {}).get("path") or "", "Verb": (on_path or {}).get("verb") or ""}
    causes: list[FieldCause] = []
    if on_resource is not None and on_path is not None:
        said = "cannot be specified in combination with resourceAttributes"
        causes.append(apierrors.invalid_value("spec.nonResourceAttributes", shown, said))
    if on_resource is None and on_path is None:
        said = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(apierrors.invalid_value("spec.resourceAttributes", None, said))
    if kind != "SelfSubjectAccessReview" and not spec.get("user") and not spec.get("groups"):
        said = "at least one of user or group must be specified"
        causes.append(apierrors.invalid_value("spec.user", "", said))
    metadata = {key: one for key, one in (obj.get("metadata") or {}).items() if one and key != "managedFields"}
    if kind == "LocalSubjectAccessReview":
        metadata.pop("namespace", None)
        if metadata:
            causes.append(apierrors.invalid_value("metadata", obj["metadata"], "must be empty except for namespace"))
        if on_resource is not None and (on_resource.get("namespace") or "") != namespace:
            asked = on_resource.get("namespace") or ""
            said = "must match metadata.namespace"
            causes.append(apierrors.invalid_value("spec.resourceAttributes.namespace", asked, said))
        if on_path is not None:
            said = "disallowed on this kind of request"
            causes.append(apierrors.invalid_value("spec.nonResourceAttributes", shown, said))
    elif metadata:
        causes.append(apierrors.invalid_value("metadata", obj["metadata"], "must be empty"))
    return causes


def _subject(spec: Mapping[str, Any]) -> User:
    extra = tuple((str(key), tuple(values)) for key, values in (spec.get("extra") or {}).items())
    return User(str(spec.get("user") or ""), str(spec.get("uid") or ""), tuple(spec.get("groups") or ()), extra)


def _attributes(user: User, spec: Mapping[str, Any]) -> Attributes:
    asked = spec.get("resourceAttributes")
    if asked is None:
        asked = spec.get("nonResourceAttributes") or {}
        return Attributes(user, str(asked.get("verb") or ""), path=str(asked.get("path") or ""), on_path=True)
    found = {
        key: str(asked.get(key) or "") for key in ("verb", "group", "resource", "subresource", "namespace", "name")
    }
    return Attributes(user, **found)  # type: ignore[arg-type]


def _rules_status(spec: Mapping[str, Any], user: User, gate: Gate) -> Object:
    namespace = str(spec.get("namespace") or "")
    if not namespace:
        raise BadRequest("no namespace on request")
    rules, problem = gate.rules_of(user, namespace)
    status: Object = {
        "resourceRules": [_resource_rule(one) for one in rules if one.resources],
        "nonResourceRules": [
            {"verbs": list(one.verbs), "nonResourceURLs": list(one.urls)} for one in rules if one.urls
        ],
        "incomplete": False,
    }
    if problem:
        status["evaluationError"] = problem
    return status


def _resource_rule(rule: Rule) -> Object:
    shown: Object = {"verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)}
    if rule.names:
        shown["resourceNames"] = list(rule.names)
    return shown


def _token_status(spec: Mapping[str, Any], auth: Authenticator) -> Object:
    token = Secret(str(spec.get("token") or ""))
    audiences = [str(one) for one in spec.get("audiences") or ()]
    user = auth.user_of(b"Bearer " + token.reveal().encode())
    if user is not ADMIN:
        user = auth.service_account_of(token.reveal().encode(), audiences)
    if user is None or user is ANONYMOUS:
        return {"user": {}, "error": "invalid bearer token"}
    status: Object = {"authenticated": True, "user": user.to_json()}
    if audiences:
        status["audiences"] = audiences
    return status
