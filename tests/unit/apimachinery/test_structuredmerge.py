"""to_set, compare, merge, prune and validate along the types of real kinds."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery import fieldset, structuredmerge
from tiphys.apimachinery.mergeschema import Atom, MergeSchemas
from tiphys.apimachinery.mergevalidation import validate
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.apimachinery.structuredmerge import MergeError, compare, merge, prune, reconcile, to_set


@pytest.fixture(scope="module")
def schemas() -> MergeSchemas:
    return MergeSchemas.builtin()


@pytest.fixture(scope="module")
def pod(schemas: MergeSchemas) -> Atom:
    found = schemas.for_kind(GroupVersionKind("", "v1", "Pod"))
    assert found is not None
    return found.atom


def pod_with(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers)} | spec}


def test_a_set_holds_leaves_items_and_map_entries(pod: Atom) -> None:
    value = {
        "metadata": {"labels": {"a": "b"}, "annotations": {}, "finalizers": ["x"]},
        "spec": {
            "containers": [{"name": "c", "command": ["sh"], "ports": [{"containerPort": 80}]}],
            "nodeSelector": {"n": "m"},
            "securityContext": {},
        },
    }
    assert fieldset.to_strings(to_set(value, pod)) == [
        ".metadata.annotations",
        '.metadata.finalizers[="x"]',
        ".metadata.labels.a",
        ".spec.nodeSelector",
        ".spec.securityContext",
        '.spec.containers[name="c"]',
        '.spec.containers[name="c"].command',
        '.spec.containers[name="c"].name',
        '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]',
        '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"].containerPort',
    ]


def test_what_is_new_counts_with_everything_above_its_leaves(pod: Atom) -> None:
    changes = compare(pod_with({"name": "a"}), pod_with({"name": "a"}, {"name": "b", "env": [{"name": "E"}]}), pod)
    assert fieldset.to_strings(changes.added) == [
        '.spec.containers[name="b"]',
        '.spec.containers[name="b"].env',
        '.spec.containers[name="b"].name',
        '.spec.containers[name="b"].env[name="E"]',
        '.spec.containers[name="b"].env[name="E"].name',
    ]
    assert not changes.modified
    assert not changes.removed


def test_a_list_owned_as_a_whole_is_modified_as_a_whole(pod: Atom) -> None:
    changes = compare(pod_with({"name": "a", "args": ["1"]}), pod_with({"name": "a", "args": ["2"]}), pod)
    assert fieldset.to_strings(changes.modified) == ['.spec.containers[name="a"].args']


def test_null_and_empty_are_different_leaves(schemas: MergeSchemas) -> None:
    atom = schemas.deduced().atom
    assert fieldset.to_strings(compare({"a": None}, {"a": {}}, atom).modified) == [".a"]
    assert not compare({"a": {}}, {"a": {}}, atom)


def test_true_and_one_differ_where_the_schema_is_open(schemas: MergeSchemas) -> None:
    atom = schemas.deduced().atom
    assert fieldset.to_strings(compare({"a": [1]}, {"a": [True]}, atom).modified) == [".a"]
    assert not compare({"a": 1}, {"a": 1.0}, atom)


def test_a_value_that_changes_its_form_is_removed_and_added(schemas: MergeSchemas) -> None:
    changes = compare({"a": {"b": 1}}, {"a": "x"}, schemas.deduced().atom)
    assert fieldset.to_strings(changes.removed) == [".a.b"]
    assert fieldset.to_strings(changes.modified) == [".a"]


def test_duplicates_count_as_one_value(pod: Atom) -> None:
    def env(*pairs: tuple[str, str]) -> dict[str, Any]:
        return pod_with({"name": "a", "env": [{"name": n, "value": v} for n, v in pairs]})

    twice = env(("E", "1"), ("E", "2"))
    assert fieldset.to_strings(compare(twice, env(("E", "1"), ("E", "3")), pod).modified) == [
        '.spec.containers[name="a"].env[name="E"]'
    ]
    once = compare(twice, env(("E", "1")), pod)
    assert fieldset.to_strings(once.removed) == ['.spec.containers[name="a"].env[name="E"]']
    assert fieldset.has(once.added, ("f:spec", "f:containers", 'k:{"name":"a"}', "f:env", 'k:{"name":"E"}', "f:value"))


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("abc", "ca", "bca"),
        ("abc", "d", "abcd"),
        ("abcd", "db", "acdb"),
        ("", "ab", "ab"),
        ("ab", "", "ab"),
        ("abc", "cba", "cba"),
        ("axbyc", "cab", "xycab"),
    ],
)
def test_items_take_the_order_of_the_configuration(pod: Atom, live: str, config: str, merged: str) -> None:
    found = merge(pod_with(*({"name": n} for n in live)), pod_with(*({"name": n} for n in config)), pod)
    assert sorted(one["name"] for one in found["spec"]["containers"]) == sorted(set(live) | set(config))
    order = [one["name"] for one in found["spec"]["containers"]]
    assert [name for name in order if name in config] == list(config) or not config
    assert "".join(order) == merged


def test_an_item_applied_twice_is_refused(pod: Atom) -> None:
    with pytest.raises(MergeError, match=r'duplicate entries for key \[name="a"\]'):
        merge(pod_with(), pod_with({"name": "a"}, {"name": "a"}), pod)


def test_pruning_keeps_what_others_own_and_empties_to_null(schemas: MergeSchemas) -> None:
    found = schemas.for_kind(GroupVersionKind("", "v1", "ConfigMap"))
    assert found is not None
    merged = {"data": {"a": "1", "b": "2"}, "metadata": {"labels": {"x": "y"}}}
    last = to_set({"data": {"a": "1", "b": "2"}, "metadata": {"labels": {"x": "y"}}}, found.atom)
    others = fieldset.from_paths([("f:data", "f:b")])
    assert prune(merged, last, others, found.atom) == {"data": {"b": "2"}}
    held = fieldset.from_paths([("f:data",), ("f:metadata", "f:labels")])
    assert prune(merged, last, held, found.atom) == {"data": None, "metadata": {"labels": None}}


def test_merging_changes_neither_argument(pod: Atom) -> None:
    live, config = pod_with({"name": "a", "image": "1"}), pod_with({"name": "a", "image": "2"}, {"name": "b"})
    merge(live, config, pod)
    assert live == pod_with({"name": "a", "image": "1"})
    assert config == pod_with({"name": "a", "image": "2"}, {"name": "b"})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"foo": 1}, ".foo: field not declared in schema"),
        ({"spec": 1}, ".spec: expected map, got &{1}"),
        ({"spec": {"hostNetwork": "x"}}, ".spec.hostNetwork: expected boolean, got &{x}"),
        (
            {"metadata": {"labels": {"a": 1}}},
            ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
        ({"spec": {"priority": "x"}}, ".spec.priority: expected numeric (int or float), got string"),
        (
            {"metadata": {"finalizers": ["a", "a"]}},
            '.metadata.finalizers: duplicate entries for key [="a"]',
        ),
        (
            {"kind": 1, "apiVersion": 2},
            "errors:\n  .kind: expected string, got &value.valueUnstructured{Value:1}\n"
            "  .apiVersion: expected string, got &value.valueUnstructured{Value:2}",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(pod: Atom, value: dict[str, Any], message: str) -> None:
    with pytest.raises(MergeError) as caught:
        validate(value, pod)
    assert str(caught.value) == message


def test_an_item_without_any_of_its_keys_is_named(schemas: MergeSchemas) -> None:
    items = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}},
    }
    atom = schemas.for_custom({"type": "object", "properties": {"items": items}}).atom
    with pytest.raises(MergeError) as caught:
        validate({"items": [{"v": "x"}]}, atom)
    assert str(caught.value) == (
        '.items: element 0: associative list with keys has an element that omits all key fields ["k"]'
        " (and doesn't have default values for any key fields)"
    )


def test_parts_of_a_value_that_became_atomic_give_way_to_the_whole(schemas: MergeSchemas) -> None:
    atom = schemas.for_custom(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {
                        "list": {"type": "array", "items": {"type": "string"}},
                        "map": {
                            "type": "object",
                            "x-kubernetes-map-type": "atomic",
                            "properties": {"a": {"type": "integer"}},
                        },
                    },
                }
            },
        }
    ).atom
    owned = fieldset.from_paths([("f:spec", "f:list", 'v:"a"'), ("f:spec", "f:map", "f:a"), ("f:spec", "f:gone")])
    assert reconcile(owned, atom) == {"f:spec": {"f:list": {}, "f:map": {}, "f:gone": {}}}
    again = reconcile(owned, atom)
    assert reconcile(again, atom) is again


def test_kinds_of_the_package_are_known_and_others_are_not(schemas: MergeSchemas) -> None:
    for group, version, kind in (
        ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "v1", "APIService"),
        ("networking.k8s.io", "v1", "Ingress"),
        ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ):
        assert schemas.for_kind(GroupVersionKind(group, version, kind)) is not None
    assert schemas.for_kind(GroupVersionKind("x.io", "v1", "Thing")) is None


def test_same_tells_numbers_from_truth_values() -> None:
    assert structuredmerge.same({"a": [1]}, {"a": [1.0]})
    assert not structuredmerge.same({"a": [1]}, {"a": [True]})
    assert not structuredmerge.same({"a": None}, {})
