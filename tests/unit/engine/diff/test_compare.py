"""When an apply would change something, and what it would send. Source: compat 3.2."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tiphys.engine.diff.compare import compare, last_applied_text, same_content, with_last_applied
from tiphys.engine.diff.ignored import Ignored, without_pointer
from tiphys.model.annotations import LAST_APPLIED

Json = dict[str, Any]


def obj(kind: str, name: str = "a", api: str = "v1", **fields: Any) -> Json:
    """An object of a namespace."""
    metadata = {"name": name, "namespace": "ns", **fields.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def applied(manifest: Json, **changes: Any) -> Json:
    """The manifest as a server shows it after it was applied; `changes` are top-level fields that differ."""
    found = with_last_applied(manifest)
    server = {"uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3}
    return {**found, "metadata": {**found["metadata"], **server}, "status": {"x": 1}, **changes}


def deployment(**spec: Any) -> Json:
    """A Deployment whose container has the given fields."""
    container = {"name": "c", "image": "nginx", **spec}
    return obj(
        "Deployment",
        api="apps/v1",
        spec={
            "replicas": 1,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {"containers": [container]}},
        },
    )


def with_container(manifest: Json, **fields: Any) -> Json:
    """The spec of the Deployment with other container fields."""
    container = {**manifest["spec"]["template"]["spec"]["containers"][0], **fields}
    return {**manifest["spec"], "template": {"spec": {"containers": [container]}}}


def encode(text: str) -> str:
    """Base64, as data has it."""
    return base64.b64encode(text.encode()).decode()


def modified(target: Json, live: Json, *pointers: str) -> bool:
    """The verdict alone."""
    return compare(target, live, ignored=Ignored(pointers)).modified


def test_what_was_applied_and_not_touched_is_no_drift() -> None:
    """Server fields and status are not Git's."""
    target = deployment()
    found = compare(target, applied(target))

    assert (found.modified, found.patch) == (False, None)


@pytest.mark.parametrize(
    ("git", "live"),
    [
        ({"cpu": "1000m"}, {"cpu": "1"}),
        ({"cpu": 0.5}, {"cpu": "500m"}),
        ({"memory": "1024Mi"}, {"memory": "1Gi"}),
        ({"memory": 1073741824}, {"memory": "1073741824"}),
        ({"ephemeral-storage": "1e3"}, {"ephemeral-storage": "1e3"}),
    ],
)
def test_an_amount_in_another_spelling_is_no_drift(git: Json, live: Json) -> None:
    """The server writes amounts in one form."""
    target = deployment(resources={"limits": git})
    there = applied(target, spec=with_container(target, resources={"limits": live}))

    assert not modified(target, there)


def test_another_amount_is_drift() -> None:
    """And the patch holds the amount as Git writes it."""
    target = deployment(resources={"limits": {"cpu": "1000m"}})
    found = compare(target, applied(target, spec=with_container(target, resources={"limits": {"cpu": "2"}})))

    assert found.modified
    assert found.patch is not None
    container = found.patch["spec"]["template"]["spec"]["containers"][0]
    assert container == {"name": "c", "resources": {"limits": {"cpu": "1000m"}}}


@pytest.mark.parametrize(
    ("field", "zero", "other"),
    [("hostNetwork", False, True), ("terminationGracePeriodSeconds", 0, 30), ("nodeSelector", {}, None)],
)
def test_a_zero_value_in_git_equals_an_absent_field(field: str, zero: object, other: object) -> None:
    """The server drops it; a value somebody set instead is drift."""
    target = obj("Pod", spec={field: zero, "containers": []})
    absent = applied(target, spec={"containers": []})

    if field == "terminationGracePeriodSeconds":  # a pointer: zero is a value of its own
        assert modified(target, absent)
    else:
        assert not modified(target, absent)
    if other is not None:
        assert modified(target, applied(target, spec={field: other, "containers": []}))


