"""New images put into one file: a kustomization, manifests, or Helm values.

Each `set_in_*` gives the new text and what changed. The new text has been parsed and compared with what was meant, so
an edit that would hit anything else is an error, not a commit.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from tiphys.apimachinery.yamljson import YamlError, load_all
from tiphys.engine.render.kustomize.fields import canonical
from tiphys.engine.render.kustomize.images import ImageFormatError, ImageOverride, parse_override, split_image
from tiphys.imageset.yamltext import EditError, YamlText, child, is_text, line_of, text_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_DEFAULTS = ("newName", "newTag", "digest")


@dataclass(frozen=True, slots=True)
class Found:
    """An image that a file names, at a line."""

    line: int
    image: str
    where: str  # key or container


@dataclass(frozen=True, slots=True)
class Change:
    """One image that was changed."""

    line: int
    before: str
    after: str
    where: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file after the edit. `matched` are the overrides that found what they name, changed or not."""

    text: str
    changes: tuple[Change, ...]
    matched: frozenset[str]


def parse_argument(text: str) -> ImageOverride:
    """`NAME=NEW:TAG` and its other forms. Raises EditError, also for what no registry would accept."""
    try:
        override = parse_override(text)
    except ImageFormatError as error:
        raise EditError(str(error)) from None
    parts = ((override.name, _NAME), (override.new_name, _NAME), (override.new_tag, _TAG), (override.digest, _DIGEST))
    for value, shape in parts:
        if value and value != "*" and not shape.fullmatch(value):
            raise EditError(f"{text!r}: {value!r} is not part of an image")
    return override


# ---- kustomizations ----


def set_in_kustomization(text: str, overrides: Sequence[ImageOverride]) -> Outcome:
    """The `images:` field with these entries, as `kustomize edit set image` would have it, in the file's own order.

    Differs: a new name that is the name itself is not written where none stood; comments and order are kept.
    """
    source = YamlText(text)
    if len(source.documents) > 1:
        raise EditError("several documents where one kustomization is expected")
    root = source.documents[0] if source.documents else None
    images = child(root, "images")
    present = _entries(images)
    changes: list[Change] = []
    appended: list[tuple[tuple[str, str], ...]] = []
    wanted: dict[str, dict[str, str]] = {}
    for override in overrides:
        node = present.get(override.name)
        before = ImageOverride(override.name, *(text_of(child(node, field)) for field in _DEFAULTS))
        after = override.over(before)
        if after.new_name == after.name and not before.new_name:
            after = ImageOverride(after.name, "", after.new_tag, after.digest)
        wanted[override.name] = after.fields()
        if node is not None and after == before and not _misread(node, _DEFAULTS):
            continue
        if node is None:
            appended.append(tuple(after.fields().items()))
        else:
            _write_entry(source, node, before.fields(), after.fields())
        line = line_of(node) if node is not None else source.text.count("\n") + 1
        changes.append(Change(line, _shown(before), _shown(after), f"images[{override.name}]"))
    _append_entries(source, images, appended)
    result = _edited(source, _check_kustomization(wanted))
    return Outcome(result, tuple(changes), frozenset(override.name for override in overrides))


def images_of_kustomization(text: str) -> list[Found]:
    """The entries of `images:`."""
    source = YamlText(text)
    found = []
    for name, node in _entries(child(source.documents[0] if source.documents else None, "images")).items():
        entry = ImageOverride(name, *(text_of(child(node, field)) for field in _DEFAULTS))
        found.append(Found(line_of(node), _shown(entry), f"images[{name}]"))
    return found


def _entries(images: yaml.Node | None) -> dict[str, yaml.MappingNode]:
    if images is None or (isinstance(images, yaml.ScalarNode) and not text_of(images)):
        return {}
    if not isinstance(images, yaml.SequenceNode):
        raise EditError("images is not a list")
    found: dict[str, yaml.MappingNode] = {}
    for node in images.value:
        if isinstance(node, yaml.MappingNode):
            name = text_of(child(node, "name"))
            if name in found:
                raise EditError(f"line {line_of(node)}: a second entry for {name}")
            found[name] = node
    return found


def _write_entry(source: YamlText, node: yaml.MappingNode, before: dict[str, str], after: dict[str, str]) -> None:
    beside = "name"
    for field in _DEFAULTS:
        present = child(node, field)
        if field in after:
            if isinstance(present, yaml.ScalarNode):
                if before.get(field) != after[field] or not is_text(present):
                    source.replace_scalar(present, after[field])
            else:
                source.add_key(node, beside, field, after[field])
                continue  # the next one goes behind the same key, which is there
        elif present is not None:
            source.remove_key(node, field)
            continue
        if present is not None:
            beside = field


def _append_entries(source: YamlText, images: yaml.Node | None, items: Sequence[tuple[tuple[str, str], ...]]) -> None:
    if not items:
        return
    if isinstance(images, yaml.SequenceNode) and (images.value or images.flow_style):
        for item in items:
            source.append_item(images, item)
        return
    if images is not None:
        raise EditError(f"line {line_of(images)}: images is empty; take the key away, or give it an entry")
    source.append_to_document("images", items)


