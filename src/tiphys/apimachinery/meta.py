"""Read metadata: labels, owner references, finalizers, managed fields, timestamps.

The functions take objects as parsed from JSON and never change them. A field that is absent, null or of another type
than the API allows reads as empty, so that one odd object cannot stop a loop over thousands.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

_EMPTY: Final[Mapping[str, Any]] = {}


def metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """`metadata` of an object, empty when there is none."""
    found = obj.get("metadata")
    return found if isinstance(found, Mapping) else _EMPTY


def _text(obj: Mapping[str, Any], key: str) -> str:
    found = metadata(obj).get(key)
    return found if isinstance(found, str) else ""


def _mapping(obj: Mapping[str, Any], key: str) -> Mapping[str, str]:
    found = metadata(obj).get(key)
    return found if isinstance(found, Mapping) else _EMPTY


def _mappings(obj: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = metadata(obj).get(key)
    if not isinstance(found, list | tuple):
        return ()
    return found if all(isinstance(one, Mapping) for one in found) else [o for o in found if isinstance(o, Mapping)]


def name(obj: Mapping[str, Any]) -> str:
    """`metadata.name`, empty when only a generateName is set."""
    return _text(obj, "name")


def namespace(obj: Mapping[str, Any]) -> str:
    """`metadata.namespace`, empty for cluster-scoped objects."""
    return _text(obj, "namespace")


def uid(obj: Mapping[str, Any]) -> str:
    """`metadata.uid`, empty before the object was created."""
    return _text(obj, "uid")


def resource_version(obj: Mapping[str, Any]) -> str:
    """`metadata.resourceVersion`: opaque text, compared for equality only."""
    return _text(obj, "resourceVersion")


def generation(obj: Mapping[str, Any]) -> int:
    """`metadata.generation`, 0 for kinds that do not count it."""
    found = metadata(obj).get("generation")
    return found if isinstance(found, int) else 0


def labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """`metadata.labels`."""
    return _mapping(obj, "labels")


def annotations(obj: Mapping[str, Any]) -> Mapping[str, str]:
    """`metadata.annotations`."""
    return _mapping(obj, "annotations")


def finalizers(obj: Mapping[str, Any]) -> Sequence[str]:
    """`metadata.finalizers`, in order."""
    found = metadata(obj).get("finalizers")
    return found if isinstance(found, list | tuple) else ()


def owner_references(obj: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """`metadata.ownerReferences`, each with apiVersion, kind, name, uid and perhaps controller, blockOwnerDeletion."""
    return _mappings(obj, "ownerReferences")


def controller_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference that is the object's controller, None when nothing controls it."""
    for reference in owner_references(obj):
        if reference.get("controller") is True:
            return reference
    return None


def is_owned_by(obj: Mapping[str, Any], owner_uid: str) -> bool:
    """Whether one of the owner references has this uid."""
    return any(reference.get("uid") == owner_uid for reference in owner_references(obj))


def managed_fields(obj: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """`metadata.managedFields`, one entry per manager, operation, version and subresource."""
    return _mappings(obj, "managedFields")


def strip_managed_fields(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without managedFields: the same object when it has none, else a copy that shares all other values."""
    found = metadata(obj)
    if "managedFields" not in found:
        return obj
    return {**obj, "metadata": {key: value for key, value in found.items() if key != "managedFields"}}


def creation_timestamp(obj: Mapping[str, Any]) -> datetime | None:
    """When the API server stored the object first, None when that is absent or unreadable."""
    return _time(_text(obj, "creationTimestamp"))


def deletion_timestamp(obj: Mapping[str, Any]) -> datetime | None:
    """The time from which the object is to be gone, None for one that is not being deleted."""
    return _time(_text(obj, "deletionTimestamp"))


def is_deleting(obj: Mapping[str, Any]) -> bool:
    """Whether deletion was asked for; also true where the time cannot be read."""
    return bool(metadata(obj).get("deletionTimestamp"))


# ---- time ----

_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?(?:(Z)|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)


def _time(text: str) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None


def format_time(moment: datetime) -> str:
    """`2026-11-23T06:42:33Z`: metav1.Time, whole seconds in UTC. `moment` has a time zone."""
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """`2026-11-23T06:42:33.123456Z`: metav1.MicroTime, as Leases and events.k8s.io write it."""
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The moment an RFC 3339 text says, in UTC, to the microsecond. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f'parsing time "{text}": not in RFC 3339 form')
    year, month, day, hour, minute, second, fraction, zulu, sign, zone_hour, zone_minute = match.groups()
    zone = UTC
    if not zulu:
        offset = timedelta(hours=int(zone_hour), minutes=int(zone_minute))
        zone = timezone(-offset if sign == "-" else offset)
    moment = datetime(
        int(year),
        int(month),
        int(day),
        int(hour),
        int(minute),
        int(second),
        int((fraction or "0")[:6].ljust(6, "0")),
        tzinfo=zone,
    )
    return moment if zulu else moment.astimezone(UTC)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without zone cannot be written")
    return moment.astimezone(UTC)
