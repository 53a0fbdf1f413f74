"""Which admission policies, flows, certificate requests and device requests are legal."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import invalid_value, not_supported, required
from tiphys.devcluster.validation_names import IMMUTABLE, Causes, check_choice, check_same

Json = Mapping[str, Any]

_FAILURE_POLICIES: Final = ("Fail", "Ignore")
_ACTIONS: Final = ("Audit", "Deny", "Warn")
_LEVELS: Final = ("Exempt", "Limited")
_PEM: Final = "PEM block type must be CERTIFICATE REQUEST"
_PLACES: Final = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def check_validating_policy(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ValidatingAdmissionPolicy; its expressions are not compiled."""
    spec = obj.get("spec") or {}
    check_choice(causes, "spec.failurePolicy", spec.get("failurePolicy"), _FAILURE_POLICIES)
    if spec.get("matchConstraints") is None:
        causes.append(required("spec.matchConstraints"))
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        detail = "validations or auditAnnotations must contain at least one item"
        causes += [required("spec.validations", detail), required("spec.auditAnnotations", detail)]


def check_mutating_policy(causes: Causes, obj: Json, old: Json | None) -> None:
    """A MutatingAdmissionPolicy; its expressions are not compiled."""
    spec = obj.get("spec") or {}
    check_choice(causes, "spec.failurePolicy", spec.get("failurePolicy"), _FAILURE_POLICIES)
    if spec.get("matchConstraints") is None:
        causes.append(required("spec.matchConstraints"))
    if not spec.get("mutations"):
        causes.append(required("spec.mutations", "mutations must contain at least one item"))
    if not spec.get("reinvocationPolicy"):
        causes.append(required("spec.reinvocationPolicy"))


def check_policy_binding(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ValidatingAdmissionPolicyBinding."""
    spec = obj.get("spec") or {}
    if not spec.get("policyName"):
        causes.append(required("spec.policyName"))
    actions = spec.get("validationActions") or []
    if not actions:
        causes.append(required("spec.validationActions", "at least one validation action is required"))
    causes += [
        not_supported(f"spec.validationActions[{index}]", one, _ACTIONS)
        for index, one in enumerate(actions)
        if one not in _ACTIONS
    ]


def check_flow_schema(causes: Causes, obj: Json, old: Json | None) -> None:
    """A FlowSchema."""
    spec = obj.get("spec") or {}
    precedence = spec.get("matchingPrecedence", 0)
    if precedence <= 0:
        causes.append(invalid_value("spec.matchingPrecedence", precedence, "must be a positive value"))
    if not (spec.get("priorityLevelConfiguration") or {}).get("name"):
        causes.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))


def check_priority_level(causes: Causes, obj: Json, old: Json | None) -> None:
    """A PriorityLevelConfiguration."""
    spec = obj.get("spec") or {}
    kind = spec.get("type", "")
    if not kind:
        causes.append(required("spec.type"))
    elif kind not in _LEVELS:
        causes.append(not_supported("spec.type", kind, _LEVELS))
    elif kind == "Limited" and spec.get("limited") is None:
        causes.append(required("spec.limited", "must not be empty when type is Limited"))


def check_signing_request(causes: Causes, obj: Json, old: Json | None) -> None:
    """A CertificateSigningRequest; that the request itself can be read is not checked."""
    spec = obj.get("spec") or {}
    if old is not None:
        return
    if not _is_request(spec.get("request") or ""):
        causes.append(invalid_value("spec.request", spec.get("request"), _PEM))
    if not spec.get("usages"):
        causes.append(required("spec.usages"))
    if not spec.get("signerName"):
        causes.append(required("spec.signerName"))


def _is_request(encoded: str) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE REQUEST-----" in base64.b64decode(encoded)
    except binascii.Error:
        return False


def check_device_class(causes: Causes, obj: Json, old: Json | None) -> None:
    """A DeviceClass; its expressions are not compiled."""
    for index, selector in enumerate((obj.get("spec") or {}).get("selectors") or ()):
        if selector.get("cel") is None:
            causes.append(required(f"spec.selectors[{index}].cel"))


def check_claim_frozen(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ResourceClaim or a template of one: what is asked for never changes.

    Differs: the value is shown as it was sent, because Go prints it in the names of its internal types.
    """
    if old is not None and obj.get("spec") != old.get("spec"):
        causes.append(invalid_value("spec", obj.get("spec"), IMMUTABLE))


def check_resource_slice(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ResourceSlice."""
    spec = obj.get("spec") or {}
    pool = spec.get("pool") or {}
    if not spec.get("driver"):
        causes.append(required("spec.driver"))
    if not pool.get("name"):
        causes.append(required("spec.pool.name"))
    if pool.get("resourceSliceCount", 0) <= 0:
        count = pool.get("resourceSliceCount", 0)
        causes.append(invalid_value("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if len([one for one in _PLACES if spec.get(one)]) != 1:
        names = ", ".join(f"`{one}`" for one in _PLACES)
        causes.append(required("spec", f"exactly one of {names} is required"))
    if old is not None:
        check_same(causes, "spec.driver", spec.get("driver"), (old.get("spec") or {}).get("driver"))
