"""metav1.Status and the ApiError tree built from it.

A server raises what the functions below build and sends `to_status()`; a client turns the answer back into the same
class with `ApiError.from_status`. Messages are Kubernetes' to the letter, because people and programs match on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

OPTIMISTIC_LOCK_MESSAGE: Final = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


class ApiError(Exception):
    """A request an API server refused or could not serve.

    `code` is the HTTP status, `reason` the one-word cause (empty when the server gave none), `details` the Status'
    details as sent: name, group, kind, uid, causes, retryAfterSeconds, each only when there is one.
    """

    code: int = 500
    reason: str = ""

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = type(self).code if code is None else code
        self.reason = type(self).reason if reason is None else reason
        self.details: dict[str, Any] = dict(details or {})

    @classmethod
    def from_status(cls, status: Mapping[str, Any] | None, http_code: int) -> ApiError:
        """The error a server's answer stands for.

        Anything that is not a Status (a proxy's page, None) gets the sentence client-go gives for its HTTP code. The
        class follows `reason`; where the reason is unknown, the code.
        """
        if status is None or status.get("kind") != "Status":
            return unexpected(http_code, "unknown")
        code = status.get("code")
        code = code if isinstance(code, int) and code > 0 else http_code
        reason = str(status.get("reason") or "")
        found = _BY_REASON.get(reason) or _BY_CODE.get(code, ApiError)
        details = status.get("details")
        return found(
            str(status.get("message") or "") or _generic_message(code, "unknown"),
            code=code,
            reason=reason,
            details=details if isinstance(details, Mapping) else None,
        )

    @property
    def causes(self) -> tuple[FieldCause, ...]:
        """The single problems listed in `details`, in the server's order."""
        found = self.details.get("causes") or ()
        return tuple(
            FieldCause(str(c.get("reason") or ""), str(c.get("message") or ""), str(c.get("field") or ""))
            for c in found
            if isinstance(c, Mapping)
        )

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the server asks to be tried again, None when it did not say."""
        seconds = self.details.get("retryAfterSeconds")
        return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None

    def to_status(self) -> dict[str, Any]:
        """The metav1.Status to send, its fields in Kubernetes' order.

        Source: dev-cluster 2.
        """
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        details = {key: self.details[key] for key in _DETAIL_ORDER if self.details.get(key)}
        if details:
            status["details"] = details
        status["code"] = self.code
        return status


_DETAIL_ORDER: Final = ("name", "group", "kind", "uid", "causes", "retryAfterSeconds")


class BadRequest(ApiError):
    """400: the request itself is malformed."""

    code = 400
    reason = "BadRequest"


class Unauthorized(ApiError):
    """401: the caller is not known."""

    code = 401
    reason = "Unauthorized"


class Forbidden(ApiError):
    """403: the caller is known and may not."""

    code = 403
    reason = "Forbidden"


class NotFound(ApiError):
    """404: there is no such object, or no such resource."""

    code = 404
    reason = "NotFound"


class MethodNotAllowed(ApiError):
    """405: the resource does not know this verb."""

    code = 405
    reason = "MethodNotAllowed"


class NotAcceptable(ApiError):
    """406: no media type the caller accepts can be produced."""

    code = 406
    reason = "NotAcceptable"


class AlreadyExists(ApiError):
    """409 on create: the name is taken."""

    code = 409
    reason = "AlreadyExists"


class Conflict(ApiError):
    """409 on change: somebody else changed the object, or owns the field."""

    code = 409
    reason = "Conflict"


class Gone(ApiError):
    """410: the thing asked for is no longer kept."""

    code = 410
    reason = "Gone"


class Expired(Gone):
    """410 of a resourceVersion or continue token that is too old: list again.

    `continue_token`, when a server gives one, reads the rest of the expired list as it is now.
    """

    reason = "Expired"
    continue_token: str = ""


class RequestEntityTooLarge(ApiError):
    """413: the body exceeds the server's limit."""

    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """415: the body is in a form the resource does not read."""

    code = 415
    reason = "UnsupportedMediaType"


class Invalid(ApiError):
    """422: the object was understood and breaks a rule; `causes` says which."""

    code = 422
    reason = "Invalid"


class TooManyRequests(ApiError):
    """429: try later, see `retry_after_s`."""

    code = 429
    reason = "TooManyRequests"


class InternalError(ApiError):
    """500: the server failed."""

    code = 500
    reason = "InternalError"


class ServerTimeout(ApiError):
    """500 that asks to be tried again."""

    code = 500
    reason = "ServerTimeout"


class ServiceUnavailable(ApiError):
    """503: the server, or the one behind it, is not there now."""

    code = 503
    reason = "ServiceUnavailable"


class Timeout(ApiError):
    """504: no answer in time; the request may still have taken effect."""

    code = 504
    reason = "Timeout"


_CLASSES: Final[tuple[type[ApiError], ...]] = (
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    AlreadyExists,
    Conflict,
    Gone,
    Expired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    Invalid,
    TooManyRequests,
    ServerTimeout,
    InternalError,
    ServiceUnavailable,
    Timeout,
)
_BY_REASON: Final = {one.reason: one for one in _CLASSES}
# Where two classes share a code, the later one is meant when no reason is given.
_BY_CODE: Final = {one.code: one for one in _CLASSES}


# ---- the problems of one field ----


@dataclass(frozen=True, slots=True)
class FieldCause:
    """One problem of one field: the API's cause type, the sentence without the path, and the path."""

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        """`spec.x: Required value`, the form used in messages."""
        return f"{self.field}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """The cause as it stands in `details.causes`."""
        shown = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: value for key, value in shown.items() if value}


def required(field: str, detail: str = "") -> FieldCause:
    """A field that must be given."""
    return FieldCause("FieldValueRequired", _with("Required value", detail), field)


def invalid_value(field: str, value: object, detail: str = "") -> FieldCause:
    """A value that breaks a rule of its field."""
    return FieldCause("FieldValueInvalid", _with(f"Invalid value: {_shown(value)}", detail), field)


def type_invalid(field: str, value: object, detail: str = "") -> FieldCause:
    """A value of the wrong type."""
    return FieldCause("FieldValueTypeInvalid", _with(f"Invalid value: {_shown(value)}", detail), field)


def not_supported(field: str, value: object, supported: Iterable[str]) -> FieldCause:
    """A value outside an enumeration; `supported` is shown in the order given."""
    quoted = ", ".join(go_quote(one) for one in supported)
    return FieldCause(
        "FieldValueNotSupported",
        _with(f"Unsupported value: {_shown(value)}", f"supported values: {quoted}" if quoted else ""),
        field,
    )


def duplicate(field: str, value: object) -> FieldCause:
    """A value that another list item has already."""
    return FieldCause("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", field)


def value_not_found(field: str, value: object) -> FieldCause:
    """A reference to something that is not there."""
    return FieldCause("FieldValueNotFound", f"Not found: {_shown(value)}", field)


def forbidden_value(field: str, detail: str = "") -> FieldCause:
    """A field that may not be set, or not so, here and now."""
    return FieldCause("FieldValueForbidden", _with("Forbidden", detail), field)


def too_long(field: str, max_length: int, unit: str = "bytes") -> FieldCause:
    """A text of more than `max_length` units; `unit` is `bytes` or `characters`. A negative length is not shown."""
    said = f"may not be more than {max_length} {unit if max_length != 1 else unit[:-1]}"
    return FieldCause("FieldValueTooLong", f"Too long: {said if max_length >= 0 else 'value is too long'}", field)


def too_many(field: str, actual: int, maximum: int) -> FieldCause:
    """A list of more than `maximum` items."""
    items = "item" if maximum == 1 else "items"
    return FieldCause("FieldValueTooMany", f"Too many: {actual}: must have at most {maximum} {items}", field)


def too_few(field: str, actual: int, minimum: int) -> FieldCause:
    """A list of fewer than `minimum` items."""
    items = "item" if minimum == 1 else "items"
    return FieldCause("FieldValueTooFew", f"Too few: {actual}: must have at least {minimum} {items}", field)


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def _shown(value: object) -> str:
    if isinstance(value, str):
        return go_quote(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return go_json(value)


# ---- whole errors ----


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def _named(name: str, group: str, kind: str) -> dict[str, Any]:
    return {"name": name, "group": group, "kind": kind}


def not_found(resource: str, group: str, name: str) -> NotFound:
    """`deployments.apps "x" not found`; `resource` is the plural."""
    return NotFound(f"{_qualified(resource, group)} {go_quote(name)} not found", details=_named(name, group, resource))


def already_exists(resource: str, group: str, name: str) -> AlreadyExists:
    """`configmaps "x" already exists`."""
    return AlreadyExists(
        f"{_qualified(resource, group)} {go_quote(name)} already exists", details=_named(name, group, resource)
    )


def conflict(resource: str, group: str, name: str, why: str = OPTIMISTIC_LOCK_MESSAGE) -> Conflict:
    """`Operation cannot be fulfilled on ...`; without `why`, that of a lost race on the resourceVersion."""
    return Conflict(
        f"Operation cannot be fulfilled on {_qualified(resource, group)} {go_quote(name)}: {why}",
        details=_named(name, group, resource),
    )


def apply_conflict(causes: Sequence[FieldCause], message: str) -> Conflict:
    """Fields of a server-side apply that other managers own."""
    return Conflict(message, details={"causes": [cause.to_json() for cause in causes]})


def invalid(kind: str, group: str, name: str, causes: Sequence[FieldCause]) -> Invalid:
    """`Deployment.apps "a" is invalid: [first, second]`; one cause stands without brackets, equal ones once.

    Source: apimachinery pkg/api/errors NewInvalid, pkg/util/errors NewAggregate.
    """
    texts = list(dict.fromkeys(str(cause) for cause in causes))
    message = f"{_qualified(kind, group)} {go_quote(name)} is invalid"
    if texts:
        message += f": {texts[0] if len(texts) == 1 else '[' + ', '.join(texts) + ']'}"
    return Invalid(message, details=_named(name, group, kind) | {"causes": [cause.to_json() for cause in causes]})


def forbidden(resource: str, group: str, name: str, why: str) -> Forbidden:
    """`pods "x" is forbidden: why`; without a name the resource, without a resource only the why."""
    if not resource:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{_qualified(resource, group)} is forbidden: {why}"
    else:
        message = f"{_qualified(resource, group)} {go_quote(name)} is forbidden: {why}"
    return Forbidden(message, details=_named(name, group, resource))


def unauthorized(why: str = "Unauthorized") -> Unauthorized:
    """401 with the word kube-apiserver sends."""
    return Unauthorized(why)


def bad_request(message: str) -> BadRequest:
    """400 with this sentence."""
    return BadRequest(message)


def expired(message: str) -> Expired:
    """410 of a version or token too old, with this sentence."""
    return Expired(message)


def method_not_allowed(resource: str, group: str, action: str) -> MethodNotAllowed:
    """`patch is not supported on resources of kind "bindings"`."""
    return MethodNotAllowed(
        f"{action} is not supported on resources of kind {go_quote(_qualified(resource, group))}",
        details=_named("", group, resource),
    )


def unsupported_media_type(accepted: Iterable[str]) -> UnsupportedMediaType:
    """415 that lists what is read."""
    return UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    )


def not_acceptable(accepted: Iterable[str]) -> NotAcceptable:
    """406 that lists what can be written."""
    return NotAcceptable(
        "only the following media types are accepted: " + ", ".join(accepted),
    )


def too_many_requests(message: str, retry_after_s: int) -> TooManyRequests:
    """429 to be tried again after so many whole seconds."""
    return TooManyRequests(message, details={"retryAfterSeconds": retry_after_s})


def request_too_large(message: str) -> RequestEntityTooLarge:
    """413: `Request entity too large: limit is 3145728`."""
    return RequestEntityTooLarge(f"Request entity too large: {message}")


def internal_error(why: str) -> InternalError:
    """`Internal error occurred: why`."""
    return InternalError(f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


def service_unavailable(message: str) -> ServiceUnavailable:
    """503 with this sentence."""
    return ServiceUnavailable(message)


def timeout(message: str, retry_after_s: int = 0) -> Timeout:
    """`Timeout: message`."""
    return Timeout(f"Timeout: {message}", details={"retryAfterSeconds": retry_after_s})


def unexpected(code: int, server_message: str, *, retry_after_s: int = 0) -> ApiError:
    """The error of an answer that carries no Status, with client-go's sentence for its code.

    Source: apimachinery pkg/api/errors NewGenericServerResponse.
    """
    found = _BY_CODE.get(code) or (InternalError if code >= 500 else ApiError)
    details: dict[str, Any] = {"causes": [{"reason": "UnexpectedServerResponse", "message": server_message}]}
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
    return found(_generic_message(code, server_message), code=code, details=details)


_GENERIC: Final = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    406: "the server was unable to respond with a content type that the client supports",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def _generic_message(code: int, server_message: str) -> str:
    if code in (403, 415) or (code == 406 and server_message not in ("", "unknown")):
        return server_message
    if code in _GENERIC:
        return _GENERIC[code]
    if code >= 500:
        return f"an error on the server ({go_quote(server_message)}) has prevented the request from succeeding"
    return f"the server responded with the status code {code} but did not return more information"


# ---- Go's ways of writing values into sentences ----

_SHORT_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def go_quote(text: str) -> str:
    """`text` as Go's %q writes it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = []
    for char in text:
        if char in _SHORT_ESCAPES:
            out.append(_SHORT_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        elif (point := ord(char)) < 0x80:
            out.append(f"\\x{point:02x}")
        else:
            out.append(f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}")
    return '"' + "".join(out) + '"'


_HTML: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def go_json(value: object) -> str:
    """`value` as Go's json.Marshal writes a map: keys sorted, no spaces, HTML characters escaped."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).translate(_HTML)
