"""Strategic merge patches, one rule a test; expected values come from the Go package kubectl and the server use."""

from __future__ import annotations

import copy
import gzip
from typing import Any

import orjson
import pytest

from tiphys.apimachinery.names import GroupVersionKind
from tiphys.apimachinery.patchmeta import UNKNOWN, PatchSchema, PatchTable, builtin
from tiphys.apimachinery.strategicmerge import (
    PatchConflictError,
    StrategicMergeError,
    apply,
    create_three_way,
    create_two_way,
)


def schema_of(group: str, version: str, kind: str) -> PatchSchema:
    found = builtin().schema(GroupVersionKind(group, version, kind))
    assert found is not None
    return found


DEPLOYMENT = schema_of("apps", "v1", "Deployment")
SERVICE = schema_of("", "v1", "Service")
POD = schema_of("", "v1", "Pod")


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


# ---- which lists merge ----


def test_the_table_knows_merge_keys_and_strategies() -> None:
    spec = DEPLOYMENT.field("spec").schema
    containers = spec.field("template").schema.field("spec").schema.field("containers")
    assert (containers.merge, containers.merge_key) == (True, "name")
    assert containers.schema.field("ports").merge_key == "containerPort"
    volumes = spec.field("template").schema.field("spec").schema.field("volumes")
    assert (volumes.merge, volumes.retain_keys, volumes.merge_key) == (True, True, "name")
    assert spec.field("strategy").retain_keys
    assert DEPLOYMENT.field("metadata").schema.field("finalizers").merge
    assert SERVICE.field("spec").schema.field("ports").merge_key == "port"
    assert not spec.field("template").schema.field("spec").schema.field("tolerations").merge


def test_a_kind_without_strategies_is_known_and_a_custom_one_is_not() -> None:
    assert builtin().schema(GroupVersionKind("", "v1", "ConfigMap")) is not None
    assert builtin().schema(GroupVersionKind("argoproj.io", "v1alpha1", "Application")) is None
    assert not UNKNOWN.field("anything").merge
    assert len(builtin()) > 60


def test_a_table_is_loaded_from_its_bytes() -> None:
    document = {"kinds": {"g/v1/K": 0, "g/v1/L": -1}, "types": [["K", {"*": [0, "merge", "id"]}]]}
    table = PatchTable.load(gzip.compress(orjson.dumps(document)))
    found = table.schema(GroupVersionKind("g", "v1", "K"))
    assert found is not None
    assert found.field("any").merge_key == "id"
    assert found.field("any").schema is found
    assert table.schema(GroupVersionKind("g", "v1", "L")) is UNKNOWN


