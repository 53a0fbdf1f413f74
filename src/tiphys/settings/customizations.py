"""Resource customizations of argocd-cm: health, actions, ignored fields, known types, by kind.

Source: compat 3.3, 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiphys.apimachinery.yamljson import YamlError, load_one
from tiphys.model.annotations import parse_go_bool
from tiphys.model.codec import InvalidObject, decode
from tiphys.settings.keys import CM
from tiphys.settings.problems import Problems
from tiphys.settings.values import IgnoredFields, KnownTypeField, ResourceOverride

_LEGACY = "resource.customizations"
_PREFIX = "resource.customizations."
_ALL = "all"
EVERY_KIND = "*/*"
_YAML_PARTS = {
    "ignoreDifferences": "ignore_differences",
    "ignoreResourceUpdates": "ignore_resource_updates",
    "knownTypeFields": "known_type_fields",
}
_TEXT_PARTS = {"health": "health_lua", "actions": "actions"}
# Names of the parts inside the legacy map.
_LEGACY_TEXT = {"health.lua": "health_lua", "actions": "actions"}


def load_overrides(config: Mapping[str, str], problems: Problems) -> dict[str, ResourceOverride]:
    """Overrides by `group/Kind`, `Kind` in the core group, `*/*` for every kind; wildcards only from the legacy map."""
    overrides = _legacy(config.get(_LEGACY, ""), problems)
    for key in sorted(config):
        if not key.startswith(_PREFIX):
            continue
        part, _, kind = key[len(_PREFIX) :].partition(".")
        name = _kind_key(kind)
        if name is None or part not in (*_TEXT_PARTS, *_YAML_PARTS, "useOpenLibs"):
            problems.add(CM, key, "does not name a customization as <what>.<group>_<Kind>")
            continue
        change = _read(part, config[key], key, problems)
        if change is not None:
            overrides[name] = replace(overrides.get(name, ResourceOverride()), **change)
    return overrides


def _kind_key(kind: str) -> str | None:
    """`apps_Deployment` -> `apps/Deployment`, `ConfigMap` -> `ConfigMap`, `all` -> `*/*`, None when it is neither."""
    if not kind:
        return None
    if kind == _ALL:
        return EVERY_KIND
    parts = kind.split("_")
    return "/".join(parts) if len(parts) <= 2 and all(parts) else None


def _read(part: str, text: str, key: str, problems: Problems) -> dict[str, Any] | None:
    if part in _TEXT_PARTS:
        return {_TEXT_PARTS[part]: text}
    if part == "useOpenLibs":
        value = parse_go_bool(text.strip())
        if value is None:
            problems.add(CM, key, "is not a boolean (true or false)")
            return None
        return {"use_open_libs": value}
    try:
        value = load_one(text)
    except YamlError as error:
        problems.add(CM, key, f"is not YAML: {error}")
        return None
    return _yaml_part(part, value, key, problems)


def _yaml_part(part: str, value: Any, key: str, problems: Problems) -> dict[str, Any] | None:
    try:
        if part == "knownTypeFields":
            if not isinstance(value, list):
                raise InvalidObject((": expected a list of {field, type}",))
            return {
                "known_type_fields": tuple(decode(KnownTypeField, item, path=f"[{i}]") for i, item in enumerate(value))
            }
        return {_YAML_PARTS[part]: decode(IgnoredFields, value if value is not None else {})}
    except InvalidObject as error:
        for problem in error.problems:
            problems.add(CM, key, problem)
        return None


def _legacy(text: str, problems: Problems) -> dict[str, ResourceOverride]:
    if not text.strip():
        return {}
    try:
        entries = load_one(text)
    except YamlError as error:
        problems.add(CM, _LEGACY, f"is not YAML: {error}")
        return {}
    if not isinstance(entries, Mapping):
        problems.add(CM, _LEGACY, "is not a map by group/Kind")
        return {}
    overrides: dict[str, ResourceOverride] = {}
    for name, entry in entries.items():
        if not isinstance(entry, Mapping):
            problems.add(CM, _LEGACY, f"{name}: expected an object")
            continue
        changes: dict[str, Any] = {}
        for part, value in entry.items():
            # In the legacy map the YAML parts are themselves text with YAML in it.
            changes.update(_legacy_part(f"{name}.{part}", str(part), value, problems))
        overrides[str(name)] = replace(ResourceOverride(), **changes)
    return overrides


def _legacy_part(where: str, part: str, value: Any, problems: Problems) -> dict[str, Any]:
    if part in _LEGACY_TEXT:
        return {_LEGACY_TEXT[part]: str(value)}
    if part == "health.lua.useOpenLibs":
        return {"use_open_libs": value is True}
    if part not in _YAML_PARTS:
        problems.add(CM, _LEGACY, f"{where} is not a known customization")
        return {}
    if isinstance(value, str):
        try:
            value = load_one(value)
        except YamlError as error:
            problems.add(CM, _LEGACY, f"{where} is not YAML: {error}")
            return {}
    return _yaml_part(part, value, f"{_LEGACY}", problems) or {}