def test_a_field_git_never_had_is_left_alone() -> None:
    """What others add is theirs."""
    target = deployment()
    there = applied(target, spec={**with_container(target, imagePullPolicy="Always"), "revisionHistoryLimit": 3})
    there["metadata"]["labels"] = {"team": "blue"}
    there["metadata"]["annotations"]["who"] = "me"

    assert not modified(target, there)


def test_a_field_git_has_no_more_is_removed() -> None:
    """It was applied once, so it is drift now, and the patch takes it out."""
    before = deployment(command=["sleep"])
    there = applied(before)
    found = compare(deployment(), there)

    assert found.modified
    assert not found.declared
    assert found.patch is not None
    assert found.patch["spec"]["template"]["spec"]["containers"] == [{"name": "c", "command": None}]


def test_lists_are_merged_by_their_keys() -> None:
    """A container or env entry that somebody added is theirs; one that Git dropped goes."""
    target = deployment(env=[{"name": "A", "value": "1"}])
    sidecar = {"name": "injected", "image": "proxy"}
    there = applied(target)
    containers = there["spec"]["template"]["spec"]["containers"]
    there["spec"]["template"]["spec"] = {
        "containers": [{**containers[0], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}, sidecar]
    }
    assert not modified(target, there)

    dropped = deployment()
    patch = compare(dropped, there).patch
    assert patch is not None
    entry = next(c for c in patch["spec"]["template"]["spec"]["containers"] if c["name"] == "c")
    assert entry["env"] in ([{"$patch": "delete", "name": "A"}], None)


