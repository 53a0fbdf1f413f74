"""The OpenAPI documents clients read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tiphys.devcluster.openapi_data import documents

GVK = "x-kubernetes-group-version-kind"


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    return {path: json.loads(text) for path, text in documents().items()}


def test_there_is_a_document_for_every_stable_group(parsed: dict[str, Any]) -> None:
    assert {"api/v1", "apis/apps/v1", "apis/batch/v1", "apis/networking.k8s.io/v1"} <= set(parsed)
    assert {"apis/apiextensions.k8s.io/v1", "apis/rbac.authorization.k8s.io/v1"} <= set(parsed)


def test_every_reference_leads_to_a_schema_of_the_same_document(parsed: dict[str, Any]) -> None:
    for path, document in parsed.items():
        schemas = document["components"]["schemas"]
        wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
        assert wanted <= set(schemas), path


def test_every_patch_names_a_kind_that_has_a_schema_and_validates_fields(parsed: dict[str, Any]) -> None:
    for document in parsed.values():
        known = [kind for schema in document["components"]["schemas"].values() for kind in schema.get(GVK, ())]
        for item in document["paths"].values():
            operation = item["patch"]
            assert operation[GVK] in known
            assert "fieldValidation" in [one["name"] for one in operation["parameters"]]


def test_schemas_carry_merge_keys_list_types_and_descriptions(parsed: dict[str, Any]) -> None:
    spec = parsed["apis/apps/v1"]["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]
    containers = spec["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-type"] == "map"
    assert containers["description"].startswith("List of containers belonging to the pod.")


def test_options_are_kinds_of_every_group(parsed: dict[str, Any]) -> None:
    name = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
    kinds = parsed["apis/apps/v1"]["components"]["schemas"][name][GVK]
    assert {"group": "batch", "version": "v1", "kind": "DeleteOptions"} in kinds
