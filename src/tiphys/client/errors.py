"""What can go wrong between a client and the API, in gRPC's words, which Argo CD's users and scripts know."""

from __future__ import annotations

CODE_NAMES = (
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
)
UNKNOWN, DEADLINE_EXCEEDED, NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE, UNAUTHENTICATED = 2, 4, 5, 7, 14, 16
_OF_STATUS = {
    400: 3,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: NOT_FOUND,
    408: 1,
    409: 10,
    429: 8,
    501: 12,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
}


class ApiFailure(Exception):
    """The API refused or failed; `message` is the server's, `str()` is how Argo CD's CLI prints it."""

    def __init__(self, code: int, message: str) -> None:
        name = CODE_NAMES[code] if 0 <= code < len(CODE_NAMES) else f"Code({code})"
        super().__init__(f"rpc error: code = {name} desc = {message}")
        self.code = code
        self.message = message
        self.path = ""  # of the request, where there was one


class Unreachable(ApiFailure):
    """No answer came: the address, the network, or TLS."""

    def __init__(self, message: str, *, tls: bool = False) -> None:
        super().__init__(UNAVAILABLE, message)
        self.tls = tls


class TimedOut(Exception):
    """A deadline passed while the server had nothing to say."""


class ContextError(Exception):
    """The client's configuration cannot be used; the message says what to do."""


def failure_of_answer(status: int, body: object, text: str) -> ApiFailure:
    """The failure that an answer with an error status stands for."""
    if isinstance(body, dict):
        inner = body.get("error")
        if isinstance(inner, dict):  # an error of a stream
            return ApiFailure(_int(inner.get("grpc_code"), status), str(inner.get("message") or ""))
        message = body.get("message") or inner
        if message:
            return ApiFailure(_int(body.get("code"), status), str(message))
    return ApiFailure(_OF_STATUS.get(status, UNKNOWN), text.strip()[:500] or f"HTTP status {status}")


def _int(code: object, status: int) -> int:
    return code if isinstance(code, int) else _OF_STATUS.get(status, UNKNOWN)
