"""Which files below a path hold the images, and all of them edited at once."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tiphys.engine.render.kustomize.fields import KUSTOMIZATION_NAMES
from tiphys.engine.render.kustomize.images import ImageOverride
from tiphys.imageset.edits import (
    Change,
    Found,
    Outcome,
    images_of_kustomization,
    images_of_manifests,
    images_of_values,
    set_in_kustomization,
    set_in_manifests,
    set_in_values,
    set_key,
)
from tiphys.imageset.yamltext import EditError

_MANIFESTS = (".yaml", ".yml", ".json")
_CHART, _VALUES = "Chart.yaml", "values.yaml"
MAX_FILES = 2000


class Files(Protocol):
    """Files of a work tree or of a commit. Paths are relative to its root, `/` between folders."""

    async def listing(self, path: str) -> dict[str, bool] | None:
        """Names in a folder -> is it a folder itself; None when `path` is no folder."""

    async def read(self, paths: Sequence[str]) -> list[bytes]:
        """Contents of files that are there, in the same order."""


class Form(StrEnum):
    """How a file names images."""

    KUSTOMIZATION = "kustomization"
    MANIFESTS = "manifests"
    VALUES = "values"


@dataclass(frozen=True, slots=True)
class Request:
    """What to set and where. `files` are below `path`; `key` is for values that name no image."""

    path: str
    overrides: tuple[ImageOverride, ...]
    files: tuple[str, ...] = ()
    key: str = ""
    recurse: bool = False


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One file that changes."""

    path: str
    content: bytes
    changes: tuple[Change, ...]


async def plan_edits(files: Files, request: Request) -> list[FileEdit]:
    """Every file that has to change; empty when all is as asked. Raises EditError.

    A kustomization is edited alone; a chart's `values.yaml` otherwise; else the manifests in the folder.
    """
    chosen = await choose(files, request)
    edits: list[FileEdit] = []
    matched: set[str] = set()
    for path, form, data in chosen:
        outcome = _set(path, form, data, request)
        matched |= outcome.matched
        if outcome.changes:
            edits.append(FileEdit(path, outcome.text.encode(), outcome.changes))
    missing = [override.name for override in request.overrides if override.name not in matched]
    if missing and not request.key:
        raise EditError(_not_found(request, missing, chosen))
    return edits


async def list_images(files: Files, request: Request) -> list[tuple[str, Found]]:
    """(path, image) of everything that `plan_edits` would look at."""
    return [(path, found) for path, form, data in await choose(files, request) for found in _images(path, form, data)]


async def choose(files: Files, request: Request) -> list[tuple[str, Form, bytes]]:
    """(path, form, content) of the files that hold the images. Raises EditError when there are none."""
    path = request.path
    if request.files:
        paths = [posixpath.normpath(posixpath.join(path, name)) for name in request.files]
        if any(one.startswith("../") for one in paths):
            raise EditError(f"--file {', '.join(request.files)}: a file out of the repository")
        for one in paths:
            await _require(files, one)
    else:
        paths = await _candidates(files, path, recurse=request.recurse)
    contents = await files.read(paths)
    chart = {one for one in paths if await _beside_a_chart(files, one)}
    found = [
        (one, _form(one, data, in_chart=one in chart, key=bool(request.key)), data)
        for one, data in zip(paths, contents, strict=True)
    ]
    return [(one, form, data) for one, form, data in found if form is not None]


async def _candidates(files: Files, path: str, *, recurse: bool) -> list[str]:
    listing = await files.listing(path)
    if listing is None:
        await _require(files, path)
        return [path]
    names = [name for name, folder in listing.items() if not folder]
    for name in KUSTOMIZATION_NAMES:
        if name in names:
            return [posixpath.join(path, name)]
    if _CHART in names:
        if _VALUES not in names:
            raise EditError(f"{path or '.'}: a chart without values.yaml; say which file with --file")
        return [posixpath.join(path, _VALUES)]
    found = [posixpath.join(path, name) for name in sorted(names) if name.endswith(_MANIFESTS)]
    if recurse:
        for name in sorted(name for name, folder in listing.items() if folder and not name.startswith(".")):
            found += await _candidates(files, posixpath.join(path, name), recurse=True)
    if len(found) > MAX_FILES:
        raise EditError(f"{path or '.'}: more than {MAX_FILES} files")
    return found


async def _require(files: Files, path: str) -> None:
    listing = await files.listing(posixpath.dirname(path))
    name = posixpath.basename(path)
    if listing is None or name not in listing:
        raise EditError(f"{path or '.'}: no such file or folder")
    if listing[name]:
        raise EditError(f"{path}: a folder, not a file")


async def _beside_a_chart(files: Files, path: str) -> bool:
    return _CHART in (await files.listing(posixpath.dirname(path)) or ())


def _form(path: str, data: bytes, *, in_chart: bool, key: bool) -> Form | None:
    name = posixpath.basename(path)
    if name in KUSTOMIZATION_NAMES:
        return Form.KUSTOMIZATION
    if key or in_chart or name.startswith("values"):
        return Form.VALUES
    head = data[:65536]
    if b"apiVersion" in head and b"kind" in head:
        return Form.MANIFESTS
    return Form.VALUES if b"image" in data and not path.endswith(".json") else None


def _set(path: str, form: Form, data: bytes, request: Request) -> Outcome:
    text = _text(path, data)
    try:
        if request.key:
            return set_key(text, request.key, _value_for_key(request))
        if form is Form.KUSTOMIZATION:
            return set_in_kustomization(text, request.overrides)
        if form is Form.MANIFESTS:
            return set_in_manifests(text, request.overrides)
        return set_in_values(text, request.overrides)
    except EditError as error:
        raise EditError(f"{path}: {error}") from None


def _value_for_key(request: Request) -> str:
    if len(request.overrides) != 1:
        raise EditError("--key goes with one image")
    override = request.overrides[0]
    if override.digest and not override.new_tag:
        return override.digest
    if not override.new_tag or override.new_tag == "*":
        raise EditError("--key needs an image with a tag: NAME:TAG")
    return override.new_tag


def _images(path: str, form: Form, data: bytes) -> list[Found]:
    text = _text(path, data)
    readers = {
        Form.KUSTOMIZATION: images_of_kustomization,
        Form.MANIFESTS: images_of_manifests,
        Form.VALUES: images_of_values,
    }
    try:
        return readers[form](text)
    except EditError as error:
        raise EditError(f"{path}: {error}") from None


def _text(path: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EditError(f"{path}: not UTF-8") from None


def _not_found(request: Request, missing: Sequence[str], chosen: Sequence[tuple[str, Form, bytes]]) -> str:
    seen = sorted({found.image for path, form, data in chosen for found in _images(path, form, data)})
    where = request.path or "."
    if not chosen:
        return f"{where}: no kustomization, no values and no manifests there"
    there = f"there are {', '.join(seen)}" if seen else "there are no images"
    return f"{where}: no image {', '.join(missing)}; {there}"
