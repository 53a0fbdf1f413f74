"""What a server-side apply would change, judged without asking the server."""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.apimachinery import fieldset, structuredmerge
from tiphys.apimachinery.mergeschema import MergeSchemas
from tiphys.apimachinery.names import gvk_of
from tiphys.engine.diff.ignored import Ignored
from tiphys.engine.diff.serverside import compare_applied


def deployment(**spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "nginx:1", **spec.pop("container", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", **spec.pop("metadata", {})},
        "spec": {"template": {"spec": {"containers": [container], **spec.pop("pod", {})}}, **spec},
    }


def owned(config: dict[str, Any]) -> bytes:
    schema = MergeSchemas.builtin().for_kind(gvk_of(config))
    assert schema is not None
    fields = structuredmerge.to_set({k: v for k, v in config.items() if k not in ("apiVersion", "kind")}, schema.atom)
    fields = fieldset.difference(fields, {"f:metadata": {"f:name": {}, "f:namespace": {}}})
    return orjson.dumps(fieldset.encode(fields))


def test_what_the_server_and_others_added_is_no_difference() -> None:
    target = deployment(replicas=2, container={"ports": [{"containerPort": 80}]})
    live = deployment(
        replicas=2,
        revisionHistoryLimit=10,
        container={"ports": [{"containerPort": 80, "protocol": "TCP"}], "imagePullPolicy": "Always"},
        pod={"restartPolicy": "Always"},
        metadata={"annotations": {"other": "x"}, "uid": "1", "resourceVersion": "7"},
    )
    live["status"] = {"replicas": 2}
    assert not compare_applied(target, live, owned(target)).modified


def test_a_quantity_in_another_form_is_no_difference() -> None:
    target = deployment(container={"resources": {"requests": {"cpu": "1000m"}}})
    live = deployment(container={"resources": {"requests": {"cpu": "1"}}})
    assert not compare_applied(target, live, owned(target)).modified


def test_a_declared_field_that_differs_is_a_difference() -> None:
    difference = compare_applied(deployment(replicas=2), deployment(replicas=3), b"")
    assert difference.modified
    assert difference.predicted is not None
    assert difference.predicted["spec"]["replicas"] == 2


def test_a_field_we_own_and_no_longer_declare_is_a_difference() -> None:
    before = deployment(replicas=2, container={"command": ["sleep"]})
    assert compare_applied(deployment(replicas=2), before, owned(before)).modified
    assert not compare_applied(deployment(replicas=2), before, owned(deployment(replicas=2))).modified


def test_an_item_of_a_keyed_list_we_no_longer_declare_is_a_difference() -> None:
    before = deployment(container={"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]})
    now = deployment(container={"env": [{"name": "A", "value": "1"}]})
    assert compare_applied(now, before, owned(before)).modified


def test_an_ignored_field_does_not_count() -> None:
    assert not compare_applied(
        deployment(replicas=2), deployment(replicas=3), b"", ignored=Ignored(("/spec/replicas",))
    ).modified


def test_string_data_of_a_secret_is_compared_as_data() -> None:
    head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    target = {**head, "stringData": {"a": "b"}}
    assert not compare_applied(target, {**head, "data": {"a": "Yg=="}, "type": "Opaque"}, b"").modified
    assert compare_applied(target, {**head, "data": {"a": "Yw=="}}, b"").modified


def test_a_list_of_a_custom_kind_counts_as_one_value() -> None:
    head = {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "one"}}
    target = {**head, "spec": {"parts": [{"name": "a"}]}}
    assert not compare_applied(target, {**target, "status": {"x": 1}}, b"").modified
    assert compare_applied(target, {**head, "spec": {"parts": [{"name": "a", "size": 1}]}}, b"").modified
