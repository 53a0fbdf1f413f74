"""The workload: the same bytes every time, and the same objects whatever the flavour."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench import renderload, workload
from bench.benches import big, waves
from bench.equivalence import compare
from tests.support.processes import BIN


def loaded(files: workload.Files, prefix: str) -> list[Any]:
    return [yaml.safe_load(text) for name, text in files.items() if name.startswith(prefix)]


def test_every_run_gets_the_same_bytes() -> None:
    assert workload.files(4, "mixed") == workload.files(4, "mixed")


def test_text_written_as_yaml_is_read_as_it_was() -> None:
    obj = {"a": {"b": [{"c": "0", "d": 1}, {"e": "yes", "f": ["x", "", "a: b"]}], "g": True}, "h/i.j": "x\ny"}

    assert yaml.safe_load(workload.to_yaml(obj)) == obj


def test_plain_files_hold_the_declared_objects() -> None:
    found = loaded(workload.files(2, "plain"), "apps/app-0001/")

    assert found == workload.objects(1)


def test_namespaces_hold_ten_applications() -> None:
    assert [workload.namespace_of(i) for i in (0, 9, 10, 2999)] == ["bench-000", "bench-000", "bench-001", "bench-299"]


def test_a_mixed_repository_has_a_third_of_each() -> None:
    kinds = [app.flavour for app in workload.fleet(6, "mixed")]

    assert kinds == ["plain", "helm", "kustomize"] * 2


@pytest.mark.parametrize("flavour", workload.FLAVOURS)
def test_a_commit_to_an_application_changes_one_file_that_was_there(flavour: str) -> None:
    before = workload.files(3, flavour)
    after = workload.changed_files(1, flavour, "v1")

    assert len(after) == 1
    assert all(before[name] != text for name, text in after.items())


def test_an_overlay_makes_the_declared_objects_with_its_version_and_what_the_base_got(tmp_path: Path) -> None:
    changed = {**workload.changed_files(1, "kustomize", "v7"), **workload.base("other")}
    write(tmp_path, {**workload.files(2, "kustomize"), **changed})

    built = kustomize(tmp_path / "apps" / "app-0001")

    assert compare(workload.objects(1, "v7", extra="other"), built)["objects"] == 3


def test_what_is_rendered_has_a_base_of_six_objects(tmp_path: Path) -> None:
    write(tmp_path, renderload.files(1, "kustomize"))

    built = kustomize(tmp_path / "apps" / "app-0000")

    assert len(built) == renderload.BASE_OBJECTS
    assert next(o for o in built if o["kind"] == "Deployment")["metadata"]["name"] == "app-0000-service"


def test_the_chart_has_twelve_templates() -> None:
    templates = [name for name in renderload.chart() if name.endswith(".yaml") and "/templates/" in name]

    assert len(templates) == renderload.TEMPLATES


def test_the_big_application_has_two_thousand_objects_in_twenty_files() -> None:
    (text,) = big.file_of(1, {105: "b1"}).values()
    objects = list(yaml.load_all(text, Loader=yaml.CSafeLoader))

    assert big.FILES * len(objects) == 2000
    assert objects[5] == big.one(105, "b1")


def test_waves_are_one_application_or_ten_in_a_chain() -> None:
    (single,) = waves.applications("x", chained=False)
    chained = waves.applications("x", chained=True)

    assert single.path == "waves/x"
    assert [app.after for app in chained[:3]] == ["", "chain-x-0", "chain-x-1"]
    assert {app.path for app in chained} == {f"chain/x/{n}" for n in range(10)}


def write(root: Path, files: workload.Files) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def kustomize(folder: Path) -> list[Any]:
    done = subprocess.run([BIN / "kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))
