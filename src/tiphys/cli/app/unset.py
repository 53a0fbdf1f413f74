"""What `app unset` takes out of a source. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.cli.app.sourceflags import image_name

Source = dict[str, Any]

_FLAGS = {
    "values_literal": ("helm", ("values", "valuesObject")),
    "pass_credentials": ("helm", ("passCredentials",)),
    "ignore_missing_value_files": ("helm", ("ignoreMissingValueFiles",)),
    "nameprefix": ("kustomize", ("namePrefix",)),
    "namesuffix": ("kustomize", ("nameSuffix",)),
    "kustomize_version": ("kustomize", ("version",)),
    "kustomize_namespace": ("kustomize", ("namespace",)),
    "ignore_missing_components": ("kustomize", ("ignoreMissingComponents",)),
}
_NAMED = (
    ("parameters", "helm", "parameters"),
    ("parameters", "helm", "fileParameters"),
    ("kustomize_replicas", "kustomize", "replicas"),
    ("plugin_envs", "plugin", "env"),
)


def unset_source(source: Source, given: Mapping[str, Any]) -> bool:
    """Take out what is given; True when anything was there."""
    changed = False
    for option, (block, keys) in _FLAGS.items():
        if given.get(option):
            changed |= _drop(source, block, keys)
    for option, block, key in _NAMED:
        wanted = set(given.get(option) or ())
        changed |= _filter(source, block, key, lambda item, wanted=wanted: item.get("name") not in wanted)
    files = set(given.get("values") or ())
    changed |= _filter(source, "helm", "valueFiles", lambda item: item not in files)
    images = {image_name(image) for image in given.get("kustomize_images") or ()}
    changed |= _filter(source, "kustomize", "images", lambda item: image_name(item) not in images)
    if given.get("ref"):
        changed |= source.pop("ref", None) is not None
    for block in ("helm", "kustomize", "plugin"):
        if source.get(block) == {}:
            del source[block]
    return changed


def _drop(source: Source, block: str, keys: tuple[str, ...]) -> bool:
    found = source.get(block) or {}
    return bool([key for key in keys if found.pop(key, None) is not None])


def _filter(source: Source, block: str, key: str, keep: Any) -> bool:
    found = source.get(block) or {}
    before = found.get(key) or []
    after = [item for item in before if keep(item)]
    if len(after) == len(before):
        return False
    if after:
        found[key] = after
    else:
        del found[key]
    return True
