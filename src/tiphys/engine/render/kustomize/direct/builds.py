"""The build of a kustomization that is plain enough to be understood for certain.

Understood are resources, bases, name prefix and suffix, namespace, images, replicas, labels, annotations, patches and
generated ConfigMaps, over ordinary objects of Kubernetes' common kinds and of custom ones. A build that holds anything
else, or that could fail, or whose result hangs on a detail of how Kustomize reads and writes YAML, is not done here at all.
"""

from __future__ import annotations

import posixpath
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from tiphys.engine.render.kustomize.direct.jsonpatch import patch_json, paths_of
from tiphys.engine.render.kustomize.direct.merge import Merge
from tiphys.engine.render.kustomize.direct.resources import Resource, Resources, check_name, check_object, check_pairs
from tiphys.engine.render.kustomize.direct.texts import UnclearError, is_writable, read_documents
from tiphys.engine.render.kustomize.fields import KUSTOMIZATION_NAMES
from tiphys.engine.render.kustomize.schema import Definitions

MAX_DIRECTORIES: Final = 100
MAX_BYTES: Final = 1024 * 1024
CACHE_BYTES: Final = 8 * 1024 * 1024

_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")
_FIELDS: Final = frozenset(
    {
        "apiVersion",
        "kind",
        "resources",
        "namePrefix",
        "nameSuffix",
        "namespace",
        "images",
        "replicas",
        "labels",
        "commonLabels",
        "commonAnnotations",
        "patches",
        "patchesStrategicMerge",
        "configMapGenerator",
    }
)


