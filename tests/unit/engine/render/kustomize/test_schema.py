"""The definitions given to a build: as many as it needs, and none where the built-in ones must be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.engine.render.conftest import TOOLS

from tiphys.engine.render.kustomize.schema import (
    DIRECT_VERSIONS,
    FILE_NAME,
    KNOWN_VERSIONS,
    Definitions,
    kyaml_version,
    packed_definitions,
    with_schema,
)

DEPLOYMENT = b"apiVersion: apps/v1\nkind: Deployment\n"


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return Definitions(packed_definitions())


def _kinds(schema: bytes | None) -> set[str]:
    assert schema is not None
    found = json.loads(schema)["definitions"]
    return {gvk["kind"] for one in found.values() for gvk in one.get("x-kubernetes-group-version-kind", ())}


def test_the_installed_kubectl_has_the_definitions_of_the_package() -> None:
    """Another version of Kustomize may have others: then this fails, and its own are used until they are compared."""
    assert kyaml_version(TOOLS.kubectl) in KNOWN_VERSIONS & DIRECT_VERSIONS


def test_a_program_says_which_kustomize_it_has(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_bytes(b"dep\tsigs.k8s.io/kustomize/kyaml\tv9.9.9\th1:x\n")
    assert kyaml_version(str(program)) == "v9.9.9"
    program.write_bytes(b"")
    assert kyaml_version(str(program)) == ""
    assert kyaml_version(str(tmp_path / "none")) == ""


def test_a_build_gets_the_kinds_it_mentions_and_all_that_they_refer_to(definitions: Definitions) -> None:
    schema = definitions.schema([DEPLOYMENT, b"kind: Thing"])
    assert {"Deployment", "ConfigMap", "Secret"} <= _kinds(schema)
    assert "Ingress" not in _kinds(schema)
    assert schema is not None
    found = json.loads(schema)["definitions"]
    containers = found["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert "io.k8s.api.core.v1.Container" in found
    assert b'"description":"' not in schema.replace(b'"description":"-"', b"")


@pytest.mark.parametrize("text", [b"replacements: []", b"Vars: []", b'# {"$ref": "#/definitions/x"}'])
def test_what_may_put_a_kind_together_gets_all_kinds(definitions: Definitions, text: bytes) -> None:
    assert {"Ingress", "Deployment", "CronJob"} <= _kinds(definitions.schema([text]))


@pytest.mark.parametrize(
    "text",
    [
        b"openapi: {path: x}",
        b"OpenAPI:\n  version: v1",
        b'"open\\u0061pi": {}',
        b'kind: "Deploy\\\nment"',
        b"kind: !!binary RGVwbG95bWVudA==",
        "openapi: {}".encode("utf-16"),
    ],
)
def test_what_may_bring_a_schema_or_hide_a_word_keeps_the_built_in_one(definitions: Definitions, text: bytes) -> None:
    assert definitions.schema([DEPLOYMENT, text]) is None


def test_schemas_of_custom_resource_definitions_are_no_schema_of_the_build(definitions: Definitions) -> None:
    schema = definitions.schema([b"kind: CustomResourceDefinition\nspec: {schema: {openAPIV3Schema: {type: object}}}"])
    assert "CustomResourceDefinition" in _kinds(schema)


def test_the_lines_of_a_kustomization_stay_as_they_are(definitions: Definitions, tmp_path: Path) -> None:
    text = b"# first\nresources:\n- a.yaml  # one\n\n\n"
    file = tmp_path / "kustomization.yaml"
    file.write_bytes(text)
    assert with_schema(tmp_path, definitions, [DEPLOYMENT, text])
    assert file.read_bytes() == text.rstrip() + f"\nopenapi:\n  path: {FILE_NAME}\n".encode()
    assert "Deployment" in _kinds((tmp_path / FILE_NAME).read_bytes())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"resources: [a",
        b"{resources: [a.yaml]}",
        b"resources: [a]\n---\nresources: [b]\n",
        b"resources: [a]\n...\n",
        b"resources:\n  - |\n    a\n  \t",
    ],
)
def test_a_kustomization_that_cannot_simply_be_added_to_is_left_alone(
    definitions: Definitions, tmp_path: Path, text: bytes
) -> None:
    file = tmp_path / "kustomization.yaml"
    file.write_bytes(text)
    if with_schema(tmp_path, definitions, [text]):
        assert file.read_bytes().startswith(text.rstrip())
    else:
        assert file.read_bytes() == text
        assert not (tmp_path / FILE_NAME).exists()


def test_a_file_of_the_same_name_is_not_overwritten(definitions: Definitions, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_bytes(b"resources: [a.yaml]\n")
    (tmp_path / FILE_NAME).write_bytes(b"theirs")
    assert not with_schema(tmp_path, definitions, [DEPLOYMENT])
    assert (tmp_path / FILE_NAME).read_bytes() == b"theirs"