# ---- apply ----


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        # objects merge, null removes, plain lists are replaced
        (
            {"metadata": {"labels": {"a": "1"}}},
            {"metadata": {"labels": {"b": "2"}}},
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
        ),
        ({"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": None}}, {"metadata": {}}),
        (pod(tolerations=[{"key": "a"}]), pod(tolerations=[{"key": "b"}]), pod(tolerations=[{"key": "b"}])),
        ({}, {"spec": {"a": None, "b": {"c": None}}}, {"spec": {"b": {}}}),
        # keyed lists: changed items stay in place, new ones follow the patch
        (
            pod(containers=[{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]),
            pod(containers=[{"name": "b", "image": "3"}]),
            pod(containers=[{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]),
        ),
        (pod(containers=named("a", "b")), pod(containers=named("c")), pod(containers=named("c", "a", "b"))),
        # $patch: delete
        (
            pod(containers=named("a", "b")),
            pod(containers=[{"name": "a", "$patch": "delete"}]),
            pod(containers=named("b")),
        ),
        (pod(containers=named("a")), pod(containers=[{"name": "z", "$patch": "delete"}]), pod(containers=named("a"))),
        (pod(securityContext={"a": 1}), pod(securityContext={"$patch": "delete"}), pod(securityContext={})),
        (pod(), pod(securityContext={"$patch": "delete"}), pod()),
        ({}, pod(containers=[{"name": "a", "$patch": "delete"}, {"name": "b"}]), pod(containers=named("b"))),
        # $patch: replace
        (
            pod(securityContext={"a": 1}),
            pod(securityContext={"$patch": "replace", "b": 2}),
            pod(securityContext={"b": 2}),
        ),
        (
            pod(containers=named("a", "b")),
            pod(containers=[{"name": "c"}, {"$patch": "replace"}]),
            pod(containers=named("c")),
        ),
        # sets of scalars
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c", "b"]}},
            {"metadata": {"finalizers": ["c", "a", "b"]}},
        ),
        (
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b", "z"]}},
            {"metadata": {"finalizers": ["a", "c"]}},
        ),
        # $setElementOrder
        (
            pod(containers=named("a", "b", "c")),
            pod(**{"$setElementOrder/containers": named("c", "a")}),
            pod(containers=named("b", "c", "a")),
        ),
        (
            pod(containers=named("a", "b")),
            pod(containers=named("c"), **{"$setElementOrder/containers": named("c", "a", "b")}),
            pod(containers=named("c", "a", "b")),
        ),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["c"], "$setElementOrder/finalizers": ["b", "c", "a"]}},
            {"metadata": {"finalizers": ["b", "c", "a"]}},
        ),
        (pod(), pod(**{"$setElementOrder/containers": named("a")}), pod()),
        # $retainKeys
        (
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
            {"spec": {"strategy": {"type": "Recreate"}}},
        ),
    ],
)
def test_a_patch_is_applied_as_the_server_applies_it(original: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((original, patch))
    schema = DEPLOYMENT if "strategy" in original.get("spec", {}) else POD
    assert apply(original, patch, schema) == result
    assert (original, patch) == before


def test_a_deletion_moves_what_the_server_takes_its_order_from() -> None:
    # The place of the deleted item is taken by the appended one in the list that says where live items stand.
    patch = pod(
        containers=[{"name": "a", "$patch": "delete"}, {"name": "d"}], **{"$setElementOrder/containers": named("d")}
    )
    assert apply(pod(containers=named("a", "b", "c")), patch, POD) == pod(containers=named("b", "c", "d"))
    patch = pod(containers=[{"name": "d"}], **{"$setElementOrder/containers": named("d")})
    assert apply(pod(containers=named("a", "b", "c")), patch, POD) == pod(containers=named("d", "a", "b", "c"))


@pytest.mark.parametrize(
    ("original", "patch", "message", "code"),
    [
        (
            pod(containers=named("a")),
            pod(containers=[{"image": "x"}]),
            "does not contain declared merge key: name",
            500,
        ),
        (pod(containers=named("a")), pod(containers=["x"]), "list element types are not identical", 500),
        (
            pod(containers=named("a")),
            pod(containers=[{"name": "a", "$patch": "merge"}]),
            "merging lists cannot yet",
            500,
        ),
        (
            pod(containers=named("a")),
            pod(containers=[{"name": "a", "$patch": "x"}]),
            "unknown patch type: x in map: map[",
            500,
        ),
        (pod(securityContext={"a": 1}), pod(securityContext={"$patch": "x"}), "unknown patch type: x", 500),
        (pod(containers=[[1]]), pod(containers=[[2]]), "lists of lists are not supported", 422),
        (pod(a=1), {"spec": {"$setElementOrder": []}}, "invalid patch format of setElementOrder list", 400),
        (pod(a=1), {"spec": {"$deleteFromPrimitiveList": []}}, "invalid patch format of primitive list", 400),
        (
            pod(securityContext={"a": 1}),
            pod(securityContext={"$retainKeys": ["a"], "b": 1}),
            "invalid patch format of retainKeys",
            400,
        ),
        (
            pod(containers=named("a", "b")),
            pod(containers=named("b", "a"), **{"$setElementOrder/containers": named("a", "b")}),
            "The order in patch list:",
            500,
        ),
    ],
)
def test_a_patch_that_breaks_the_rules_is_refused(original: Any, patch: Any, message: str, code: int) -> None:
    with pytest.raises(StrategicMergeError) as error:
        apply(original, patch, POD)
    assert message in str(error.value)
    assert error.value.code == code


# ---- create ----


@pytest.mark.parametrize(
    ("original", "modified", "patch"),
    [
        (pod(a=1), pod(a=1), {}),
        (pod(a=1, b=2), pod(a=2), pod(a=2, b=None)),
        (
            pod(containers=[{"name": "a", "image": "1"}, {"name": "b"}]),
            pod(containers=[{"name": "a", "image": "2"}]),
            pod(
                containers=[{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}],
                **{"$setElementOrder/containers": named("a")},
            ),
        ),
        (
            pod(containers=named("a", "b")),
            pod(containers=named("b", "a")),
            pod(**{"$setElementOrder/containers": named("b", "a")}),
        ),
        (pod(containers=[]), pod(containers=named("a")), pod(containers=named("a"))),
        (
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
            {
                "metadata": {
                    "finalizers": ["c"],
                    "$deleteFromPrimitiveList/finalizers": ["a"],
                    "$setElementOrder/finalizers": ["b", "c"],
                }
            },
        ),
        (
            pod(volumes=[{"name": "v", "emptyDir": {}}]),
            pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
            pod(
                volumes=[
                    {"$retainKeys": ["name", "secret"], "emptyDir": None, "name": "v", "secret": {"secretName": "s"}}
                ],
                **{"$setElementOrder/volumes": named("v")},
            ),
        ),
    ],
)
def test_a_two_way_patch_holds_what_differs(original: Any, modified: Any, patch: Any) -> None:
    before = copy.deepcopy((original, modified))
    assert create_two_way(original, modified, POD) == patch
    assert apply(original, patch, POD) == modified
    assert (original, modified) == before


def test_three_ways_keep_what_others_added_and_delete_what_was_ours() -> None:
    original = pod(containers=[{"name": "ours", "image": "1"}, {"name": "gone"}], hostNetwork=True)
    modified = pod(containers=[{"name": "ours", "image": "2"}])
    current = pod(
        containers=[{"name": "ours", "image": "1", "tty": True}, {"name": "gone"}, {"name": "sidecar"}],
        hostNetwork=True,
        nodeName="n",
    )
    patch = create_three_way(original, modified, current, POD)
    assert patch == pod(
        containers=[{"name": "ours", "image": "2"}, {"name": "gone", "$patch": "delete"}],
        hostNetwork=None,
        **{"$setElementOrder/containers": named("ours")},
    )
    # Where the patch names no order between ours and theirs, the live order decides.
    assert apply(current, patch, POD) == pod(
        containers=[{"name": "ours", "image": "2", "tty": True}, {"name": "sidecar"}], nodeName="n"
    )


def test_three_ways_of_a_strategy_retain_only_its_keys() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}
    patch = create_three_way(
        {"spec": {"strategy": rolling}},
        {"spec": {"strategy": {"type": "Recreate"}}},
        {"spec": {"strategy": rolling}},
        DEPLOYMENT,
    )
    assert patch == {"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": None, "type": "Recreate"}}}


