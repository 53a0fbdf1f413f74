"""Renders with the Helm SDK. Runs in the worker: the SDK is a Go library that cannot be interrupted, only killed."""

from __future__ import annotations

import ctypes
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiphys.engine.render.helm.build import Files, HelmRun, Place
from tiphys.engine.render.helm.integers import NAME, first_template
from tiphys.engine.render.helm.packing import may_be_packed, packed
from tiphys.engine.render.helm.strvals import put, put_file, put_string
from tiphys.engine.render.tools import ToolError

DEFAULT_KUBE_VERSION = "1.36.0"
# Loaded charts that a worker keeps.
CHARTS_KEPT = 64
CHARTS_KEPT_BYTES = 8 * 1024 * 1024
_NOTES = "NOTES.txt"
_OWN_FAILURE = re.compile(r"chart requires kubeVersion: .*", re.DOTALL)


class Sdk:
    """The loaded library."""

    def __init__(self, place: Place) -> None:
        """Loads it. Raises ToolError."""
        try:
            from helm_python import _native
            from helm_python.errors import HelmError
            from helm_python.logging import disable_logging
        except Exception as error:
            raise ToolError(f"the Helm SDK cannot be loaded: {error}") from None
        self._native = _native
        self._error: type[Exception] = HelmError
        self._place = place
        self._loaded: OrderedDict[str, tuple[int, int]] = OrderedDict()  # by chart: handle and size
        disable_logging()

    def __call__(self, run: HelmRun) -> list[tuple[str, bytes]]:
        """(file, YAML) of every template that gives something, CRDs first. Raises ToolError."""
        try:
            return self._render(run)
        except self._error as error:
            text = str(error)
            own = _OWN_FAILURE.search(text)
            raise ToolError(own.group(0) if own else text) from None

    def _render(self, run: HelmRun) -> list[tuple[str, bytes]]:
        native = self._native
        native.call_status("helm_release_name_validate", run.release)
        values = self._values(run)
        constraint = run.metadata.get("kubeVersion")
        first = first_template(values, kube_version=constraint if isinstance(constraint, str) else "")
        options = {
            "name": run.release,
            "namespace": run.namespace or "default",
            "is_install": True,
            "revision": 1,
            "kube_version": _v(run.kube_version or DEFAULT_KUBE_VERSION),
            "api_versions": list(run.api_versions),
        }
        lasting = bool(run.chart_id) and not first and is_left_as_it_was(run.metadata, run.chart_files)
        handle = self._lasting(run) if lasting else self._load(run, first)
        try:
            found = json.loads(native.call_string("helm_render", handle, json.dumps(values), json.dumps(options)))
            crds = [] if run.skip_crds else json.loads(native.call_string("helm_chart_crds", handle))
        finally:
            if not lasting:
                native.call_status("helm_chart_free", handle)
        parts = [(str(crd["filename"]), _line_ended(crd["data"])) for crd in crds]
        for name, text in found.items():
            if not name.endswith((_NOTES, NAME)) and text.strip():
                parts.append((name, _line_ended(text)))
        return parts

    def _lasting(self, run: HelmRun) -> int:
        """The handle of a chart that rendering leaves as it was, kept for the next render."""
        known = self._loaded.get(run.chart_id)
        if known is not None:
            self._loaded.move_to_end(run.chart_id)
            return known[0]
        handle, size = self._load(run, ""), sum(map(len, run.chart_files.values()))
        self._loaded[run.chart_id] = handle, size
        while len(self._loaded) > 1 and (
            len(self._loaded) > CHARTS_KEPT or sum(size for _, size in self._loaded.values()) > CHARTS_KEPT_BYTES
        ):
            old, _ = self._loaded.popitem(last=False)[1]
            self._native.call_status("helm_chart_free", old)
        return handle

    def _load(self, run: HelmRun, first: str) -> int:
        """A fresh handle, from memory where that gives the same as from a folder."""
        native = self._native
        files = dict(run.chart_files)
        if first:
            files[NAME] = first.encode("utf-8", "surrogatepass")
        handle: int
        if may_be_packed(files):
            data = packed(files)
            pointer = ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_uint8))
            handle = native.call_handle("helm_chart_load_archive", pointer, len(data))
            return handle
        start = f"{run.chart}/" if run.chart else ""
        root = self._place({f"{start}{name}": content for name, content in files.items()})
        handle = native.call_handle("helm_chart_load", str(root / run.chart))
        return handle

    def _values(self, run: HelmRun) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for path in run.value_files:
            _merge(values, self._read(_text(run, path), path))
        if run.values:
            _merge(values, self._read(run.values, "values"))
        for name, value in run.sets:
            _assign(put, values, f"{name}={value}", "--set")
        for name, value in run.string_sets:
            _assign(put_string, values, f"{name}={value}", "--set-string")
        for name, path in run.file_sets:
            text = _text(run, path)
            put_file(values, f"{name}=file", lambda _, text=text: text)  # type: ignore[misc]
        return values

    def _read(self, text: str, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._native.call_string("helm_values_from_yaml", text))
        except self._error as error:
            raise ToolError(f"failed to parse {name}: {error}") from None
        return found if isinstance(found, dict) else {}


def is_left_as_it_was(metadata: Mapping[str, Any], chart: Files) -> bool:
    """Whether no render changes the loaded chart, so that it can be used for another.

    Subcharts are taken out of it and their values put into it; `sortAlpha` sorts the lists of Chart.yaml where they are.
    All other values are copies.
    """
    if metadata.get("dependencies") or any(name.startswith(("charts/", "requirements.")) for name in chart):
        return False
    lists = (metadata.get(name) for name in ("keywords", "sources"))
    return all(not isinstance(one, list) or len(one) < 2 for one in lists)


def _text(run: HelmRun, path: str) -> str:
    try:
        return run.files[path].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ToolError(f"failed to parse {path}: {error}") from None


def _assign(how: Any, values: dict[str, Any], text: str, flag: str) -> None:
    try:
        how(values, text)
    except ToolError as error:
        raise ToolError(f"failed parsing {flag} data: {error}") from None


def _merge(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Maps are merged, everything else is replaced."""
    for name, value in over.items():
        known = values.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        else:
            values[name] = value


def _line_ended(text: str) -> bytes:
    # A block scalar at the end of a template would lose its last newline otherwise.
    return text.encode() + b"\n"


def _v(version: str) -> str:
    return version if version.startswith("v") else f"v{version}"


def library_folder() -> Path | None:
    """Where the SDK is installed, without loading it; None when it is not."""
    import importlib.util

    found = importlib.util.find_spec("helm_python")
    return Path(found.origin).parent if found is not None and found.origin else None
