"""Paths, Accept headers and query parameters."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.apierrors import NotAcceptable, UnsupportedMediaType
from tiphys.devcluster.negotiation import AggregatedForm, Form, Query, discovery_form, object_form, patch_type
from tiphys.devcluster.routes import ObjectPath, parse_object_path

KUBECTL_TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
KUBECTL_DISCOVERY = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ObjectPath("", "v1", "", "pods", "", "")),
        ("/api/v1/namespaces", ObjectPath("", "v1", "", "namespaces", "", "")),
        ("/api/v1/namespaces/x", ObjectPath("", "v1", "", "namespaces", "x", "")),
        ("/api/v1/namespaces/x/status", ObjectPath("", "v1", "", "namespaces", "x", "status")),
        ("/api/v1/namespaces/x/finalize", ObjectPath("", "v1", "", "namespaces", "x", "finalize")),
        ("/api/v1/namespaces/x/pods", ObjectPath("", "v1", "x", "pods", "", "")),
        ("/api/v1/namespaces/x/pods/p/log", ObjectPath("", "v1", "x", "pods", "p", "log")),
        ("/api/v1/namespaces/x/pods/p/proxy/a/b", ObjectPath("", "v1", "x", "pods", "p", "proxy", "a/b")),
        ("/apis/apps/v1/namespaces/x/deployments/d", ObjectPath("apps", "v1", "x", "deployments", "d", "")),
        ("/apis/a.io/v1/crs/n/status", ObjectPath("a.io", "v1", "", "crs", "n", "status")),
        ("/apis/a.io/v1/namespaces/x/crs/n%3Am", ObjectPath("a.io", "v1", "x", "crs", "n:m", "")),
        ("/api/v1", None),
        ("/apis/apps", None),
        ("/apis/apps/v1", None),
        ("/version", None),
    ],
)
def test_a_path_names_one_thing(path: str, expected: ObjectPath | None) -> None:
    assert parse_object_path(path) == expected


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.FULL),
        ("*/*", Form.FULL),
        ("application/json", Form.FULL),
        (KUBECTL_TABLE, Form.TABLE),
        ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json", Form.PARTIAL),
        ("application/vnd.kubernetes.protobuf,application/json", Form.FULL),
        ("application/vnd.kubernetes.protobuf", Form.FULL),
        ("application/json;as=Nonsense;g=x;v=v1,application/json", Form.FULL),
    ],
)
def test_the_form_of_objects_is_what_the_client_prefers(accept: str, form: Form) -> None:
    assert object_form(accept)[0] is form


def test_yaml_can_be_asked_for_and_other_types_are_refused() -> None:
    assert object_form("application/yaml") == (Form.FULL, True)
    with pytest.raises(NotAcceptable):
        object_form("text/html")


def test_discovery_is_aggregated_only_when_asked() -> None:
    assert discovery_form(KUBECTL_DISCOVERY) is AggregatedForm.V2
    assert discovery_form(KUBECTL_DISCOVERY.split(",", 1)[1]) is AggregatedForm.V2BETA1
    assert discovery_form("application/json," + KUBECTL_DISCOVERY) is AggregatedForm.NONE
    assert discovery_form("") is AggregatedForm.NONE


def test_only_absence_zero_and_false_are_false() -> None:
    for text in ("1", "t", "true", "True", "TRUE", "yes", ""):
        assert Query(f"watch={text}".encode()).flag("watch"), text
    for text in ("0", "false", "False", "FALSE"):
        assert not Query(f"watch={text}".encode()).flag("watch"), text
    assert not Query(b"").flag("watch")


def test_strategic_patches_do_not_exist_for_custom_resources() -> None:
    strategic = "application/strategic-merge-patch+json"

    assert patch_type(strategic, custom=False) == "strategic"
    with pytest.raises(UnsupportedMediaType, match="application/apply-patch"):
        patch_type(strategic, custom=True)
    with pytest.raises(UnsupportedMediaType):
        patch_type("application/json", custom=False)