def test_a_first_apply_deletes_nothing() -> None:
    assert create_three_way(None, pod(a=1), pod(a=1, b=2), POD) == {}
    assert create_three_way(None, pod(a=2), pod(a=1, b=2), POD) == pod(a=2)


def test_a_quantity_or_zero_value_the_server_rewrote_is_a_difference_here() -> None:
    # Normalising is the business of the caller, as it is kubectl's server's.
    assert create_three_way(pod(a="0.5"), pod(a="0.5"), pod(a="500m"), POD) == pod(a="0.5")


def test_ports_of_one_number_are_told_apart_by_nothing() -> None:
    two = {"spec": {"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}
    assert create_two_way(two, copy.deepcopy(two), SERVICE) == {}


def test_an_unknown_field_is_merged_or_replaced() -> None:
    original = {"spec": {"newer": {"a": 1}, "list": [{"name": "a"}]}}
    patch = {"spec": {"newer": {"b": 2}, "list": [{"name": "b"}]}}
    assert apply(original, patch, POD) == {"spec": {"newer": {"a": 1, "b": 2}, "list": [{"name": "b"}]}}


def test_without_overwrite_a_change_of_others_is_a_conflict() -> None:
    original, current = pod(a=1, b=1), pod(a=2, b=1)
    with pytest.raises(PatchConflictError):
        create_three_way(original, pod(a=3, b=1), current, POD, overwrite=False)
    assert create_three_way(original, pod(a=3, b=1), current, POD) == pod(a=3)
    assert create_three_way(original, pod(a=1, b=2), pod(a=1, b=1, c=1), POD, overwrite=False) == pod(b=2)
    conflicting = pod(containers=[{"name": "a", "image": "2"}])
    with pytest.raises(PatchConflictError):
        create_three_way(
            pod(containers=[{"name": "a", "image": "1"}]),
            pod(containers=[{"name": "a", "image": "3"}]),
            conflicting,
            POD,
            overwrite=False,
        )