class DirectBuilds:
    """Builds kustomizations here where that surely gives what Kustomize gives.

    `definitions` are those of the Kustomize that is meant. What files hold is remembered by their bytes.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._merge = Merge(definitions)
        self._read: OrderedDict[bytes, list[dict[str, Any]] | None] = OrderedDict()
        self._size = 0

    def build(self, files: Mapping[str, bytes], request: Mapping[str, object]) -> list[dict[str, Any]] | None:
        """The objects of `request["path"]`, in Kustomize's order; None when Kustomize has to be asked.

        `files` are all files of the build by their paths.
        """
        if request.get("options") or sum(map(len, files.values())) > MAX_BYTES:
            return None
        path = str(request.get("path") or ".")
        build = _Build(self, files)
        try:
            resources = build.directory("" if path == "." else path)
            resources.hash_names()
            resources.fix_references()
            found = sorted(resources.all, key=Resource.place)
        except (UnclearError, RecursionError):
            return None
        return [one.value for one in found]

    def documents(self, data: bytes) -> list[dict[str, Any]]:
        """The objects of one file, which must not be changed. Raises UnclearError."""
        if data in self._read:
            self._read.move_to_end(data)
            known = self._read[data]
            if known is None:
                raise UnclearError("text")
            return known
        try:
            known = read_documents(data)
        except UnclearError:
            self._remember(data, None)
            raise
        self._remember(data, known)
        return known

    def _remember(self, data: bytes, documents: list[dict[str, Any]] | None) -> None:
        # An object takes several times the bytes of its text.
        self._read[data] = documents
        self._size += len(data) * 5
        while self._size > CACHE_BYTES and len(self._read) > 1:
            old, _ = self._read.popitem(last=False)
            self._size -= len(old) * 5

    def patched(self, obj: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
        """See `Merge.patched`."""
        return self._merge.patched(obj, patch)


class _Build:
    def __init__(self, builds: DirectBuilds, files: Mapping[str, bytes]) -> None:
        self._builds = builds
        self._files = files
        self._directories = 0

    def directory(self, directory: str) -> Resources:
        """Everything of one directory. Raises UnclearError."""
        self._directories += 1
        if self._directories > MAX_DIRECTORIES:
            raise UnclearError("many")
        kustomization = self._kustomization(directory)
        found = Resources()
        for named in _texts(kustomization, "resources"):
            path = posixpath.normpath(posixpath.join(directory, named))
            data = self._files.get(path)
            if data is None:
                if path.startswith("..") or named.startswith("/"):
                    raise UnclearError("path")
                found.add(self.directory("" if path == "." else path).all)
            else:
                found.add(map(Resource, self._builds.documents(self._inside(directory, named, path))))
        for entry in _objects(kustomization, "configMapGenerator"):
            found.add_generated(self._config_map(directory, entry))
        if not found.all:
            raise UnclearError("nothing")
        self._transform(directory, kustomization, found)
        return found

    def _config_map(self, directory: str, entry: Mapping[str, Any]) -> Resource:
        """What an entry of `configMapGenerator` makes of literals and files."""
        if not entry.keys() <= {"name", "literals", "files"}:
            raise UnclearError("generator")
        pairs = []
        for literal in _texts(entry, "literals"):
            key, equals, value = literal.partition("=")
            if not equals:
                raise UnclearError("literal")
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            pairs.append((key, value[1:-1] if quoted else value))
        for file in _texts(entry, "files"):
            key, _, path = file.rpartition("=")
            data = self._inside(directory, path, posixpath.normpath(posixpath.join(directory, path)))
            try:
                pairs.append((key or posixpath.basename(path), data.decode()))
            except UnicodeDecodeError:
                raise UnclearError("binary data") from None
        found = dict(pairs)
        if not found or len(found) != len(pairs) or not all(_KEY.fullmatch(key) for key in found):
            raise UnclearError("data")
        if not all(is_writable(value) for value in found.values()):
            raise UnclearError("data")
        name = check_name(entry.get("name"))
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": found}
        return Resource(document, hashed=True)

    def _kustomization(self, directory: str) -> dict[str, Any]:
        present = [path for name in KUSTOMIZATION_NAMES if (path := posixpath.join(directory, name)) in self._files]
        if len(present) != 1:
            raise UnclearError("kustomization")
        documents = self._builds.documents(self._files[present[0]])
        if len(documents) != 1 or not documents[0].keys() <= _FIELDS:
            raise UnclearError("kustomization")
        kustomization = documents[0]
        if kustomization.get("kind", "Kustomization") != "Kustomization":
            raise UnclearError("kustomization")
        if kustomization.get("apiVersion", "kustomize.config.k8s.io/v1beta1") != "kustomize.config.k8s.io/v1beta1":
            raise UnclearError("kustomization")
        return kustomization

    def _inside(self, directory: str, entry: str, path: str) -> bytes:
        """A file that lies where the build of its directory may read. Raises UnclearError."""
        if entry.startswith("/") or (directory and not path.startswith(f"{directory}/")) or path.startswith(".."):
            raise UnclearError("path")
        if path not in self._files:
            raise UnclearError("file")
        return self._files[path]

    def _transform(self, directory: str, kustomization: Mapping[str, Any], found: Resources) -> None:
        """All that a kustomization changes, in Kustomize's order."""
        for text in _texts(kustomization, "patchesStrategicMerge"):
            self._patch(directory, {"patch" if "\n" in text or text.startswith("{") else "path": text}, found)
        for patch in _objects(kustomization, "patches"):
            self._patch(directory, patch, found)
        if namespace := _text(kustomization, "namespace"):
            found.set_namespace(namespace)
        if prefix := _text(kustomization, "namePrefix"):
            found.add_prefix(prefix)
        if suffix := _text(kustomization, "nameSuffix"):
            found.add_suffix(suffix)
        for entry in _objects(kustomization, "labels"):
            if not entry.keys() <= {"pairs", "includeSelectors", "includeTemplates"}:
                raise UnclearError("labels")
            flags = [entry.get(flag, False) for flag in ("includeSelectors", "includeTemplates")]
            if not all(isinstance(flag, bool) for flag in flags):
                raise UnclearError("labels")
            found.add_labels(entry.get("pairs"), selectors=flags[0], templates=flags[1])
        if "commonLabels" in kustomization:
            found.add_labels(kustomization["commonLabels"], selectors=True, templates=True)
        if "commonAnnotations" in kustomization:
            found.add_annotations(kustomization["commonAnnotations"])
        for entry in _objects(kustomization, "replicas"):
            if not entry.keys() <= {"name", "count"}:
                raise UnclearError("replicas")
            found.set_replicas(entry.get("name"), entry.get("count"))
        for entry in _objects(kustomization, "images"):
            found.set_image(entry)

    def _patch(self, directory: str, patch: Mapping[str, Any], found: Resources) -> None:
        fields = patch.keys() - {"target"}
        if fields == {"path"} and isinstance(patch["path"], str):
            path = posixpath.normpath(posixpath.join(directory, patch["path"]))
            data = self._inside(directory, patch["path"], path)
        elif fields == {"patch"} and isinstance(patch["patch"], str):
            data = patch["patch"].strip().encode()
        else:
            raise UnclearError("patch")
        documents = self._builds.documents(data)
        if not documents:
            raise UnclearError("patch")
        if "target" in patch:
            if not isinstance(patch["target"], dict):
                raise UnclearError("target")
            self._patch_all(found.selected(patch["target"]), documents)
            return
        for document in documents:
            check_object(document)
            self._merge(found.patch_target(document), document)

    def _patch_all(self, targets: list[Resource], documents: list[dict[str, Any]]) -> None:
        """A patch with a target, which says nothing of the objects by itself."""
        if "op" in documents[0]:
            for target in targets:
                target.remember()
                if not target.given.keys().isdisjoint(paths_of(documents)):
                    raise UnclearError("given before")
                patch_json(target.value, documents)
                check_object(target.value)
            return
        if len(documents) > 1:
            raise UnclearError("patch")
        document = documents[0]
        metadata = document.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(document.get("kind"), str) or "namespace" in metadata:
            raise UnclearError("patch")
        check_name(metadata.get("name"))
        for field in ("labels", "annotations"):
            if field in metadata:
                check_pairs(metadata[field])
        rest = {key: value for key, value in document.items() if key not in ("apiVersion", "kind")}
        for target in targets:
            self._merge(target, rest)

    def _merge(self, target: Resource, patch: dict[str, Any]) -> None:
        target.check_patch(patch)
        before = dict(target.value["metadata"])
        target.value = self._builds.patched(target.value, patch)
        metadata = target.value["metadata"]
        metadata["name"] = before["name"]
        if "namespace" in before:
            metadata["namespace"] = before["namespace"]
        else:
            metadata.pop("namespace", None)
        check_object(target.value)


def _text(kustomization: Mapping[str, Any], field: str) -> str:
    value = kustomization.get(field, "")
    if not isinstance(value, str):
        raise UnclearError(field)
    return value


def _texts(kustomization: Mapping[str, Any], field: str) -> list[str]:
    value = kustomization.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise UnclearError(field)
    return value


def _objects(kustomization: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    value = kustomization.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UnclearError(field)
    return value
