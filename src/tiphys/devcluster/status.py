"""Errors as the Status objects clients see."""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery.apierrors import ApiError, Expired, InternalError

# Refusals that say nothing about an object carry empty details.
_EMPTY_DETAILS = frozenset(("NotFound", "MethodNotAllowed", "Invalid", "Forbidden"))


def write_status(error: ApiError) -> bytes:
    """The JSON of an error's Status."""
    return orjson.dumps(status_of(error))


def status_of(error: ApiError) -> dict[str, Any]:
    """The Status, with `details: {}` where the real server writes that.

    Source: recorded kube-apiserver 1.36.2, wire-1.36 (unknown path, wrong method, failed JSON patch).
    """
    status = error.to_status()
    if isinstance(error, Expired) and error.continue_token:
        status["metadata"] = {"continue": error.continue_token}
    if "details" not in status and (error.reason in _EMPTY_DETAILS or error.message.startswith(("406: ", "415: "))):
        code = status.pop("code")
        status = {**status, "details": {}, "code": code}
    return status


def internal(exc: BaseException) -> InternalError:
    """The answer to a request that met a bug or a failed store; what went wrong is in the log."""
    return InternalError(f"Internal error occurred: {type(exc).__name__}")


def is_too_deep(exc: BaseException) -> bool:
    """Whether a request failed because its object is nested deeper than can be walked or written."""
    return isinstance(exc, RecursionError) or (isinstance(exc, TypeError) and "Recursion limit" in str(exc))
