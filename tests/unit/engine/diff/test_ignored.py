"""Which differences do not count, for whom, and how they are taken out of objects. Source: compat 2.5, 3.3, 3.4, 3.5."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.diff.compare import compare, same_content, with_last_applied
from tiphys.engine.diff.ignored import (
    Ignored,
    IgnoreRules,
    Removal,
    equal_without,
    owned_by,
    pointer_paths,
    respect_ignored,
    without,
    without_empty,
)
from tiphys.engine.diff.knowntypes import type_name
from tiphys.model.destination import ResourceIgnoreDifferences
from tiphys.scripting.paths import deleted
from tiphys.settings.values import IgnoredFields, KnownTypeField, ResourceOverride

Json = dict[str, Any]

DEPLOYMENT = ResourceKey("apps", "Deployment", "ns", "web")
CONFIG = ResourceKey("", "ConfigMap", "ns", "c")


def rule(**fields: Any) -> ResourceIgnoreDifferences:
    """A rule that ignores /x."""
    return ResourceIgnoreDifferences(json_pointers=("/x",), **fields)


def override(*pointers: str, **fields: Any) -> ResourceOverride:
    """Customization of a kind in argocd-cm."""
    return ResourceOverride(ignore_differences=IgnoredFields(json_pointers=pointers), **fields)


@pytest.mark.parametrize(
    ("one", "matches"),
    [
        (rule(group="apps", kind="Deployment"), True),
        (rule(group="*", kind="*"), True),
        (rule(group="app?", kind="{Deployment,StatefulSet}"), True),
        (rule(kind="Deployment"), False),  # no group is the core group
        (rule(group="apps", kind="Deployment", name="web"), True),
        (rule(group="apps", kind="Deployment", name="we*"), False),
        (rule(group="apps", kind="Deployment", namespace="ns"), True),
        (rule(group="apps", kind="Deployment", namespace="other"), False),
    ],
)
def test_groups_and_kinds_are_patterns_names_are_not(one: ResourceIgnoreDifferences, matches: bool) -> None:
    assert IgnoreRules([one], {}).of(DEPLOYMENT).pointers == (("/x",) if matches else ())


def test_what_the_instance_ignores_is_ignored_by_every_application() -> None:
    """`all` stands for every kind, a kind without group is one of the core group."""
    rules = IgnoreRules(
        [rule(group="apps", kind="Deployment")],
        {"*/*": override("/all"), "apps/Deployment": override("/kind"), "Deployment": override("/core")},
    )
    assert set(rules.of(DEPLOYMENT).pointers) == {"/all", "/kind", "/x"}
    assert rules.of(CONFIG).pointers == ("/all",)


def test_every_expression_is_known_whether_it_matches_or_not() -> None:
    """One that cannot be read stops every comparison."""
    rules = IgnoreRules(
        [ResourceIgnoreDifferences(kind="Nothing", jq_path_expressions=(".a", ".b"))],
        {"x/Y": ResourceOverride(ignore_differences=IgnoredFields(jq_path_expressions=(".c", ".a")))},
    )
    assert rules.expressions() == [".a", ".b", ".c"]
    assert not rules.of(CONFIG).must_ask


@pytest.mark.parametrize(
    ("setting", "kind", "ignored"),
    [
        ("all", CONFIG, True),
        ("none", CONFIG, False),
        ("crd", CONFIG, False),
        ("crd", ResourceKey("apiextensions.k8s.io", "CustomResourceDefinition", "", "x"), True),
    ],
)
def test_the_status_counts_as_the_instance_wants(setting: str, kind: ResourceKey, ignored: bool) -> None:
    assert IgnoreRules([], {}, status_field=setting).of(kind).status is ignored


def obj(kind: str = "ConfigMap", api: str = "v1", **fields: Any) -> Json:
    """An object of a namespace."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "a", "namespace": "ns"}, **fields}


def test_a_status_that_is_compared_is_drift() -> None:
    wanted = obj("Thing", "example.com/v1", status={"phase": "a"})
    there = with_last_applied(obj("Thing", "example.com/v1", status={"phase": "b"}))
    assert not compare(wanted, there).modified
    assert compare(wanted, there, ignored=Ignored(status=False)).modified


def test_rules_that_are_aggregated_are_no_drift_when_the_instance_says_so() -> None:
    role = obj("ClusterRole", "rbac.authorization.k8s.io/v1", aggregationRule={"clusterRoleSelectors": [{}]})
    wanted = {**role, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}
    there = with_last_applied({**wanted, "rules": [{"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}]})
    assert compare(wanted, there).modified
    assert not compare(wanted, there, ignored=Ignored(aggregated_roles=True)).modified


@pytest.mark.parametrize(
    ("known", "wanted", "there"),
    [
        (("spec.cpu", "core/Quantity"), {"cpu": "1000m"}, {"cpu": "1"}),
        (("spec.each", "core/v1/ResourceList"), {"each": {"cpu": "0.5"}}, {"each": {"cpu": "500m"}}),
        (
            ("spec.pod", "core/v1/PodSpec"),
            {"pod": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "1000m"}}}]}},
            {"pod": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1}}}]}},
        ),
        (("spec.list.cpu", "core/Quantity"), {"list": [{"cpu": "1000m"}]}, {"list": [{"cpu": "1"}]}),
        (("spec.map", "core/Quantity"), {"map": {"a": "1000m"}}, {"map": {"a": "1"}}),
    ],
)
def test_fields_of_known_types_are_read_as_such(known: tuple[str, str], wanted: Json, there: Json) -> None:
    ignored = Ignored(known_types=(KnownTypeField(field=known[0], type=known[1]),))
    target = obj("Thing", "example.com/v1", spec=wanted)
    live = with_last_applied(obj("Thing", "example.com/v1", spec=there))
    assert compare(target, live).modified
    assert not compare(target, live, ignored=ignored).modified


