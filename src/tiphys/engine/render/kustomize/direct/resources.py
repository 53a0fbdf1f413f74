"""The objects of a build, with the names they had before, and the transformers that change them.

Source: kustomize api/resource, api/resmap, api/filters, api/internal/builtins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from tiphys.apimachinery.yamljson import canonical_json, digest
from tiphys.engine.render.kustomize.direct.specs import (
    ANNOTATIONS,
    IMAGES,
    ORDER,
    REFERENCES,
    SELECTORS,
    TEMPLATE_LABELS,
    WITH_REPLICAS,
    Field,
    is_ordinary,
)
from tiphys.engine.render.kustomize.direct.texts import UnclearError, copy, is_text
from tiphys.engine.render.kustomize.images import split_image

MAX_RESOURCES: Final = 500
DEFAULT_NAMESPACE: Final = "default"
_NAME = re.compile(r"[a-z](?:[-a-z0-9.]{0,250}[a-z0-9])?")
_IMAGE_NAME = re.compile(r"[A-Za-z0-9._/:-]+")
_IMAGE_PART = re.compile(r"[A-Za-z0-9._/:@-]+")
_HASH_LETTERS = str.maketrans("013ae", "ghkmt")  # so that no hash is a word
_SELECTED = re.compile(r"[A-Za-z0-9/-]+")  # the pattern that is just itself
_OWN_ANNOTATIONS = re.compile(r"config\.(?:kubernetes|k8s)\.io")


class Name(NamedTuple):
    """What an object was called: a namespace that was not said is the default one."""

    name: str
    namespace: str


class Resource:
    """One object. `before` are the names it had, the oldest first; `given` the labels and annotations it was given.

    `hashed`: what it holds becomes part of its name in the end.
    """

    __slots__ = ("before", "given", "hashed", "value")

    def __init__(self, document: dict[str, Any], *, hashed: bool = False) -> None:
        """Of a document, which is copied. Raises UnclearError unless it is an ordinary object of a kind that is known."""
        check_object(document)
        self.value: dict[str, Any] = copy(document)
        self.before: list[Name] = []
        self.given: dict[str, str] = {}
        self.hashed = hashed

    @property
    def kind(self) -> str:
        """The kind, never changed here."""
        return str(self.value["kind"])

    @property
    def now(self) -> Name:
        """The present name."""
        metadata = self.value["metadata"]
        return Name(metadata["name"], metadata.get("namespace") or DEFAULT_NAMESPACE)

    def give(self, fields: Sequence[Field], pairs: Mapping[str, str]) -> None:
        """Add labels or annotations at all of these fields.

        Kustomize puts one and the same value at all fields. Who changes it later at one of them changes it at all, which
        is not done here.
        """
        if any(self.given.get(key, value) != value for key, value in pairs.items()):
            raise UnclearError("given before")
        _add_pairs(self.value, fields, pairs)
        self.given |= pairs

    def check_patch(self, patch: object) -> None:
        """Raises UnclearError when a patch names what was given."""
        if not self.given:
            return
        if isinstance(patch, dict):
            if not self.given.keys().isdisjoint(patch):
                raise UnclearError("given before")
            for item in patch.values():
                self.check_patch(item)
        elif isinstance(patch, list):
            for item in patch:
                self.check_patch(item)

    def remember(self) -> None:
        """The present name will be one it had before."""
        self.before.append(self.now)

    def place(self) -> tuple[int, str, str]:
        """Where it is in the output."""
        group, _, version = str(self.value["apiVersion"]).rpartition("/")
        metadata = self.value["metadata"]
        gvk = f"{group or '~G'}_{version}_{self.kind}"
        return ORDER.get(self.kind, 0), gvk, f"{metadata.get('namespace') or '~X'}|{metadata['name']}"


def check_object(document: Mapping[str, Any]) -> None:
    """Raises UnclearError unless this is an ordinary object of a kind that is known."""
    api_version, kind, metadata = document.get("apiVersion"), document.get("kind"), document.get("metadata")
    if not isinstance(api_version, str) or not isinstance(kind, str) or "items" in document:
        raise UnclearError("kind")
    if not is_ordinary(api_version, kind):
        raise UnclearError("kind")
    if not isinstance(metadata, dict) or "generateName" in metadata:
        raise UnclearError("metadata")
    check_name(metadata.get("name"))
    if "namespace" in metadata:
        check_name(metadata["namespace"])
    for field in ("labels", "annotations"):
        if field in metadata:
            check_pairs(metadata[field])
    if any(_OWN_ANNOTATIONS.search(key) for key in metadata.get("annotations", ())):
        raise UnclearError("annotation of Kustomize")


def check_name(name: object) -> str:
    """A name, prefix or namespace that stays a text however it is written. Raises UnclearError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not is_text(name):
        raise UnclearError("name")
    return name


