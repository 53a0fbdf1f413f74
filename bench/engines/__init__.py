"""The engines that can be measured, each behind the same small protocol, by their names on the command line."""

from __future__ import annotations

from collections.abc import Callable

from bench.engines.argocd import ArgoCD
from bench.engines.flux import Flux
from bench.engines.protocol import Engine
from bench.engines.tiphys import Tiphys

ENGINES: dict[str, Callable[[], Engine]] = {
    "tiphys": Tiphys,
    "tiphys-eager": lambda: Tiphys(eager=True),
    "argocd": ArgoCD,
    "argocd-paths": lambda: ArgoCD(paths=True),
    "argocd-novalidate": lambda: ArgoCD(options=("Validate=false",)),
    "flux": Flux,
}
"""A floor is not among them: it is measured beside each, see `bench.floor`."""
