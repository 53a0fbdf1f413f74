"""Reviews: who am I, may I, is this token good. Nothing is stored; every access question is answered with yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import BadRequest
from tiphys.devcluster.auth import ADMIN, Authenticator, User
from tiphys.runtime.secret import Secret

Object = dict[str, Any]

ALLOWED_REASON = "embedded cluster: every request is allowed"

_EVERYTHING = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
_EVERY_URL = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]


def answer_review(kind: str, obj: Object, *, user: User, namespace: str, auth: Authenticator, now: str) -> Object:
    """The review with its status filled in. Raises BadRequest, Invalid."""
    if kind == "SelfSubjectReview":
        return {**obj, "metadata": {"creationTimestamp": now}, "status": {"userInfo": user.to_json()}}
    if kind == "SelfSubjectRulesReview":
        status = {
            "resourceRules": _EVERYTHING,
            "nonResourceRules": _EVERY_URL,
            "incomplete": False,
        }
        return {**obj, "status": status}
    if kind == "TokenReview":
        return {**obj, "status": _token_status(obj.get("spec") or {}, auth)}
    spec = obj.get("spec") or {}
    if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
        cause = apierrors.invalid_value(
            "spec.resourceAttributes",
            spec.get("nonResourceAttributes"),
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )
        raise apierrors.invalid("", "authorization.k8s.io", "", [cause])
    if kind == "LocalSubjectAccessReview":
        asked = (spec.get("resourceAttributes") or {}).get("namespace", "")
        if asked != namespace:
            raise BadRequest(
                f"spec.resourceAttributes.namespace ({asked}) must match the namespace of the request ({namespace})"
            )
    return {**obj, "status": {"allowed": True, "reason": ALLOWED_REASON}}


def _token_status(spec: Mapping[str, Any], auth: Authenticator) -> Object:
    token = Secret(str(spec.get("token") or ""))
    audiences = [str(one) for one in spec.get("audiences") or ()]
    user = auth.user_of(b"Bearer " + token.reveal().encode())
    if user is not ADMIN:
        user = auth.service_account_of(token.reveal().encode(), audiences)
    if user is None:
        return {"user": {}, "error": "invalid bearer token"}
    status: Object = {"authenticated": True, "user": user.to_json()}
    if audiences:
        status["audiences"] = audiences
    return status