def test_ports_without_a_protocol_are_the_servers_to_judge() -> None:
    """What was applied is what Git declares: the difference may be a default, so a dry-run decides."""
    target = obj("Service", spec={"ports": [{"port": 80}], "selector": {"a": "b"}})
    there = applied(target, spec={"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"a": "b"}})

    found = compare(target, there)
    assert found.declared or not found.modified


def test_without_a_last_applied_annotation_the_server_judges_too() -> None:
    """An object somebody made without client-side apply has defaults as well."""
    target = obj(
        "NetworkPolicy", api="networking.k8s.io/v1", spec={"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}
    )
    there = {**target, "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80, "protocol": "TCP"}]}]}}

    found = compare(target, there)

    assert (found.modified, found.declared, found.recorded) == (True, True, False)


def test_a_change_in_git_is_no_question_to_the_server() -> None:
    """Something else was applied last."""
    there = applied(obj("ConfigMap", data={"a": "1"}))

    found = compare(obj("ConfigMap", data={"a": "2"}), there)

    assert (found.modified, found.declared) == (True, False)
    assert found.patch is not None
    assert found.patch["data"] == {"a": "2"}


def test_custom_resources_are_merged_as_json() -> None:
    """Lists as a whole; fields others added stay; removed ones go; an explicit false against true is drift."""
    api = "example.com/v1"
    target = obj("Widget", api=api, spec={"on": False, "parts": [{"name": "a"}], "free": {}})
    same = applied(target, spec={"on": False, "parts": [{"name": "a"}], "free": {}, "size": 3})
    assert not modified(target, same)
    assert modified(target, applied(target, spec={**target["spec"], "on": True}))
    assert modified(target, applied(target, spec={**target["spec"], "parts": [{"name": "a"}, {"name": "b"}]}))

    without = obj("Widget", api=api, spec={"parts": [{"name": "a"}]})
    found = compare(without, applied(target))
    assert not found.strategic
    assert found.patch is not None
    assert found.patch["spec"] == {"on": None, "free": None}


def test_secrets_compare_string_data_as_data() -> None:
    """stringData is folded, wins over data, and a key Git dropped leaves data."""
    target = obj("Secret", stringData={"password": "new"}, data={"password": encode("old"), "other": encode("x")})
    there = applied(target, data={"password": encode("new"), "other": encode("x")})
    del there["stringData"]
    assert not modified(target, there)
    assert modified(target, {**there, "data": {"password": encode("hacked"), "other": encode("x")}})

    found = compare(obj("Secret", data={"other": encode("x")}), there)
    assert found.modified
    assert found.patch is not None
    assert found.patch["data"] == {"password": None}
    assert found.predicted is not None
    assert found.predicted["data"] == {"other": encode("x")}


def test_null_data_of_a_secret_is_an_empty_value() -> None:
    """As the server keeps it."""
    target = obj("Secret", data={"empty": None})

    assert not modified(target, applied(target, data={"empty": ""}))


@pytest.mark.parametrize("rules", [[], None])
def test_empty_rules_are_no_rules(rules: object) -> None:
    """The server answers null."""
    target = obj("Role", api="rbac.authorization.k8s.io/v1", rules=rules)

    assert not modified(target, applied(target, rules=None))
    assert not modified(target, applied(target, rules=[]))


def test_an_aggregated_role_without_rules_leaves_them_to_the_control_plane() -> None:
    """Rules that Git writes beside the aggregation are compared."""
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    target: Json = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "all"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
        "rules": [],
    }
    there = applied(target, rules=[rule])

    assert compare(target, there).patch is None
    assert modified({**target, "rules": [{**rule, "verbs": ["list"]}]}, there)


def test_ignored_pointers_do_not_count() -> None:
    """In maps and lists, with escapes; but the patch still carries the field."""
    target = deployment()
    there = applied(target, spec={**target["spec"], "replicas": 5})

    found = compare(target, there, ignored=Ignored(("/spec/replicas",)))

    assert not found.modified
    assert found.patch is not None
    assert found.patch["spec"] == {"replicas": 1}
    changed = applied(target, spec=with_container(target, image="other"))
    assert not modified(target, changed, "/spec/template/spec/containers/0/image")
    assert modified(target, changed, "/spec/template/spec/containers/1/image", "/nowhere", "/spec/replicas")
    annotated = obj("ConfigMap", metadata={"annotations": {"example.com/a~b": "1"}})
    other = applied(annotated)
    other["metadata"]["annotations"]["example.com/a~b"] = "2"
    assert not modified(annotated, other, "/metadata/annotations/example.com~1a~0b")


@pytest.mark.parametrize("pointer", ["", "/", "/a/9", "/a/x", "/b/c/d", "a"])
def test_a_pointer_to_nothing_changes_nothing(pointer: str) -> None:
    """RFC 6901 pointers that name no value, and texts that are none."""
    value = {"a": [1, 2], "b": 3}

    assert without_pointer(value, pointer) == {"a": [1, 2], "b": 3}


def test_the_last_applied_text_is_kubectls() -> None:
    """Sorted, compact, HTML escaped, with a new line; without itself; annotations always present."""
    manifest = obj("ConfigMap", data={"b": "<&>\u2028", "a": 'é"\\'})

    text = last_applied_text(with_last_applied(manifest))

    assert text == (
        '{"apiVersion":"v1","data":{"a":"é\\"\\\\","b":"\\u003c\\u0026\\u003e\\u2028"},"kind":"ConfigMap",'
        '"metadata":{"annotations":{},"name":"a","namespace":"ns"}}\n'
    )
    assert orjson.loads(text)["data"] == manifest["data"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_an_unreadable_annotation_counts_as_none(text: str) -> None:
    """Nothing is removed for it, and nothing breaks."""
    target = obj("ConfigMap", data={"a": "1"})
    there = obj("ConfigMap", data={"a": "1", "b": "2"}, metadata={"annotations": {LAST_APPLIED: text}})

    assert not modified(target, there)


def test_nothing_that_is_passed_in_is_changed() -> None:
    """Manifests are shared."""
    target = obj("Secret", stringData={"a": "b"})
    there = applied(target)
    before = orjson.dumps([target, there])

    compare(target, there, ignored=Ignored(("/data/a",)))

    assert orjson.dumps([target, there]) == before


def test_answers_of_two_writes_are_the_same_content_apart_from_what_writes_change() -> None:
    """Version, generation, managed fields, status and last-applied do not count."""
    one = applied(obj("ConfigMap", data={"a": "1"}))
    two = {**one, "metadata": {**one["metadata"], "resourceVersion": "9", "managedFields": [{}]}, "status": {}}

    assert same_content(one, two)
    assert not same_content(one, {**two, "data": {"a": "2"}})
