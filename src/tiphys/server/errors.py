"""Exception -> (HTTP status, gRPC code, message): one shape for every endpoint.

Source: api-ui 2.3 "Errors".
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import orjson

from tiphys.apimachinery.apierrors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
)
from tiphys.apimachinery.selector import SelectorError
from tiphys.engine.states import StageError
from tiphys.identity.sessions import LoginError, TooManyLoginsError, UsernameTooLongError
from tiphys.identity.tokens import TokenError
from tiphys.kube.discovery import DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.codec import InvalidObject


class Code(IntEnum):
    """gRPC status codes, which Argo CD's clients read."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_HTTP = {
    Code.CANCELLED: 408,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_KUBERNETES: tuple[tuple[type[ApiError], Code], ...] = (
    (NotFound, Code.NOT_FOUND),
    (AlreadyExists, Code.ALREADY_EXISTS),
    (Invalid, Code.INVALID_ARGUMENT),
    (BadRequest, Code.FAILED_PRECONDITION),
    (Unauthorized, Code.UNAUTHENTICATED),
    (Forbidden, Code.PERMISSION_DENIED),
    (Conflict, Code.ABORTED),
    (TooManyRequests, Code.RESOURCE_EXHAUSTED),
)


class RequestError(Exception):
    """A request that is answered with an error; the message is for the client."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status of the code."""
        return _HTTP[self.code]

    def body(self) -> bytes:
        """The error as a whole answer."""
        return orjson.dumps({"error": self.message, "code": int(self.code), "message": self.message})

    def stream_error(self) -> dict[str, Any]:
        """The error as an item of a stream."""
        return {
            "error": {
                "grpc_code": int(self.code),
                "http_code": self.http_status,
                "message": self.message,
                "http_status": _PHRASES.get(self.http_status, ""),
            }
        }


class PlainError(Exception):
    """An answer in plain text, for what is refused before it is an API call."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def request_error(error: Exception) -> RequestError | None:
    """The RequestError an exception stands for; None is a bug of ours, answered without its details."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ApiError):
        code = next((code for kind, code in _KUBERNETES if isinstance(error, kind)), Code.INTERNAL)
        return RequestError(code, error.message)
    if isinstance(error, InvalidObject | SelectorError | UsernameTooLongError):
        return RequestError(Code.INVALID_ARGUMENT, str(error))
    if isinstance(error, TokenError):
        return RequestError(Code.UNAUTHENTICATED, f"invalid session: {error}")
    if isinstance(error, LoginError):
        return RequestError(Code.UNAUTHENTICATED, str(error))
    if isinstance(error, TooManyLoginsError):
        return RequestError(Code.RESOURCE_EXHAUSTED, str(error))
    if isinstance(error, ClusterUnreachable):
        return RequestError(Code.UNAVAILABLE, str(error))
    if isinstance(error, StageError):
        # What Git or the spec says is wrong; only some of it may pass by itself.
        code = Code.UNAVAILABLE if error.retry_after_s is not None else Code.FAILED_PRECONDITION
        return RequestError(code, error.message)
    if isinstance(error, DiscoveryError):
        return RequestError(Code.UNAVAILABLE, str(error))
    if isinstance(error, RecursionError) or (isinstance(error, TypeError) and "Recursion limit" in str(error)):
        return RequestError(Code.INVALID_ARGUMENT, "the object is nested too deep")
    return None


def invalid_argument(message: str) -> RequestError:
    """The request itself is wrong."""
    return RequestError(Code.INVALID_ARGUMENT, message)


def failed_precondition(message: str) -> RequestError:
    """The request is right but not now."""
    return RequestError(Code.FAILED_PRECONDITION, message)


def permission_denied(message: str = "permission denied") -> RequestError:
    """Not allowed; without a message it also hides whether the thing exists."""
    return RequestError(Code.PERMISSION_DENIED, message)
