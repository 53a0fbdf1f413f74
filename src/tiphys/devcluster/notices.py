"""Notices: what Warning headers say of a resource that is deprecated and of what the embedded cluster does not do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.devcluster.certificates import CLIENT_SIGNER
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.validation_definitions import has_rules, unrecognized_formats

NEVER_CALLED = (
    "the embedded cluster stores this object but never calls it: requests are neither changed nor refused by it"
)
NEVER_ENTERED = (
    "the embedded cluster runs no containers: a debug container is shown as running, but there is nothing in it to look at;"
    " use a real cluster for that"
)
NEVER_SIGNED = "the embedded cluster signs for kubernetes.io/kube-apiserver-client only: nothing signs for {}"
RULES_NOT_EVALUATED = "the embedded cluster did not evaluate the x-kubernetes-validations rules of this kind"
_DEPRECATED = {
    "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
}


def deprecation(resource: Resource) -> list[str]:
    """What is said of every use of a resource that is going away."""
    if resource.custom is not None:
        return [resource.custom.deprecation] if resource.custom.deprecation else []
    said = _DEPRECATED.get(resource.bucket)
    return [said] if said else []


def of_written(resource: Resource, obj: Mapping[str, Any]) -> list[str]:
    """What the embedded cluster does not do with what was just written."""
    if resource.group == "admissionregistration.k8s.io":
        return [NEVER_CALLED]
    if resource.bucket == "certificatesigningrequests.certificates.k8s.io":
        signer = str((obj.get("spec") or {}).get("signerName") or "")
        return [NEVER_SIGNED.format(signer)] if signer.startswith("kubernetes.io/") and signer != CLIENT_SIGNER else []
    if resource.bucket == "customresourcedefinitions.apiextensions.k8s.io":
        return [*unrecognized_formats(obj), *([RULES_NOT_EVALUATED] if has_rules(obj) else [])]
    if resource.custom is not None and resource.custom.has_rules:
        return [RULES_NOT_EVALUATED]
    return []
