"""Renders with a `helm` program, where the SDK is missing. Runs in the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tiphys.engine.render.helm.build import HelmRun

# (argv, working folder, input) -> output; raises ToolError with what the program said.
RunProgram = Callable[[Sequence[str], Path], bytes]


class Binary:
    """A helm program."""

    def __init__(self, helm: str, run: RunProgram) -> None:
        self._helm = helm
        self._run = run

    def __call__(self, run: HelmRun) -> list[tuple[str, bytes]]:
        """What the program writes, as one text. Raises ToolError."""
        argv = [self._helm, "template", run.release, str(run.chart), "--namespace", run.namespace or "default"]
        if run.kube_version:
            argv += ["--kube-version", run.kube_version]
        for version in run.api_versions:
            argv += ["--api-versions", version]
        for path in run.value_files:
            argv += ["--values", str(path)]
        if run.values:
            inline = run.root / ".tiphys-values.yaml"
            inline.write_text(run.values, encoding="utf-8")
            argv += ["--values", str(inline)]
        for flag, pairs in (("--set", run.sets), ("--set-string", run.string_sets)):
            for name, value in pairs:
                argv += [flag, f"{name}={value}"]
        for name, path in run.file_sets:
            argv += ["--set-file", f"{name}={path}"]
        if not run.skip_crds:
            argv.append("--include-crds")
        if run.skip_tests:
            argv.append("--skip-tests")
        if run.skip_schema_validation:
            argv.append("--skip-schema-validation")
        return [("helm template", self._run(argv, run.root))]
