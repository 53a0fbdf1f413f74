"""Health of an Application from the healths of its resources. Source: compat 4.1."""

from __future__ import annotations

import itertools

import pytest

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.health.aggregate import ORDER, Part, aggregate, is_worse
from tiphys.engine.health.assess import assess, needs_settling
from tiphys.engine.states import Health, HealthStatus

H, S, P, M, D, U = (
    HealthStatus.HEALTHY,
    HealthStatus.SUSPENDED,
    HealthStatus.PROGRESSING,
    HealthStatus.MISSING,
    HealthStatus.DEGRADED,
    HealthStatus.UNKNOWN,
)


def part(
    status: HealthStatus | None, name: str = "a", *, kind: str = "Deployment", group: str = "apps", **fields: bool
) -> Part:
    """A resource with this health; None has none."""
    live = fields.pop("live", True)
    return Part(ResourceKey(group, kind, "ns", name), live, Health(status) if status else None, **fields)


@pytest.mark.parametrize(("better", "worse"), list(itertools.combinations((H, S, P, M, D, U), 2)))
def test_the_worst_of_two_wins(better: HealthStatus, worse: HealthStatus) -> None:
    """Whatever their order."""
    assert is_worse(better, worse)
    assert not is_worse(worse, better)
    assert aggregate([part(better), part(worse)]).status is worse
    assert aggregate([part(worse), part(better)]).status is worse


def test_every_word_has_its_place() -> None:
    """None is left out of the order."""
    assert set(ORDER) == set(HealthStatus)
    assert not any(is_worse(word, word) for word in HealthStatus)


def test_nothing_is_healthy() -> None:
    """An Application without resources, or with such that have no health."""
    assert aggregate([]) == Health(H)
    assert aggregate([part(None, kind="ConfigMap", group="")]) == Health(H)


def test_a_missing_resource_does_not_count_while_another_is_live() -> None:
    """OutOfSync says it already."""
    assert aggregate([part(None, "gone", live=False), part(H)]) == Health(H)
    assert aggregate([part(None, "gone", live=False), part(None, "config", kind="ConfigMap")]) == Health(H)


def test_without_any_live_resource_it_is_missing() -> None:
    """Hooks are no resources."""
    assert aggregate([part(None, live=False), part(H, "hook", kind="Job", hook=True)]).status is M
    assert aggregate([part(H, "hook", kind="Job", hook=True)]).status is H


def test_hooks_do_not_count() -> None:
    """A failed migration is said by its operation."""
    assert aggregate([part(D, "hook", kind="Job", hook=True), part(H)]) == Health(H)


def test_an_ignored_resource_counts_as_there_but_not_as_ill() -> None:
    """ignore-healthcheck: with it the Application is not Missing."""
    assert aggregate([part(D, "ignored", ignored=True), part(H)]) == Health(H)
    assert aggregate([part(D, "ignored", ignored=True), part(None, "gone", live=False)]) == Health(H)


@pytest.mark.parametrize(("child", "whole"), [(M, H), (U, H), (D, D), (P, P), (S, S)])
def test_an_application_below_is_not_blamed_for_what_is_not_known(child: HealthStatus, whole: HealthStatus) -> None:
    """Missing and Unknown of an app of apps' children do not go up."""
    assert aggregate([part(child, kind="Application", group="argoproj.io"), part(H)]).status is whole


def test_the_message_names_up_to_three_causes_and_how_many_more() -> None:
    """Only those as bad as the whole."""
    parts = [part(P, "waits"), *(part(D, f"d{n}") for n in range(5)), part(H)]

    assert aggregate(parts) == Health(
        D, "apps/Deployment:ns/d0, apps/Deployment:ns/d1, apps/Deployment:ns/d2 and 2 more"
    )
    assert aggregate(parts[:2]) == Health(D, "apps/Deployment:ns/d0")


def test_an_override_comes_before_the_built_in_check_and_after_deletion() -> None:
    """None from it means that it has nothing to say about the kind."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"type": "ClusterIP"}}

    def ill(obj: object) -> Health | None:
        return Health(D, "by script") if obj in (config, service) else None

    assert assess(config, ill) == Health(D, "by script")
    assert assess(service, ill) == Health(D, "by script")
    assert assess(service, lambda _obj: None) == Health(H)
    deleting = {**service, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert assess(deleting, lambda _obj: Health(D)) == Health(P, "Pending deletion")


def test_kinds_whose_status_names_no_generation_need_a_moment() -> None:
    """Right after an apply an Ingress may still show the address of before."""
    assert needs_settling(ResourceKey("networking.k8s.io", "Ingress", "", "").group_kind)
    assert not needs_settling(ResourceKey("apps", "Deployment", "", "").group_kind)
    assert not needs_settling(ResourceKey("", "ConfigMap", "", "").group_kind)
