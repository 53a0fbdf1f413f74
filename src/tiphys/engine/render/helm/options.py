"""The `helm` block of a source: read, checked, and with the build environment put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.apimachinery.yamljson import canonical_json
from tiphys.engine.render.environment import envsubst
from tiphys.engine.states import StageError

_ESCAPABLE_COMMA = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class HelmOptions:
    """What a source asks of a chart. `values` is YAML or JSON text, empty for none.

    `sets` and `string_sets` are `(name, value)` in the form of `--set`, `file_sets` are `(name, path)`.
    """

    value_files: tuple[str, ...] = ()
    ignore_missing_value_files: bool = False
    values: str = ""
    sets: tuple[tuple[str, str], ...] = ()
    string_sets: tuple[tuple[str, str], ...] = ()
    file_sets: tuple[tuple[str, str], ...] = ()
    release_name: str = ""
    namespace: str = ""
    skip_crds: bool = False
    skip_tests: bool = False
    skip_schema_validation: bool = False
    kube_version: str = ""
    api_versions: tuple[str, ...] | None = None


def read_options(block: Mapping[str, object], env: Mapping[str, str]) -> HelmOptions:
    """The options of a source. Raises StageError that lists every field of a wrong type.

    Source: compat 1.4; 1.2 "Build env".
    """
    reader = _Reader(block)
    sets: dict[str, str] = {}
    string_sets: dict[str, str] = {}
    file_sets: dict[str, str] = {}
    for number, entry in enumerate(reader.objects("parameters")):
        name, value = _text(entry, "name"), _text(entry, "value")
        if name is None or value is None:
            reader.problems.append(f"helm.parameters[{number}]: name and value are strings")
            continue
        forced = entry.get("forceString") is True
        (string_sets if forced else sets)[name] = escape_commas(envsubst(value, env))
    for number, entry in enumerate(reader.objects("fileParameters")):
        name, path = _text(entry, "name"), _text(entry, "path")
        if name is None or path is None:
            reader.problems.append(f"helm.fileParameters[{number}]: name and path are strings")
            continue
        file_sets[name] = envsubst(path, env)
    values = reader.text("values")
    inline = block.get("valuesObject")
    if inline is not None:
        if not isinstance(inline, Mapping):
            reader.problems.append("helm.valuesObject is not an object")
        else:
            values = canonical_json(inline).decode()
    options = HelmOptions(
        value_files=tuple(envsubst(path, env) for path in reader.texts("valueFiles")),
        ignore_missing_value_files=reader.switch("ignoreMissingValueFiles"),
        values=values,
        sets=tuple(sets.items()),
        string_sets=tuple(string_sets.items()),
        file_sets=tuple(file_sets.items()),
        release_name=reader.text("releaseName"),
        namespace=reader.text("namespace"),
        skip_crds=reader.switch("skipCrds"),
        skip_tests=reader.switch("skipTests"),
        skip_schema_validation=reader.switch("skipSchemaValidation"),
        kube_version=reader.text("kubeVersion"),
        api_versions=tuple(reader.texts("apiVersions")) or None,
    )
    if reader.problems:
        raise StageError("render", "ComparisonError", "; ".join(reader.problems))
    return options


def escape_commas(value: str) -> str:
    """A parameter's value as `--set` takes it: commas are part of it, unless it is a list in braces."""
    if value.startswith("{") and value.endswith("}"):
        return value
    return _ESCAPABLE_COMMA.sub(r"\\,", value)


def _text(entry: Mapping[str, object], name: str) -> str | None:
    value = entry.get(name, "")
    return value if isinstance(value, str) else None


class _Reader:
    """Fields of the block by type; collects what is wrong."""

    def __init__(self, block: Mapping[str, object]) -> None:
        self._block = block
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        value = self._block.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.problems.append(f"helm.{name} is not a string")
            return ""
        return value

    def switch(self, name: str) -> bool:
        value = self._block.get(name)
        if value is not None and not isinstance(value, bool):
            self.problems.append(f"helm.{name} is not a boolean")
        return value is True

    def texts(self, name: str) -> list[str]:
        value = self._block.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problems.append(f"helm.{name} is not a list of strings")
            return []
        return list(value)

    def objects(self, name: str) -> list[Mapping[str, object]]:
        value = self._block.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            self.problems.append(f"helm.{name} is not a list of objects")
            return []
        return list(value)
