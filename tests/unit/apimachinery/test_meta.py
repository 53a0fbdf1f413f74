"""Metadata is read without changing objects and without failing on odd ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tiphys.apimachinery import meta

POD: dict[str, Any] = {
    "metadata": {
        "name": "web-1",
        "namespace": "default",
        "uid": "u1",
        "resourceVersion": "7",
        "generation": 2,
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "finalizers": ["x/y"],
        "creationTimestamp": "2026-11-23T06:42:33Z",
        "ownerReferences": [
            {"kind": "Other", "uid": "o1"},
            {"kind": "ReplicaSet", "uid": "r1", "controller": True},
        ],
        "managedFields": [{"manager": "kubectl"}],
    }
}


def test_metadata_is_read() -> None:
    assert (meta.name(POD), meta.namespace(POD), meta.uid(POD)) == ("web-1", "default", "u1")
    assert (meta.resource_version(POD), meta.generation(POD)) == ("7", 2)
    assert (meta.labels(POD), meta.annotations(POD), meta.finalizers(POD)) == ({"a": "b"}, {"c": "d"}, ["x/y"])
    assert meta.creation_timestamp(POD) == datetime(2026, 11, 23, 6, 42, 33, tzinfo=UTC)
    assert meta.deletion_timestamp(POD) is None
    assert not meta.is_deleting(POD)
    assert meta.is_owned_by(POD, "o1")
    controller = meta.controller_of(POD)
    assert controller is not None
    assert controller["kind"] == "ReplicaSet"


@pytest.mark.parametrize(
    "obj", [{}, {"metadata": None}, {"metadata": []}, {"metadata": dict.fromkeys(POD["metadata"])}]
)
def test_absent_and_null_read_as_empty(obj: dict[str, Any]) -> None:
    assert (meta.name(obj), meta.uid(obj), meta.generation(obj)) == ("", "", 0)
    assert not meta.labels(obj)
    assert not meta.finalizers(obj)
    assert not meta.owner_references(obj)
    assert meta.controller_of(obj) is None
    assert meta.creation_timestamp(obj) is None


def test_an_unreadable_deletion_time_still_means_deleting() -> None:
    obj = {"metadata": {"deletionTimestamp": "soon"}}
    assert meta.is_deleting(obj)
    assert meta.deletion_timestamp(obj) is None


def test_stripping_managed_fields_copies_only_what_changes() -> None:
    stripped = meta.strip_managed_fields(POD)
    assert "managedFields" not in stripped["metadata"]
    assert "managedFields" in POD["metadata"]
    assert stripped["metadata"]["labels"] is POD["metadata"]["labels"]
    assert meta.strip_managed_fields(stripped) is stripped


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T06:42:33Z", datetime(2026, 11, 23, 6, 42, 33, tzinfo=UTC)),
        ("2026-11-23T06:42:33.123456Z", datetime(2026, 11, 23, 6, 42, 33, 123456, tzinfo=UTC)),
        ("2026-11-23T06:42:33.123456789Z", datetime(2026, 11, 23, 6, 42, 33, 123456, tzinfo=UTC)),
        ("2026-11-23T08:42:33.5+02:00", datetime(2026, 11, 23, 6, 42, 33, 500000, tzinfo=UTC)),
        ("2026-11-22T23:12:33-07:30", datetime(2026, 11, 23, 6, 42, 33, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_utc(text: str, moment: datetime) -> None:
    assert meta.parse_time(text) == moment
    assert meta.parse_time(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text", ["", "2026-11-23", "2026-11-23T06:42:33", "2026-13-23T06:42:33Z", "2026-11-23 06:42:33Z"]
)
def test_other_forms_of_time_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        meta.parse_time(text)


def test_times_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 23, 8, 42, 33, 5, tzinfo=timezone(timedelta(hours=2)))
    assert meta.format_time(moment) == "2026-11-23T06:42:33Z"
    assert meta.format_micro_time(moment) == "2026-11-23T06:42:33.000005Z"
    with pytest.raises(ValueError, match="without zone"):
        meta.format_time(datetime(2026, 1, 1))  # noqa: DTZ001