def check_pairs(pairs: object) -> dict[str, str]:
    """Labels or annotations: texts, at least one. Raises UnclearError."""
    if not isinstance(pairs, dict) or not pairs or not all(isinstance(one, str) for one in pairs.values()):
        raise UnclearError("pairs")
    if not all(is_text(key) for key in pairs):
        raise UnclearError("keys")
    return pairs


class Resources:
    """The objects of one directory's build. Everything raises UnclearError for what is not surely understood."""

    def __init__(self) -> None:
        self.all: list[Resource] = []

    def add(self, resources: Iterable[Resource]) -> None:
        """Append; two objects of one name are refused."""
        self.all += resources
        if len(self.all) > MAX_RESOURCES:
            raise UnclearError("many")
        self._check_unique()

    def add_generated(self, resource: Resource) -> None:
        """Append an object that a generator made; one that takes the place of another is refused."""
        if any(
            one.kind == resource.kind and resource.now.name in (one.now.name, *(was.name for was in one.before))
            for one in self.all
        ):
            raise UnclearError("generated again")
        self.add([resource])

    def hash_names(self) -> None:
        """Names of generated ConfigMaps end in a hash of what is in them."""
        for one in self.all:
            if not one.hashed:
                continue
            data = one.value.get("data")
            if (
                not isinstance(data, dict)
                or not all(isinstance(value, str) for value in data.values())
                or "binaryData" in one.value
            ):
                raise UnclearError("data")
            # Kustomize means to hash the name too, and looks for it in a field that is not there.
            text = canonical_json({"kind": one.kind, "name": "", "data": data})
            for char in b"<>&":
                text = text.replace(bytes([char]), b"\\u%04x" % char)
            if b"\xe2\x80\xa8" in text or b"\xe2\x80\xa9" in text:
                raise UnclearError("data")
            hashed = digest(text)[:10].translate(_HASH_LETTERS)
            one.remember()
            one.value["metadata"]["name"] = check_name(f"{one.now.name}-{hashed}")

    def _check_unique(self) -> None:
        if len({(one.value["apiVersion"], one.kind, one.now) for one in self.all}) != len(self.all):
            raise UnclearError("same name")

    def patch_target(self, patch: Mapping[str, Any]) -> Resource:
        """The one object that a patch without a target is for, by any name it has or had."""
        metadata = patch["metadata"]
        wanted = Name(metadata["name"], metadata.get("namespace") or DEFAULT_NAMESPACE)
        found = [
            one
            for one in self.all
            if one.kind == patch["kind"]
            and one.value["apiVersion"] == patch["apiVersion"]
            and (one.now == wanted or wanted in one.before)
        ]
        if len(found) != 1:
            raise UnclearError("target of a patch")
        return found[0]

    def selected(self, target: Mapping[str, Any]) -> list[Resource]:
        """All objects that the target of a patch selects; of an object's names, the first and the present one count."""
        if not target or not target.keys() <= {"group", "version", "kind", "name"}:
            raise UnclearError("target")
        if not all(isinstance(value, str) and _SELECTED.fullmatch(value) for value in target.values()):
            raise UnclearError("target")
        found = []
        for one in self.all:
            group, _, version = str(one.value["apiVersion"]).rpartition("/")
            has = {"group": group, "version": version, "kind": one.kind}
            if any(target.get(field, value) != value for field, value in has.items()):
                continue
            if target.get("name") in (None, one.now.name, (one.before or [one.now])[0].name):
                found.append(one)
        return found

    def set_namespace(self, namespace: str) -> None:
        """`namespace`."""
        check_name(namespace)
        for one in self.all:
            one.remember()
            one.value["metadata"]["namespace"] = namespace
            self._check_unique()

    def add_prefix(self, prefix: str) -> None:
        """`namePrefix`."""
        self._rename(lambda name: prefix + name)

    def add_suffix(self, suffix: str) -> None:
        """`nameSuffix`."""
        self._rename(lambda name: name + suffix)

    def _rename(self, renamed: Callable[[str], str]) -> None:
        for one in self.all:
            one.remember()
            one.value["metadata"]["name"] = check_name(renamed(one.value["metadata"]["name"]))

    def add_labels(self, pairs: object, *, selectors: bool, templates: bool) -> None:
        """`commonLabels`, or one entry of `labels`."""
        labels = check_pairs(pairs)
        for one in self.all:
            fields = [Field(("metadata", "labels"), create=True)]
            if selectors or templates:
                fields += TEMPLATE_LABELS.get(one.kind, ())
            if selectors:
                fields += SELECTORS.get(one.kind, ())
            one.give(fields, labels)

    def add_annotations(self, pairs: object) -> None:
        """`commonAnnotations`."""
        annotations = check_pairs(pairs)
        for one in self.all:
            one.give([Field(("metadata", "annotations"), create=True), *ANNOTATIONS.get(one.kind, ())], annotations)
            check_object(one.value)

    def set_replicas(self, name: object, count: object) -> None:
        """One entry of `replicas`."""
        if not isinstance(name, str) or count.__class__ is not int:
            raise UnclearError("replicas")
        found = False
        for one in self.all:
            if one.kind in WITH_REPLICAS and (one.now.name == name or any(was.name == name for was in one.before)):
                found = True
                spec = one.value.setdefault("spec", {})
                if not isinstance(spec, dict) or spec.get("replicas", 0).__class__ is not int:
                    raise UnclearError("replicas")
                spec["replicas"] = count
        if not found:
            raise UnclearError("replicas of nothing")

    def set_image(self, image: Mapping[str, Any]) -> None:
        """One entry of `images`."""
        if not image.keys() <= {"name", "newName", "newTag", "digest"}:
            raise UnclearError("image")
        name = image.get("name")
        if not isinstance(name, str) or not _IMAGE_NAME.fullmatch(name):
            raise UnclearError("image")
        parts = {key: image[key] for key in ("newName", "newTag", "digest") if key in image}
        if not all(isinstance(part, str) and _IMAGE_PART.fullmatch(part) for part in parts.values()):
            raise UnclearError("image")
        matches = re.compile(f"{name}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?")

        def changed(value: object) -> str:
            if not isinstance(value, str):
                raise UnclearError("image")
            if not matches.fullmatch(value):
                return value
            new = _with_parts(value, parts)
            if not is_text(new):
                raise UnclearError("image")
            return new

        for one in self.all:
            _set_container_images(one.value, changed)
            for path in IMAGES:
                _visit(one.value, Field(path), changed)

    def fix_references(self) -> None:
        """Names that objects refer to each other by, after all changes of names."""
        if not any(one.before for one in self.all):
            return
        if len({one.now.namespace for one in self.all}) > 1:
            raise UnclearError("namespaces")
        for one in self.all:
            for target, path in REFERENCES.get(one.kind, ()):
                _visit(one.value, Field(path), partial(self._referred, target))
        # What was changed must not be a name that something else had: which of the two is meant depends on the order.
        names = {one.now.name for one in self.all if one.before}
        if any(was.name in names and was.name != one.now.name for one in self.all for was in one.before):
            raise UnclearError("a name that was another's")

    def _referred(self, target: str, value: object) -> Any:
        if isinstance(value, list):
            return [self._referred(target, item) for item in value]
        if not isinstance(value, str):
            raise UnclearError("reference")
        found = [one for one in self.all if one.kind == target and any(was.name == value for was in one.before)]
        if len(found) > 1:
            raise UnclearError("two that are referred to")
        return found[0].now.name if found else value


