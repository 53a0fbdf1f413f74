"""Renders with the Helm SDK. Runs in the worker: the SDK is a Go library that cannot be interrupted, only killed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiphys.engine.render.helm.build import HelmRun, chart_metadata
from tiphys.engine.render.helm.integers import NAME, first_template
from tiphys.engine.render.helm.strvals import put, put_file, put_string
from tiphys.engine.render.tools import ToolError

DEFAULT_KUBE_VERSION = "1.36.0"
_NOTES = "NOTES.txt"
_OWN_FAILURE = re.compile(r"chart requires kubeVersion: .*", re.DOTALL)


class Sdk:
    """The loaded library."""

    def __init__(self) -> None:
        """Loads it. Raises ToolError."""
        try:
            from helm_python import _native
            from helm_python.errors import HelmError
            from helm_python.logging import disable_logging
        except Exception as error:
            raise ToolError(f"the Helm SDK cannot be loaded: {error}") from None
        self._native = _native
        self._error: type[Exception] = HelmError
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
        constraint = chart_metadata(run.chart).get("kubeVersion")
        first = first_template(values, kube_version=constraint if isinstance(constraint, str) else "")
        if first:
            path = run.chart / NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(first, encoding="utf-8")
        options = {
            "name": run.release,
            "namespace": run.namespace or "default",
            "is_install": True,
            "revision": 1,
            "kube_version": _v(run.kube_version or DEFAULT_KUBE_VERSION),
            "api_versions": list(run.api_versions),
        }
        # A fresh handle each time: rendering changes it.
        handle = native.call_handle("helm_chart_load", str(run.chart))
        try:
            found = json.loads(native.call_string("helm_render", handle, json.dumps(values), json.dumps(options)))
            crds = [] if run.skip_crds else json.loads(native.call_string("helm_chart_crds", handle))
        finally:
            native.call_status("helm_chart_free", handle)
        parts = [(str(crd["filename"]), _line_ended(crd["data"])) for crd in crds]
        for name, text in found.items():
            if not name.endswith((_NOTES, NAME)) and text.strip():
                parts.append((name, _line_ended(text)))
        return parts

    def _values(self, run: HelmRun) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for path in run.value_files:
            _merge(values, self._read(path.read_text(encoding="utf-8"), str(path.relative_to(run.root))))
        if run.values:
            _merge(values, self._read(run.values, "values"))
        for name, value in run.sets:
            _assign(put, values, f"{name}={value}", "--set")
        for name, value in run.string_sets:
            _assign(put_string, values, f"{name}={value}", "--set-string")
        for name, path in run.file_sets:
            text = path.read_text(encoding="utf-8")
            put_file(values, f"{name}=file", lambda _, text=text: text)  # type: ignore[misc]
        return values

    def _read(self, text: str, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._native.call_string("helm_values_from_yaml", text))
        except self._error as error:
            raise ToolError(f"failed to parse {name}: {error}") from None
        return found if isinstance(found, dict) else {}


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