def _check_kustomization(wanted: dict[str, dict[str, str]]) -> Callable[[list[Any], list[Any]], bool]:
    def check(old: list[Any], new: list[Any]) -> bool:
        before, after = (canonical(documents[0]) if documents else {} for documents in (old, new))
        old_images, new_images = before.pop("images", None) or [], after.pop("images", None) or []
        expected = {item["name"]: item for item in old_images}
        for name, entry in wanted.items():
            rest = {k: v for k, v in expected.get(name, {}).items() if k not in ("name", *_DEFAULTS)}
            expected[name] = {**entry, **rest}
        return before == after and expected == {item["name"]: item for item in new_images}

    return check


def _shown(entry: ImageOverride) -> str:
    name = entry.new_name or entry.name
    return f"{name}{f':{entry.new_tag}' if entry.new_tag else ''}{f'@{entry.digest}' if entry.digest else ''}"


# ---- manifests ----


def set_in_manifests(text: str, overrides: Sequence[ImageOverride]) -> Outcome:
    """Every container whose image has one of the names gets the new one. Any kind with containers will do."""
    source = YamlText(text)
    changes: list[Change] = []
    matched: set[str] = set()
    for where, node in _container_images(source.documents):
        image = node.value
        override = _match(image, overrides)
        if override is None:
            continue
        matched.add(override.name)
        after = new_image(image, override)
        if after != image:
            source.replace_scalar(node, after)
            changes.append(Change(line_of(node), image, after, where))

    def check(old: list[Any], new: list[Any]) -> bool:
        def replaced(value: Any) -> Any:
            override = _match(value, overrides) if isinstance(value, str) else None
            return value if override is None else new_image(value, override)

        return [_map_containers(document, replaced) for document in old] == new

    return Outcome(_edited(source, check), tuple(changes), frozenset(matched))


def images_of_manifests(text: str) -> list[Found]:
    """The images of all containers."""
    return [Found(line_of(node), str(node.value), where) for where, node in _container_images(YamlText(text).documents)]


def new_image(image: str, override: ImageOverride) -> str:
    """An image reference after an override: without a new tag and digest it keeps those it has."""
    name, tag, digest = split_image(image)
    if override.new_name and override.new_name != "*":
        name = override.new_name
    if override.new_tag or override.digest:
        tag = tag if override.new_tag == "*" else override.new_tag
        digest = digest if override.digest == "*" else override.digest
    return f"{name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"


def _match(image: str, overrides: Sequence[ImageOverride]) -> ImageOverride | None:
    """The override for an image: by its name, else by the new name, which an earlier run has written."""
    name = split_image(image)[0]
    found = next((override for override in overrides if override.name == name), None)
    return found or next((override for override in overrides if override.new_name == name), None)


def _container_images(documents: Sequence[yaml.Node]) -> Iterator[tuple[str, yaml.ScalarNode]]:
    seen: set[int] = set()
    pending = list(reversed(documents))
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            pending += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in _CONTAINERS:
                    for container in value.value if isinstance(value, yaml.SequenceNode) else ():
                        image = child(container, "image")
                        if isinstance(image, yaml.ScalarNode) and text_of(image) and id(image) not in seen:
                            seen.add(id(image))
                            yield f"{key.value}[{text_of(child(container, 'name'))}]", image
            pending += [value for _, value in reversed(node.value)]


