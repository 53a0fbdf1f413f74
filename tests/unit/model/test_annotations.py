"""Annotation parsers read as Argo CD reads."""

from __future__ import annotations

import pytest

from tiphys.model import annotations as a
from tiphys.model.annotations import HookDeletePolicy, HookType, Tracking


@pytest.mark.parametrize(
    ("annotations", "wave"),
    [
        ({}, 0),
        ({a.SYNC_WAVE: "5"}, 5),
        ({a.SYNC_WAVE: "-3"}, -3),
        ({a.SYNC_WAVE: "+2"}, 2),
        ({a.SYNC_WAVE: " 5"}, 0),
        ({a.SYNC_WAVE: "1_0"}, 0),
        ({a.SYNC_WAVE: "٣"}, 0),
        ({a.SYNC_WAVE: "0x10"}, 0),
        ({a.SYNC_WAVE: "9223372036854775808"}, 0),
        ({a.SYNC_WAVE: "0" * 50 + "7"}, 7),
        ({a.SYNC_WAVE: "x", a.HELM_HOOK_WEIGHT: "4"}, 4),
        ({a.SYNC_WAVE: "1", a.HELM_HOOK_WEIGHT: "4"}, 1),
        ({a.HELM_HOOK_WEIGHT: "4"}, 4),
        ({a.HELM_HOOK_WEIGHT: "four"}, 0),
    ],
)
def test_wave_is_read_with_atoi_and_falls_back_to_hook_weight(annotations: dict[str, str], wave: int) -> None:
    assert a.sync_wave(annotations) == wave


@pytest.mark.parametrize(
    ("annotations", "types", "hook", "skipped", "ignored"),
    [
        ({}, (), False, False, False),
        ({a.HOOK: "PreSync"}, (HookType.PRE_SYNC,), True, False, False),
        ({a.HOOK: "PreSync, PostSync,,PreSync"}, (HookType.PRE_SYNC, HookType.POST_SYNC), True, False, False),
        ({a.HOOK: "presync"}, (), True, False, True),
        ({a.HOOK: "Skip"}, (HookType.SKIP,), False, True, False),
        ({a.HOOK: "Skip,Sync"}, (HookType.SKIP, HookType.SYNC), True, False, False),
        ({a.HELM_HOOK: "pre-install,pre-upgrade"}, (HookType.PRE_SYNC,), True, False, False),
        ({a.HELM_HOOK: "crd-install"}, (), False, False, False),
        ({a.HELM_HOOK: "test"}, (), True, False, True),
        ({a.HOOK: "Sync", a.HELM_HOOK: "pre-install"}, (HookType.SYNC,), True, False, False),
        ({a.HOOK: "nonsense", a.HELM_HOOK: "post-delete"}, (HookType.POST_DELETE,), True, False, False),
    ],
)
def test_hook_types(
    annotations: dict[str, str], types: tuple[HookType, ...], hook: bool, skipped: bool, ignored: bool
) -> None:
    assert a.hook_types(annotations) == types
    assert (a.is_hook(annotations), a.is_skipped(annotations), a.is_ignored(annotations)) == (hook, skipped, ignored)


def test_delete_policies_are_united_and_default_to_before_hook_creation() -> None:
    assert a.hook_delete_policies({}) == {HookDeletePolicy.BEFORE_HOOK_CREATION}
    assert a.hook_delete_policies({a.HOOK_DELETE_POLICY: "nope"}) == {HookDeletePolicy.BEFORE_HOOK_CREATION}
    assert a.hook_delete_policies(
        {a.HOOK_DELETE_POLICY: "HookSucceeded", a.HELM_HOOK_DELETE_POLICY: "hook-failed"}
    ) == {HookDeletePolicy.HOOK_SUCCEEDED, HookDeletePolicy.HOOK_FAILED}


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
