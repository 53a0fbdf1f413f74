"""Get and list: resourceVersion semantics, pages, continue tokens that read a snapshot."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

import orjson

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import BadRequest, Expired, forbidden_value
from tiphys.devcluster.gojson import syntax_error
from tiphys.devcluster.negotiation import Query
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.selecting import Selection
from tiphys.devcluster.store import Record, Store

_MATCHES = ("", "Exact", "NotOlderThan")
_AS_IT_IS_NOW = -1  # the version in the token with which the rest of an expired list is read
_LIST_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the"
    " continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing"
    " with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the"
    " time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Page:
    """A list answer: records in key order, and what the list's metadata says."""

    records: list[Record]
    rv: int
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class ListOptions:
    """metav1.ListOptions of a list or watch request."""

    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    match: str = ""
    send_initial_events: bool | None = None
    allow_bookmarks: bool = False
    timeout_s: float | None = None

    @classmethod
    def parse(cls, query: Query, *, watch: bool) -> ListOptions:
        """From the query. Raises BadRequest, Invalid as the real server does."""
        match = query.text("resourceVersionMatch")
        version = query.text("resourceVersion")
        send = query.flag("sendInitialEvents") if "sendInitialEvents" in query else None
        causes = []
        if watch:
            if send is not None and match != "NotOlderThan":
                causes.append(
                    forbidden_value(
                        "resourceVersionMatch",
                        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                    )
                )
                if match:
                    causes.append(apierrors.not_supported("resourceVersionMatch", match, ("NotOlderThan",)))
            elif match and send is None:
                causes.append(
                    forbidden_value(
                        "resourceVersionMatch",
                        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                    )
                )
                if match != "NotOlderThan":
                    causes.append(apierrors.not_supported("resourceVersionMatch", match, ("NotOlderThan",)))
            if query.text("continue"):
                causes.append(
                    forbidden_value(
                        "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
                    )
                )
        else:
            if send is not None:
                causes.append(forbidden_value("sendInitialEvents", "sendInitialEvents is forbidden for list"))
            if match and not version:
                causes.append(
                    forbidden_value(
                        "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                    )
                )
            if match and query.text("continue"):
                causes.append(
                    forbidden_value(
                        "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
                    )
                )
            if match == "Exact" and version == "0":
                causes.append(
                    forbidden_value(
                        "resourceVersionMatch",
                        'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
                    )
                )
        if match not in _MATCHES and not watch:
            causes.append(apierrors.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        if causes:
            raise apierrors.invalid("ListOptions", "meta.k8s.io", "", causes)
        timeout = query.number("timeoutSeconds")
        return cls(
            limit=max(query.number("limit") or 0, 0),
            continue_token=query.text("continue"),
            resource_version=version,
            match=match,
            send_initial_events=send,
            allow_bookmarks=query.flag("allowWatchBookmarks"),
            timeout_s=float(timeout) if timeout else None,
        )


def parse_version(text: str) -> int:
    """A resourceVersion; empty is 0. Raises Invalid."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(
            f'invalid resource version: resourceVersion: Invalid value: "{text}":'
            f' strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def check_version_form(text: str) -> None:
    """A version that is none is an internal error wherever a single object or a watch is asked for. Raises ApiError."""
    if text and not (text.isascii() and text.isdigit()):
        said = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise apierrors.ApiError(said)


def check_version(store: Store, text: str) -> None:
    """A version of which a single object is to be at least. Raises ApiError."""
    check_version_form(text)
    if text and int(text) > store.committed_rv:
        raise _too_new(int(text), store.committed_rv)


async def fetch(store: Store, resource: Resource, namespace: str, name: str) -> Record:
    """One committed object. Raises NotFound."""
    await store.settled(resource.bucket)
    record = store.get(resource.bucket, f"{namespace}/{name}")
    if record is None:
        raise apierrors.not_found(resource.plural, resource.group, name)
    return record


async def list_page(store: Store, resource: Resource, selection: Selection, options: ListOptions) -> Page:
    """One page of a list. Raises Expired for versions and tokens that are too old, BadRequest for broken ones."""
    await store.settled(resource.bucket)
    start_after = token_start = ""
    at: int | None = None
    if options.continue_token:
        at, start_after = _decode_token(options.continue_token)
        token_start = start_after
        if at < 0:
            at = None  # the rest of a list that expired, as it is now
        if selection.namespace is not None:
            start_after = f"{selection.namespace}/{start_after}"
        if options.resource_version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
    else:
        wanted = parse_version(options.resource_version)
        if wanted > store.committed_rv:
            raise _too_new(wanted, store.committed_rv)
        exact = options.match == "Exact" or (not options.match and options.limit and wanted > 0)
        if exact and wanted:
            at = wanted
    # "Anything will do" is answered from the cache of the real server, which knows no pages.
    limit = 0 if options.resource_version == "0" else options.limit
    rv = store.committed_rv if at is None else at
    place = (resource.bucket, selection.namespace)
    records = store.scan(*place) if at is None else store.scan_at(*place, at)
    if records is None:
        raise _expired(token_start)
    end = records[-1].key if records else ""
    if not selection.is_all:
        records = [record for record in records if selection.matches(record)]
    if selection.name and records:
        end = records[-1].key  # one object is read, and nothing beside it
    if start_after:
        records = [record for record in records if record.key > start_after]
    # What comes after a full page is not looked at: there is a next one even if nothing on it is wanted.
    if not limit or len(records) < limit or records[limit - 1].key == end:
        return Page(records, rv)
    page = records[:limit]
    remaining = len(records) - limit if selection.is_all else None
    last = page[-1].key if selection.namespace is None else page[-1].key.partition("/")[2]
    return Page(page, rv, _encode_token(rv, last), remaining)


def _expired(start_after: str) -> Expired:
    if not start_after:
        return Expired("The resourceVersion for the provided list is too old.")
    error = Expired(_LIST_EXPIRED)
    error.continue_token = _encode_token(_AS_IT_IS_NOW, start_after)
    return error


def _too_new(wanted: int, current: int) -> apierrors.Timeout:
    error = apierrors.Timeout(
        f"Timeout: Too large resource version: {wanted}, current: {current}",
        details={"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]},
    )
    error.details["retryAfterSeconds"] = 1
    return error


def _encode_token(rv: int, key: str) -> str:
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": rv, "start": key})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


_NOT_BASE64 = re.compile("[^-_A-Za-z0-9]")


def _decode_token(text: str) -> tuple[int, str]:
    problem: str | None = None
    try:
        if (foreign := _NOT_BASE64.search(text)) is not None:
            raise ValueError(f"illegal base64 data at input byte {foreign.start()}")
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        problem = syntax_error(raw)
        token = orjson.loads(raw)
        if token["v"] != "meta.k8s.io/v1":
            raise ValueError(f"server does not recognize this encoded version {token['v']}")
        return int(token["rv"]), str(token["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as exc:
        raise BadRequest(f"invalid continue token: continue key is not valid: {problem or exc}") from None
