"""What a kustomization refers to, and how its fields are read.

Kustomize decodes its files with Go's JSON decoder, which matches the names of fields without regard to case; so does
everything here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

KUSTOMIZATION_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")

# The fields as Kustomize 5 spells them.
FIELDS = (
    "apiVersion",
    "kind",
    "metadata",
    "openapi",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "patches",
    "images",
    "imageTags",
    "replacements",
    "replicas",
    "vars",
    "sortOptions",
    "resources",
    "components",
    "crds",
    "bases",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "inventory",
    "buildMetadata",
)
_SPELLING = {name.lower(): name for name in FIELDS}
HELM_FIELDS = ("helmCharts", "helmChartInflationGenerator")

_REMOTE = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://|git::|gh:|git@|github\.com[:/]|[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+[:/]", re.IGNORECASE
)


class Kind(Enum):
    """What an entry of a kustomization may be."""

    FILE = "a file"
    DIRECTORY = "a directory"
    EITHER = "a file or a directory"
    FILE_OR_INLINE = "a file or the text itself"
    PLUGIN = "a file, a directory or the text itself"
    OPTIONAL_FILE = "a file, if it is there"


class Reference(NamedTuple):
    """One entry that names something to read: `field` for messages, `entry` as it is written."""

    field: str
    entry: str
    kind: Kind


_LISTS = (
    ("resources", Kind.EITHER),
    ("bases", Kind.EITHER),
    ("components", Kind.DIRECTORY),
    ("crds", Kind.FILE),
    ("configurations", Kind.FILE),
    ("patchesStrategicMerge", Kind.FILE_OR_INLINE),
    ("generators", Kind.PLUGIN),
    ("transformers", Kind.PLUGIN),
    ("validators", Kind.PLUGIN),
)
_LISTS_OF_PATHS = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")


def canonical(kustomization: Mapping[str, Any]) -> dict[str, Any]:
    """The kustomization with its fields spelled as Kustomize spells them; unknown fields stay.

    Of two spellings of a field the later in byte order wins, except that objects are merged: what Go's decoder does.
    """
    found: dict[str, Any] = {}
    for key in sorted(kustomization):
        name = _SPELLING.get(key.lower(), key)
        value = kustomization[key]
        if isinstance(value, dict) and isinstance(found.get(name), dict):
            value = {**found[name], **value}
        found[name] = value
    return found


def references(kustomization: Mapping[str, Any]) -> Iterator[Reference]:
    """Everything a canonical kustomization names. Entries of a wrong type are left for Kustomize to refuse."""
    for field, kind in _LISTS:
        for entry in _strings(kustomization.get(field)):
            yield Reference(field, entry, kind)
    for field in _LISTS_OF_PATHS:
        for item in _objects(kustomization.get(field)):
            for entry in _strings([get(item, "path")]):
                yield Reference(field, entry, Kind.FILE)
    for field in _GENERATORS:
        for item in _objects(kustomization.get(field)):
            for entry in _key_value_files(item):
                yield Reference(field, entry, Kind.FILE)
    for item in _objects([kustomization.get("openapi")]):
        for entry in _strings([get(item, "path")]):
            yield Reference("openapi", entry, Kind.FILE)


def plugin_references(field: str, document: Mapping[str, Any]) -> Iterator[Reference]:
    """Files that the configuration of a generator or transformer may name. What is not there Kustomize judges."""
    entries = list(_strings([get(document, "path")]))
    for name in ("paths", "patches", "configurations"):
        entries += _strings(get(document, name))
    for name in ("patches", "replacements"):
        entries += (entry for item in _objects(get(document, name)) for entry in _strings([get(item, "path")]))
    entries += _key_value_files(document)
    for entry in entries:
        yield Reference(field, entry, Kind.OPTIONAL_FILE)


def is_remote(entry: str) -> bool:
    """Would Kustomize fetch this from somewhere, if no file of that name exists?"""
    return _REMOTE.match(entry) is not None or "_git/" in entry


def get(item: Mapping[str, Any], field: str) -> Any:
    """The field of an object, whatever its case."""
    if field in item:
        return item[field]
    lowered = field.lower()
    return next((value for key, value in item.items() if key.lower() == lowered), None)


def _key_value_files(item: Mapping[str, Any]) -> Iterator[str]:
    """`files` and `envs` of a generator, without the keys of `key=file`."""
    for entry in _strings(get(item, "files")):
        yield entry.partition("=")[2] if "=" in entry else entry
    yield from _strings(get(item, "envs"))
    yield from _strings([get(item, "env")])


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, str) and entry)


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()
