"""Renders with a `helm` program, where the SDK is missing. Runs in the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tiphys.engine.render.helm.build import HelmRun, Place

# (argv, working folder) -> output; raises ToolError with what the program said.
RunProgram = Callable[[Sequence[str], Path], bytes]
_INLINE = ".tiphys-values.yaml"


class Binary:
    """A helm program."""

    def __init__(self, helm: str, run: RunProgram, place: Place) -> None:
        self._helm = helm
        self._run = run
        self._place = place

    def __call__(self, run: HelmRun) -> list[tuple[str, bytes]]:
        """What the program writes, as one text. Raises ToolError."""
        start = f"{run.chart}/" if run.chart else ""
        files = {path: run.files[path] for path in (*run.value_files, *(path for _, path in run.file_sets))}
        files |= {f"{start}{name}": content for name, content in run.chart_files.items()}
        if run.values:
            files[_INLINE] = run.values.encode("utf-8", "surrogateescape")
        root = self._place(files)
        argv = [self._helm, "template", run.release, str(root / run.chart), "--namespace", run.namespace or "default"]
        if run.kube_version:
            argv += ["--kube-version", run.kube_version]
        for version in run.api_versions:
            argv += ["--api-versions", version]
        for path in (*run.value_files, *([_INLINE] if run.values else [])):
            argv += ["--values", str(root / path)]
        for flag, pairs in (("--set", run.sets), ("--set-string", run.string_sets)):
            for name, value in pairs:
                argv += [flag, f"{name}={value}"]
        for name, path in run.file_sets:
            argv += ["--set-file", f"{name}={root / path}"]
        if not run.skip_crds:
            argv.append("--include-crds")
        if run.skip_tests:
            argv.append("--skip-tests")
        if run.skip_schema_validation:
            argv.append("--skip-schema-validation")
        return [("helm template", self._run(argv, root))]