def _map_containers(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [_map_containers(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, item in value.items():
        item = _map_containers(item, change)
        if key in _CONTAINERS and isinstance(item, list):
            item = [
                {**one, "image": change(one["image"])} if isinstance(one, dict) and "image" in one else one
                for one in item
            ]
        found[key] = item
    return found


# ---- Helm values ----


def set_in_values(text: str, overrides: Sequence[ImageOverride]) -> Outcome:
    """`repository` and `tag` beside each other, or a whole image under the key `image`, with one of the names.

    A `registry` beside them is part of the name. A digest goes into a key `digest` that is there.
    """
    source = YamlText(text)
    changes: list[Change] = []
    matched: set[str] = set()
    expected = load_all(text)
    for path, node in _value_images(source.documents):
        where = ".".join(path)
        image = _image_at(node)
        override = _match(image, overrides)
        if override is None:
            continue
        matched.add(override.name)
        after = new_image(image, override)
        if after == image and not _misread(node, ("repository", "tag", "digest")):
            continue
        changes.append(Change(line_of(node), image, after, where))
        if isinstance(node, yaml.ScalarNode):
            source.replace_scalar(node, after)
            _put(expected[0], path, after)
            continue
        assert isinstance(node, yaml.MappingNode)
        for field, value in _value_fields(node, after, where).items():
            present = child(node, field)
            if isinstance(present, yaml.ScalarNode):
                source.replace_scalar(present, value)
            else:
                source.add_key(node, "repository", field, value)
            _put(expected[0], (*path, field), value)
    return Outcome(_edited(source, lambda _, new: new == expected), tuple(changes), frozenset(matched))


def images_of_values(text: str) -> list[Found]:
    """The images that the values name."""
    return [
        Found(line_of(node), _image_at(node), ".".join(path)) for path, node in _value_images(YamlText(text).documents)
    ]


def set_key(text: str, key: str, value: str) -> Outcome:
    """A scalar at a path of keys, such as `image.tag`; keys that are not there are added."""
    source = YamlText(text)
    keys = key.split(".")
    if not all(keys):
        raise EditError(f"--key {key}: a part of it is empty")
    if len(source.documents) > 1:
        raise EditError("several documents where one file of values is expected")
    node = source.documents[0] if source.documents else None
    expected = load_all(text) or [{}]
    parent, depth = node, 0
    while depth < len(keys) - 1 and isinstance(child(parent, keys[depth]), yaml.MappingNode):
        parent, depth = child(parent, keys[depth]), depth + 1
    present = child(parent, keys[depth])
    before = text_of(present)
    if present is not None and depth == len(keys) - 1 and isinstance(present, yaml.ScalarNode):
        if before == value and is_text(present):
            return Outcome(text, (), frozenset([key]))
        source.replace_scalar(present, value)
        line = line_of(present)
    elif present is not None:
        raise EditError(f"--key {key}: {'.'.join(keys[: depth + 1])} is no place for it")
    elif depth == 0:
        source.append_scalar(keys, value)
        line = source.text.count("\n") + 1
    elif depth == len(keys) - 1 and isinstance(parent, yaml.MappingNode) and parent.value:
        source.add_key(parent, parent.value[0][0].value, keys[-1], value)
        line = line_of(parent) + 1
    else:
        raise EditError(f"--key {key}: there is no {'.'.join(keys[: depth + 1])}")
    _put(expected[0], tuple(keys), value)
    result = _edited(source, lambda _, new: new == expected)
    return Outcome(result, (Change(line, before, value, key),), frozenset([key]))


def _value_images(documents: Sequence[yaml.Node]) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """(path of keys, mapping with `repository` or scalar under `image`); lists are not looked into."""
    seen: set[int] = set()
    pending: list[tuple[tuple[str, ...], yaml.Node]] = [((), document) for document in reversed(documents)]
    while pending:
        path, node = pending.pop()
        if id(node) in seen or not isinstance(node, yaml.MappingNode):
            continue
        seen.add(id(node))
        if text_of(child(node, "repository")):
            yield path, node
        below = []
        for key, value in node.value:
            at = (*path, str(key.value))
            if isinstance(value, yaml.ScalarNode) and key.value == "image" and text_of(value):
                yield at, value
            below.append((at, value))
        pending += reversed(below)


def _image_at(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return text_of(node)
    registry, repository = text_of(child(node, "registry")), text_of(child(node, "repository"))
    tag, digest = text_of(child(node, "tag")), text_of(child(node, "digest"))
    name = f"{registry}/{repository}" if registry else repository
    return f"{name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"


def _value_fields(node: yaml.Node, image: str, where: str) -> dict[str, str]:
    """The fields that have to change for a mapping of values to name this image."""
    name, tag, digest = split_image(image)
    registry = text_of(child(node, "registry"))
    if registry and name.startswith(f"{registry}/"):
        name = name[len(registry) + 1 :]
    elif registry:
        registry, _, name = name.partition("/")
    wanted = {"repository": name, "tag": tag, "digest": digest}
    if registry:
        wanted["registry"] = registry
    if digest and child(node, "digest") is None:
        raise EditError(f"{where}: these values have no key `digest`; say where it goes with --key")
    return {
        field: value
        for field, value in wanted.items()
        if (text_of(child(node, field)) != value and (value or child(node, field) is not None))
        or (value and _misread(node, (field,)))
    }


def _put(values: Any, path: Sequence[str], value: str) -> None:
    for key in path[:-1]:
        values = values.setdefault(key, {}) if isinstance(values, dict) else {}
    if isinstance(values, dict):
        values[path[-1]] = value


# ---- all ----


def _misread(node: yaml.Node, fields: Sequence[str]) -> bool:
    """Is one of these fields written so that it is read as a number or the like? It needs quotes then."""
    present = (child(node, field) for field in fields)
    return any(text_of(value) and not is_text(value) for value in present)


def _edited(source: YamlText, check: Callable[[list[Any], list[Any]], bool]) -> str:
    text = source.edited()
    try:
        good = check(copy.deepcopy(load_all(source.text)), load_all(text))
    except (YamlError, KeyError, TypeError) as error:
        raise EditError(f"the file cannot be edited in place: {error}") from None
    if not good:
        raise EditError("the file cannot be edited in place without changing something else (anchors, repeated keys?)")
    return text
