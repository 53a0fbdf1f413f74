"""The codec: unknown fields survive, zero values go, every type error is named."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tiphys.model.application import Application, ApplicationSpec, application_object, parse_application
from tiphys.model.appproject import appproject_object, parse_appproject
from tiphys.model.codec import EMPTY, InvalidObject, decode, encode
from tiphys.model.source import ApplicationSource

APP: dict[str, Any] = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "web", "namespace": "argocd", "managedFields": [{"manager": "x"}]},
    "spec": {
        "project": "default",
        "source": {
            "repoURL": "https://example.com/config.git",
            "path": "apps/web",
            "targetRevision": "main",
            "helm": {"valuesObject": {"a": [1, {"b": None}]}, "parameters": [{"name": "x", "value": "y"}]},
            "kustomize": {"replicas": [{"name": "a", "count": "3"}, {"name": "b", "count": 2}]},
            "plugin": {"parameters": [{"name": "p", "array": []}, {"name": "m", "map": {}}, {"string": ""}]},
            "fromTheFuture": {"x": 1},
        },
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "web", "region": "eu"},
        "syncPolicy": {
            "automated": {"enabled": False, "prune": True},
            "retry": {"limit": -1, "backoff": {"duration": "5s", "factor": 0, "maxDuration": "3m"}},
        },
        "sourceHydrator": {"drySource": {"repoURL": "r"}},
        "revisionHistoryLimit": 0,
    },
    "operation": {"sync": {"syncStrategy": {"hook": {}}}, "retry": {"limit": 2}},
    "status": {
        "sync": {"status": "Synced", "comparedTo": {"destination": {}}},
        "reconciledAt": "2024-05-06T07:08:09Z",
        "history": [{"id": 0, "deployedAt": "2024-05-06T07:08:09Z", "revision": "abc"}],
    },
    "unknownTop": [1],
}


def test_a_round_trip_keeps_everything_including_unknown_fields() -> None:
    before = copy.deepcopy(APP)
    assert application_object(parse_application(APP)) == before


def test_zero_values_are_left_out_as_go_does() -> None:
    spec = decode(
        ApplicationSpec, {"source": {"repoURL": "", "path": "", "helm": {"skipCrds": False, "valueFiles": []}}}
    )
    assert encode(spec) == {"source": {"repoURL": "", "helm": {}}, "destination": {}, "project": ""}


def test_null_means_absent() -> None:
    assert decode(ApplicationSpec, {"source": None, "syncPolicy": None, "project": None}) == ApplicationSpec()


def test_every_wrong_field_is_named_with_its_path_and_never_its_value() -> None:
    with pytest.raises(InvalidObject) as caught:
        parse_application(
            {
                "metadata": {},
                "spec": {
                    "source": {"repoURL": 1, "helm": {"parameters": [{"name": "ok"}, {"value": True}]}},
                    "destination": [],
                    "revisionHistoryLimit": 1.5,
                    "syncPolicy": {"automated": {"prune": "secret-value"}},
                    "sources": {"a": 1},
                },
                "status": {"reconciledAt": "yesterday", "history": [None]},
            }
        )
    assert caught.value.problems == (
        "spec.source.repoURL: expected a string, got a number",
        "spec.source.helm.parameters[1].value: expected a string, got a boolean",
        "spec.destination: expected an object, got a list",
        "spec.revisionHistoryLimit: expected an integer, got a number",
        "spec.syncPolicy.automated.prune: expected a boolean, got a string",
        "spec.sources: expected a list, got an object",
        "status.reconciledAt: 'yesterday' is not an RFC 3339 time",
        "status.history[0]: expected a value, got null",
    )
    assert "secret-value" not in str(caught.value)


@pytest.mark.parametrize("value", [True, 2**63, -(2**63) - 1, "1"])
def test_an_integer_is_64_bits_and_neither_boolean_nor_text(value: object) -> None:
    with pytest.raises(InvalidObject):
        decode(ApplicationSpec, {"revisionHistoryLimit": value})


def test_an_object_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidObject, match="expected an object, got a list"):
        decode(ApplicationSpec, [])  # type: ignore[arg-type]


def test_field_names_fold_case_only_when_asked() -> None:
    data = {"REPOurl": "x", "TargetRevision": "v1"}
    assert decode(ApplicationSource, data).extra == data
    folded = decode(ApplicationSource, data, fold_case=True)
    assert (folded.repo_url, folded.target_revision, dict(folded.extra)) == ("x", "v1", {})


def test_nil_and_empty_lists_differ_where_argo_cd_tells_them_apart() -> None:
    specs: list[dict[str, Any]] = [
        {},
        {"namespaceResourceWhitelist": []},
        {"clusterResourceWhitelist": [{"group": "", "kind": "*"}]},
    ]
    for spec in specs:
        #    for spec in ({}, {"namespaceResourceWhitelist": []}, {"clusterResourceWhitelist": [{"group": "", "kind": "*"}]}):
        obj = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {}, "spec": spec}
        assert appproject_object(parse_appproject(obj)) == obj
    assert parse_appproject({"spec": {}}).spec.namespace_resource_whitelist is None
    assert parse_appproject({"spec": {"namespaceResourceWhitelist": []}}).spec.namespace_resource_whitelist == ()


def test_the_shared_empty_mapping_cannot_be_filled() -> None:
    with pytest.raises(TypeError):
        EMPTY["a"] = 1  # type: ignore[index]
    assert Application().metadata == {}


def test_sources_win_over_source_and_an_empty_list_does_not() -> None:
    one, many = ApplicationSource(path="a"), (ApplicationSource(path="b"),)
    assert ApplicationSpec(source=one, sources=many).all_sources == many
    assert ApplicationSpec(source=one).all_sources == (one,)
    assert ApplicationSpec().all_sources == ()


def test_the_automated_block_alone_turns_automation_on() -> None:
    def automated(policy: dict[str, Any]) -> bool:
        return decode(ApplicationSpec, {"syncPolicy": policy}).policy.is_automated

    assert [automated({}), automated({"automated": {}}), automated({"automated": {"enabled": False}})] == [
        False,
        True,
        False,
    ]


def test_names_used_in_tracking_and_rbac() -> None:
    inside = parse_application({"metadata": {"name": "web", "namespace": "argocd"}, "spec": {"project": "p"}})
    outside = parse_application({"metadata": {"name": "web", "namespace": "team"}, "spec": {}})
    assert (inside.instance_name("argocd"), inside.rbac_object("argocd")) == ("web", "p/web")
    assert (outside.instance_name("argocd"), outside.rbac_object("argocd")) == ("team_web", "default/team/web")