def test_a_rollouts_pod_template_is_known_without_being_told() -> None:
    rollout = ResourceKey("argoproj.io", "Rollout", "ns", "r")
    assert IgnoreRules([], {}).of(rollout).known_types == (
        KnownTypeField(field="spec.template.spec", type="core/v1/PodSpec"),
    )
    assert type_name("nowhere/v1/X") == ""


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        ([("a", 0), ("a", 2)], {"a": [2], "b": {"c": 1}}),
        ([("a", -1)], {"a": [1, 2], "b": {"c": 1}}),
        ([("a", 9), ("x", "y")], {"a": [1, 2, 3], "b": {"c": 1}}),
        ([("b", "c"), ("b",)], {"a": [1, 2, 3]}),
        ([("b",), ("b", "c")], {"a": [1, 2, 3]}),
        ([()], None),
    ],
)
def test_paths_are_deleted_as_jq_deletes_them(paths: list[tuple[str | int, ...]], left: Any) -> None:
    given = {"a": [1, 2, 3], "b": {"c": 1}}
    assert deleted(given, paths) == left
    assert given == {"a": [1, 2, 3], "b": {"c": 1}}


FIELDS = {
    "f:spec": {
        "f:replicas": {},
        "f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}}, 'k:{"name":"z"}': {}},
        "f:finalizers": {'v:"x"': {}},
    }
}


def test_fields_of_a_manager_are_found_by_their_keys() -> None:
    owned = owned_by(
        [{"manager": "hpa", "fieldsV1": FIELDS}, {"manager": "kubectl", "fieldsV1": {"f:data": {}}}], ["hpa"]
    )
    spec = {"replicas": 3, "containers": [{"name": "b", "image": "1"}, {"name": "a", "image": "2"}, {"name": "z"}]}
    found = without(obj(spec={**spec, "finalizers": ["x", "y"]}, data={"k": "v"}), Removal(fields=owned))
    assert found["spec"] == {"containers": [{"name": "b", "image": "1"}, {"name": "a"}], "finalizers": ["y"]}
    assert found["data"] == {"k": "v"}


def test_containers_that_became_empty_do_not_count() -> None:
    left: Json = {"m": {"labels": {"a": "1"}}, "l": [{"x": 1}]}
    right: Json = {"m": {}, "l": []}
    removal = Removal(steps=((("m", "labels", "a"),), (("l", 0, "x"),)))
    assert equal_without(left, removal, right, Removal())
    assert without_empty({"a": 0, "b": "", "c": [{}, [], None]}) == {"a": 0, "b": "", "c": [[], None]}


def test_an_apply_takes_ignored_values_from_the_live_object() -> None:
    target = obj(data={"a": "git", "b": "git", "new": "git"})
    live = obj(data={"a": "live", "b": "live", "more": "live"}, status={"x": 1})
    removals = [Removal(steps=pointer_paths(o, ["/data/a", "/data/more", "/status"])) for o in (target, live)]
    found = respect_ignored(target, live, removals[0], removals[1])
    assert found["data"] == {"a": "live", "b": "git", "new": "git", "more": "live"}
    assert "status" not in found
    assert target["data"]["a"] == "git"
    assert respect_ignored(target, live, Removal(), Removal()) is target


def test_an_ignored_field_of_one_container_leaves_the_others_to_git() -> None:
    """Lists with merge keys are merged; those of custom resources are taken as a whole."""

    def deployment(*containers: tuple[str, str], kind: str = "Deployment", api: str = "apps/v1") -> Json:
        items = [{"name": name, "image": image} for name, image in containers]
        return obj(kind, api, spec={"template": {"spec": {"containers": items}}})

    def images(found: Json) -> list[tuple[str, str]]:
        return [(c["name"], c["image"]) for c in found["spec"]["template"]["spec"]["containers"]]

    git, there = (("a", "git"), ("b", "git")), (("a", "live"), ("b", "live"))
    removal = Removal(steps=((("spec", "template", "spec", "containers", 0, "image"),),))
    found = respect_ignored(deployment(*git), deployment(*there), removal, removal)
    assert images(found) == [("a", "live"), ("b", "git")]
    custom = {"kind": "Thing", "api": "example.com/v1"}
    found = respect_ignored(deployment(*git, **custom), deployment(*there, **custom), removal, removal)
    assert images(found) == [("a", "live"), ("b", "live")]


def test_answers_of_the_server_are_compared_without_what_is_ignored() -> None:
    assert same_content(obj(data={"a": "1"}), obj(data={"a": "2"}), Ignored(("/data/a",)))
