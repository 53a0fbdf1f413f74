"""What an Application puts over a kustomization, written into a copy of it as `kustomize edit` would.

Source: compat 1.5; argo-cd util/kustomize/kustomize.go; kustomize commands/edit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.engine.render.environment import envsubst
from tiphys.engine.render.kustomize.closure import failed
from tiphys.engine.render.kustomize.fields import get
from tiphys.engine.render.kustomize.images import ImageFormatError, set_images
from tiphys.engine.states import StageError

# Fields of an Application's `kustomize:` that change the kustomization, in the order in which they are applied.
EDITS = (
    "namePrefix",
    "nameSuffix",
    "images",
    "replicas",
    "commonLabels",
    "commonAnnotations",
    "namespace",
    "patches",
    "components",
)
_PATCH_FIELDS = ("path", "patch", "target", "options")
_TARGET_FIELDS = ("group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector")

# Paths that a component entry stands for, those that exist only; `*` and `?` are patterns.
Glob = Callable[[str], Sequence[str]]


def needed(source: Mapping[str, Any]) -> bool:
    """Does this `kustomize:` block change the kustomization?"""
    return any(source.get(field) for field in EDITS)


def apply_overrides(
    kustomization: Mapping[str, Any], source: Mapping[str, Any], env: Mapping[str, str], glob: Glob
) -> dict[str, Any]:
    """The kustomization after all edits; the one given is left as it is.

    Raises StageError: InvalidSpecError for overrides that are none, ComparisonError where they do not go with what the
    kustomization says.
    Differs: components of an Application that name nothing may climb with `..`; Argo CD takes each of those for missing
    when `ignoreMissingComponents` is set.
    """
    edited = dict(kustomization)
    for field in ("namePrefix", "nameSuffix"):
        if value := _text(source, field):
            edited[field] = value
    if images := _texts(source, "images"):
        _set_images(edited, [envsubst(image, env) for image in images])
    if replicas := _objects(source, "replicas"):
        _set_replicas(edited, replicas)
    if labels := _strings(source, "commonLabels"):
        _add_labels(edited, {key: envsubst(value, env) for key, value in labels.items()}, source)
    if annotations := _strings(source, "commonAnnotations"):
        if _flag(source, "commonAnnotationsEnvsubst"):
            annotations = {key: envsubst(value, env) for key, value in annotations.items()}
        pairs = _object(edited, "commonAnnotations")
        _add_pairs(pairs, annotations, "annotation", force=_flag(source, "forceCommonAnnotations"))
        edited["commonAnnotations"] = pairs
    if namespace := _text(source, "namespace"):
        edited["namespace"] = namespace
    if patches := _objects(source, "patches"):
        edited["patches"] = [*_list(edited, "patches"), *map(_patch, patches)]
    if components := _texts(source, "components"):
        _add_components(edited, components, glob, ignore_missing=_flag(source, "ignoreMissingComponents"))
    return edited


def _set_images(edited: dict[str, Any], images: Sequence[str]) -> None:
    present = [*_list(edited, "images"), *_list(edited, "imageTags")]
    edited.pop("imageTags", None)
    try:
        edited["images"] = set_images(present, images)
    except ImageFormatError as error:
        raise _invalid(f"kustomize.images: {error}") from None


def _set_replicas(edited: dict[str, Any], replicas: Sequence[Mapping[str, Any]]) -> None:
    wanted: dict[str, dict[str, Any]] = {}
    for item in replicas:
        name, count = item.get("name"), item.get("count", 0)
        if isinstance(count, str):
            if not re.fullmatch(r"[+-]?[0-9]{1,18}", count):
                raise _invalid(f"kustomize.replicas: expected integer value for count. Received: {count}")
            count = int(count)
        if not isinstance(name, str) or isinstance(count, bool) or not isinstance(count, int):
            raise _invalid("kustomize.replicas: a name and an integer count are expected")
        wanted[name] = {"name": name, "count": count}
    entries = {str(get(item, "name")): dict(item) for item in _list(edited, "replicas") if isinstance(item, Mapping)}
    entries |= wanted
    edited["replicas"] = [entries[name] for name in sorted(entries, key=str.encode)]


def _add_labels(edited: dict[str, Any], labels: Mapping[str, str], source: Mapping[str, Any]) -> None:
    force = _flag(source, "forceCommonLabels")
    templates = _flag(source, "labelIncludeTemplates")
    if not _flag(source, "labelWithoutSelector"):
        if templates:
            raise _invalid("--without-selector flag must be specified for --include-templates to work")
        pairs = _object(edited, "commonLabels")
        _add_pairs(pairs, labels, "label", force=force)
        edited["commonLabels"] = pairs
        return
    groups = list(_list(edited, "labels"))
    pairs = {}
    for index, group in enumerate(groups):
        if isinstance(group, dict) and not get(group, "includeSelectors"):
            present = get(group, "pairs")
            if bool(get(group, "includeTemplates")) is templates and (present is None or isinstance(present, dict)):
                pairs = dict(present or {})
                rest = {key: value for key, value in group.items() if key.lower() != "pairs"}
                groups[index] = {**rest, "pairs": pairs}
                break
    else:
        groups.append({"pairs": pairs, "includeTemplates": templates})
    _add_pairs(pairs, labels, "label", force=force)
    edited["labels"] = groups


def _add_pairs(pairs: dict[str, Any], added: Mapping[str, str], kind: str, *, force: bool) -> None:
    for key in sorted(added):
        if key in pairs and not force:
            raise failed(f"{kind} {key} already in kustomization file")
        pairs[key] = _unquoted(added[key])


def _unquoted(value: str) -> str:
    """A value as `edit add` reads it from its arguments."""
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _patch(item: Mapping[str, Any]) -> dict[str, Any]:
    patch = {field: item[field] for field in _PATCH_FIELDS if item.get(field)}
    target = patch.get("target")
    if isinstance(target, Mapping):
        patch["target"] = {field: target[field] for field in _TARGET_FIELDS if target.get(field)}
    return patch


def _add_components(edited: dict[str, Any], wanted: Sequence[str], glob: Glob, *, ignore_missing: bool) -> None:
    components = list(_list(edited, "components"))
    for entry in wanted:
        found = glob(entry)
        if not found and not ignore_missing:
            raise failed(f"kustomize.components: {entry} has no match: no such file or directory")
        components += [path for path in found if path not in components]
    if components:
        edited["components"] = components


# ---- reading the Application's block, and the kustomization's fields ----


def _text(source: Mapping[str, Any], field: str) -> str:
    value = source.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(f"kustomize.{field} is not a string")
    return value


def _flag(source: Mapping[str, Any], field: str) -> bool:
    value = source.get(field)
    if value is not None and not isinstance(value, bool):
        raise _invalid(f"kustomize.{field} is not a boolean")
    return bool(value)


def _texts(source: Mapping[str, Any], field: str) -> list[str]:
    value = source.get(field) or []
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise _invalid(f"kustomize.{field} is not a list of strings")
    return list(value)


def _objects(source: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    value = source.get(field) or []
    if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
        raise _invalid(f"kustomize.{field} is not a list of objects")
    return list(value)


def _strings(source: Mapping[str, Any], field: str) -> dict[str, str]:
    value = source.get(field) or {}
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise _invalid(f"kustomize.{field} is not an object of strings")
    return dict(value)


def _list(kustomization: Mapping[str, Any], field: str) -> list[Any]:
    value = kustomization.get(field)
    if value is None:
        return []
    if not isinstance(value, list):
        raise failed(f"invalid Kustomization: {field} is not a list")
    return value


def _object(kustomization: Mapping[str, Any], field: str) -> dict[str, Any]:
    value = kustomization.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise failed(f"invalid Kustomization: {field} is not an object")
    return dict(value)


def _invalid(message: str) -> StageError:
    return StageError("render", "InvalidSpecError", message)
