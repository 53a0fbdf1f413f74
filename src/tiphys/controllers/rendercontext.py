"""What rendering may depend on beside the files: the Application's own facts, and what its cluster can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tiphys.controllers.clusters import ClusterSession
from tiphys.engine.render.environment import build_environment
from tiphys.engine.render.spec import HELM, KUSTOMIZE
from tiphys.engine.render.tools import KubeVersions, RenderContext
from tiphys.engine.states import Snapshot
from tiphys.kube.discovery import Catalogue
from tiphys.model.application import Application
from tiphys.model.source import ApplicationSource
from tiphys.settings.values import Settings

NOTHING_KNOWN = KubeVersions()


class _Known(NamedTuple):
    catalogue: Catalogue
    version: str
    kube: KubeVersions


class Capabilities:
    """Version and API versions of each destination cluster, made anew only when its discovery changed."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    async def learn(self, session: ClusterSession) -> KubeVersions:
        """What the cluster can do now. Raises ApiError, ClusterUnreachable."""
        catalogue = await session.discovery.catalogue()
        version = _number(str((await session.discovery.server_version()).get("gitVersion") or ""))
        known = self._known.get(session.server)
        if known is None or known.catalogue is not catalogue or known.version != version:
            known = _Known(catalogue, version, KubeVersions(version, tuple(catalogue.api_versions())))
            self._known[session.server] = known
        return known.kube

    def of(self, session: ClusterSession | None) -> KubeVersions:
        """What was learnt of the cluster last."""
        known = self._known.get(session.server) if session is not None else None
        return known.kube if known is not None else NOTHING_KNOWN


def render_context(
    app: Application,
    instance: str,
    source: ApplicationSource,
    revision: str,
    kube: KubeVersions,
    settings: Settings,
) -> RenderContext:
    """The context of one source of an Application at a revision. Source: compat 1.2 "Build env"."""
    enabled = {HELM: settings.helm_enabled, KUSTOMIZE: settings.kustomize_enabled}
    namespace = app.spec.destination.namespace
    return RenderContext(
        app_name=instance,
        namespace=namespace,
        env=build_environment(
            app_name=instance,
            namespace=namespace,
            project=app.project_name,
            revision=revision,
            repo_url=source.repo_url,
            path=source.path,
            target_revision=source.target_revision,
        ),
        kube=kube,
        build_options=tuple(settings.kustomize_build_options.split()),
        disabled=tuple(name for name, on in enabled.items() if not on),
    )


def contexts_at(
    app: Application, instance: str, source: ApplicationSource, kube: KubeVersions, settings: Settings
) -> Callable[[Snapshot], RenderContext]:
    """The context of a source at each revision it may be looked at."""
    return lambda snapshot: render_context(app, instance, source, snapshot.revision, kube, settings)


def _number(version: str) -> str:
    """`1.36.2` of `v1.36.2+k3s1`."""
    return version.removeprefix("v").partition("+")[0]