def _with_parts(image: str, parts: Mapping[str, str]) -> str:
    name, tag, digest = split_image(image)
    name = parts.get("newName", name)
    if "newTag" in parts:
        tag, digest = parts["newTag"], parts.get("digest", "")
    elif "digest" in parts:
        tag, digest = "", parts["digest"]
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def _set_container_images(value: Any, changed: Callable[[object], str]) -> None:
    """Images of everything called `containers` or `initContainers`, wherever it is."""
    if isinstance(value, dict):
        for key, item in value.items():
            _set_container_images(item, changed)
            if key in ("containers", "initContainers") and isinstance(item, list):
                for one in item:
                    if not isinstance(one, dict):
                        raise UnclearError("container")
                    if "image" in one:
                        one["image"] = changed(one["image"])
    elif isinstance(value, list):
        for item in value:
            _set_container_images(item, changed)


def _add_pairs(value: dict[str, Any], fields: Sequence[Field], pairs: Mapping[str, str]) -> None:
    def added(present: object) -> dict[str, Any]:
        if not isinstance(present, dict):
            raise UnclearError("pairs")
        return {**present, **pairs}

    for field in fields:
        _visit(value, field, added, make=dict)


def _visit(value: Any, field: Field, changed: Callable[[Any], Any], *, make: Callable[[], Any] | None = None) -> None:
    """Change what is at a field, in every element of the lists on the way."""
    if isinstance(value, list):
        for item in value:
            _visit(item, field, changed, make=make)
        return
    if not isinstance(value, dict):
        raise UnclearError("path")
    name, rest = field.path[0], field.path[1:]
    key = name.removesuffix("[]")
    if key not in value:
        if not field.create or make is None or key != name:
            return
        value[key] = {} if rest else make()
    if rest:
        _visit(value[key], Field(rest, field.create), changed, make=make)
    else:
        value[key] = changed(value[key])
