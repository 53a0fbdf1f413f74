"""Objects read into Go structs and written again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.goshapes import DecodeError, decode, known
from tiphys.apimachinery.names import GroupVersionKind, gvk_of

DEPLOYMENT = GroupVersionKind("apps", "v1", "Deployment")
SECRET = GroupVersionKind("", "v1", "Secret")
CONFIG_MAP = GroupVersionKind("", "v1", "ConfigMap")

RECORDED = json.loads(
    (Path(__file__).parents[2] / "devcluster" / "recorded" / "defaulting-1.36.json").read_text(encoding="utf-8")
)


def containers(*given: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(given)}}}}


def first_container(given: dict[str, Any]) -> Any:
    return decode(containers(given), DEPLOYMENT).obj["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("case", sorted(RECORDED))
def test_what_a_server_wrote_is_already_canonical(case: str) -> None:
    written = RECORDED[case]["out"]
    decoded = decode(written, gvk_of(written))
    assert decoded.obj == written
    assert decoded.unknown == []


def test_zero_values_of_omitempty_fields_are_dropped() -> None:
    got = first_container(
        {"name": "c", "stdin": False, "command": [], "env": [{"name": "A", "value": ""}], "image": ""}
    )
    assert got == {"name": "c", "env": [{"name": "A"}], "resources": {}}


def test_zero_values_behind_a_pointer_are_kept() -> None:
    obj = decode({"spec": {"replicas": 0, "paused": False}}, DEPLOYMENT).obj
    assert obj["spec"]["replicas"] == 0
    assert "paused" not in obj["spec"]


def test_structs_that_are_no_pointers_and_fields_without_omitempty_are_always_present() -> None:
    obj = decode({}, DEPLOYMENT).obj
    assert obj == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {},
        "spec": {"selector": None, "template": {"metadata": {}, "spec": {"containers": None}}, "strategy": {}},
        "status": {},
    }


def test_a_list_without_omitempty_is_null_when_empty_or_absent() -> None:
    role = GroupVersionKind("rbac.authorization.k8s.io", "v1", "ClusterRole")
    assert decode({"rules": []}, role).obj["rules"] is None
    assert decode({}, role).obj["rules"] is None


def test_null_reads_as_absent_and_as_zero_inside_maps() -> None:
    obj = decode({"metadata": {"labels": {"a": None}, "creationTimestamp": None}, "data": None}, CONFIG_MAP).obj
    assert obj == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"labels": {"a": ""}}}


def test_unknown_fields_are_dropped_and_named_by_path_in_document_order() -> None:
    body = {
        "spec": {
            "replikas": 1,
            "template": {"spec": {"containers": [{"name": "c", "foo": 1}, {"env": [{"bar": 1}]}]}},
        },
        "x": 1,
    }
    decoded = decode(body, DEPLOYMENT)
    assert decoded.unknown == [
        "spec.replikas",
        "spec.template.spec.containers[0].foo",
        "spec.template.spec.containers[1].env[0].bar",
        "x",
    ]
    assert "replikas" not in decoded.obj["spec"]


def test_field_names_are_case_sensitive() -> None:
    assert decode({"Data": {"a": "b"}}, CONFIG_MAP).unknown == ["Data"]


@pytest.mark.parametrize(
    ("body", "gvk", "message"),
    [
        (
            {"spec": {"replicas": "x"}},
            DEPLOYMENT,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            containers({"env": [{"name": "a", "value": 1}]}),
            DEPLOYMENT,
            "json: cannot unmarshal number into Go struct field "
            "EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            containers({"imagePullPolicy": True}),
            DEPLOYMENT,
            "json: cannot unmarshal bool into Go struct field "
            "Container.spec.template.spec.containers.imagePullPolicy of type v1.PullPolicy",
        ),
        (
            {"spec": {"replicas": 3000000000}},
            DEPLOYMENT,
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            {"spec": []},
            DEPLOYMENT,
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (
            {"spec": {"template": {"spec": {"containers": {}}}}},
            DEPLOYMENT,
            "json: cannot unmarshal object into Go struct field "
            "PodSpec.spec.template.spec.containers of type []v1.Container",
        ),
        (
            {"data": ["a"]},
            CONFIG_MAP,
            "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            containers({"ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": {}}}}),
            DEPLOYMENT,
            "json: cannot unmarshal object into Go struct field "
            "HTTPGetAction.spec.template.spec.containers.livenessProbe.httpGet.port of type int32",
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named_as_encoding_json_names_it(
    body: dict[str, Any], gvk: GroupVersionKind, message: str
) -> None:
    with pytest.raises(DecodeError) as failed:
        decode(body, gvk)
    assert str(failed.value) == message


@pytest.mark.parametrize(
    ("text", "offset"),
    [("YQ=", 3), ("Y", 0), ("YQ", 0), ("YQ==x", 4), ("Y!==", 1), ("=", 0), ("a-b", 1), ("YWJj*", 4)],
)
def test_bad_base64_is_reported_at_the_byte_where_go_stops(text: str, offset: int) -> None:
    with pytest.raises(DecodeError) as failed:
        decode({"data": {"a": text}}, SECRET)
    assert str(failed.value) == f"illegal base64 data at input byte {offset}"


def test_base64_with_line_breaks_is_written_without_them() -> None:
    assert decode({"data": {"a": "YW\nJj\n"}}, SECRET).obj["data"] == {"a": "YWJj"}


def test_string_data_of_a_secret_is_folded_into_data_and_wins() -> None:
    obj = decode({"stringData": {"a": "b"}, "data": {"a": "WA==", "c": "ZA=="}}, SECRET).obj
    assert obj["data"] == {"a": "Yg==", "c": "ZA=="}
    assert "stringData" not in obj


def test_quantities_are_canonical_and_numbers_become_strings() -> None:
    given = {
        "requests": {"cpu": "0.5", "memory": "1024Mi", "ephemeral-storage": 10},
        "limits": {"cpu": 1, "memory": "1.5Gi"},
    }
    got = first_container({"name": "c", "resources": given})["resources"]
    assert got == {
        "requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "10"},
        "limits": {"cpu": "1", "memory": "1536Mi"},
    }


def test_times_are_written_in_utc_with_whole_seconds() -> None:
    obj = decode({"metadata": {"creationTimestamp": "2020-01-01T00:00:00.5+01:00"}}, CONFIG_MAP).obj
    assert obj["metadata"]["creationTimestamp"] == "2019-12-31T23:00:00Z"


def test_micro_times_keep_six_digits() -> None:
    lease = GroupVersionKind("coordination.k8s.io", "v1", "Lease")
    obj = decode({"spec": {"renewTime": "2020-01-01T01:00:00.123456+01:00"}}, lease).obj
    assert obj["spec"]["renewTime"] == "2020-01-01T00:00:00.123456Z"


def test_integers_or_strings_stay_what_they_are() -> None:
    service = GroupVersionKind("", "v1", "Service")
    body = {"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 8081}, {"port": 82}]}}
    ports = decode(body, service).obj["spec"]["ports"]
    assert [port["targetPort"] for port in ports] == ["http", 8081, 0]


def test_the_input_is_not_changed_and_shares_no_container_with_the_output() -> None:
    body = {"metadata": {"labels": {"a": "b"}}, "data": {"x": "y"}}
    before = json.dumps(body)
    obj = decode(body, CONFIG_MAP).obj
    obj["data"]["x"] = "changed"
    obj["metadata"]["labels"]["a"] = "changed"
    assert json.dumps(body) == before


def test_schemas_of_definitions_keep_booleans_lists_and_nested_schemas() -> None:
    definition = GroupVersionKind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": {"type": "array", "items": {"type": "string", "default": "x"}}, "b": {"enum": ["1", 2]}},
    }
    body = {
        "spec": {"versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}
    }
    got = decode(body, definition).obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert got == schema


def test_options_are_known_in_every_group_version() -> None:
    assert known(GroupVersionKind("apps", "v1", "DeleteOptions"))
    assert known(GroupVersionKind("", "v1", "DeleteOptions"))
    assert known(GroupVersionKind("x.example.com", "v1", "DeleteOptions"))


def test_kinds_that_are_not_built_in_are_not_known() -> None:
    gvk = GroupVersionKind("argoproj.io", "v1alpha1", "Application")
    assert not known(gvk)
    with pytest.raises(KeyError):
        decode({}, gvk)


def test_null_bytes_in_a_map_are_empty() -> None:
    assert decode({"data": {"a": None, "b": "YQ=="}}, SECRET).obj["data"] == {"a": "", "b": "YQ=="}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
        ("2020-01-01", 'parsing time "2020-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        ("2020-13-01T00:00:00Z", 'parsing time "2020-13-01T00:00:00Z": month out of range'),
        ("2020-02-30T00:00:00Z", 'parsing time "2020-02-30T00:00:00Z": day out of range'),
        ("2020-02-01T24:00:00Z", 'parsing time "2020-02-01T24:00:00Z": hour out of range'),
        ("2020-02-01T00:00:00Zx", 'parsing time "2020-02-01T00:00:00Zx": extra text: "x"'),
    ],
)
def test_times_that_cannot_be_read_are_refused_as_go_refuses_them(text: str, message: str) -> None:
    with pytest.raises(DecodeError) as failed:
        decode({"metadata": {"creationTimestamp": text}}, CONFIG_MAP)
    assert str(failed.value) == message


def test_micro_times_need_six_digits() -> None:
    lease = GroupVersionKind("coordination.k8s.io", "v1", "Lease")
    with pytest.raises(DecodeError) as failed:
        decode({"spec": {"renewTime": "2026-01-01T00:00:00Z"}}, lease)
    assert str(failed.value) == (
        'parsing time "2026-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'
    )
