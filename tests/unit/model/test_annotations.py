"""Annotation parsers read as Argo CD reads."""

from __future__ import annotations

import pytest

from tiphys.model import annotations as a
from tiphys.model.annotations import Tracking


def test_options_are_trimmed_between_commas_and_compared_to_the_letter() -> None:
    options = a.sync_options({a.SYNC_OPTIONS: " Prune=false , ,Validate=false,prune=true"})
    assert options == ("Prune=false", "Validate=false", "prune=true")
    assert a.option_value(options, "Prune") == "false"
    assert a.option_value(options, "Delete") is None
    assert a.effective_option(options, ("Prune=true", "Delete=confirm"), "Prune") == "false"
    assert a.effective_option(options, ("Prune=true", "Delete=confirm"), "Delete") == "confirm"


@pytest.mark.parametrize(
    ("text", "tracking"),
    [
        ("app:apps/Deployment:ns/web", Tracking("app", "apps", "Deployment", "ns", "web")),
        ("ns_app:/ConfigMap:ns/cm", Tracking("ns_app", "", "ConfigMap", "ns", "cm")),
        ("app:rbac/Role:ns/system:a:b", Tracking("app", "rbac", "Role", "ns", "system:a:b")),
    ],
)
def test_tracking_id_round_trip(text: str, tracking: Tracking) -> None:
    assert a.parse_tracking_id(text) == tracking
    assert a.build_tracking_id(tracking) == text


@pytest.mark.parametrize(
    "text", ["", "app", "app:Deployment:ns/web", "app:a/b:web", "app:a/b/c:ns/web", "app:a/b:n/w/x"]
)
def test_a_broken_tracking_id_is_none(text: str) -> None:
    assert a.parse_tracking_id(text) is None


def test_cascade_policy_from_finalizers() -> None:
    assert a.cascade_policy(()) is None
    assert a.cascade_policy(("other",)) is None
    assert a.cascade_policy((a.RESOURCES_FINALIZER,)) == "foreground"
    assert a.cascade_policy((a.FOREGROUND_FINALIZER,)) == "foreground"
    assert a.cascade_policy((a.BACKGROUND_FINALIZER,)) == "background"


def test_annotations_of_tolerates_what_is_not_there() -> None:
    assert a.annotations_of({}) == {}
    assert a.annotations_of({"metadata": {"annotations": None}}) == {}
    assert a.skips_reconcile({a.SKIP_RECONCILE: "True"})
    assert not a.skips_reconcile({a.SKIP_RECONCILE: "yes"})
    assert a.refresh_type({a.REFRESH: "hard"}) == "hard"
    assert a.refresh_type({a.REFRESH: "now"}) == "normal"
