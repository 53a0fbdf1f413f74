"""What the engine says of itself to Prometheus. Everything is read when it is asked for; nothing is counted meanwhile.

Names that Argo CD has are Argo CD's; the rest begin with `tiphys_`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tiphys.controllers.application import ApplicationController
from tiphys.controllers.clusters import ConnectionStatus
from tiphys.controllers.controlplane import ControlPlane
from tiphys.controllers.sessions import ClusterSessions
from tiphys.model.application import Application
from tiphys.runtime.metrics import Registry, Sample


def build_metrics(
    plane: ControlPlane, controller: ApplicationController, clusters: ClusterSessions, renders: Callable[[], int]
) -> Registry:
    """The registry behind `/metrics`. `renders` counts those that needed a worker or the store."""
    registry = Registry()

    def applications() -> Iterator[Sample]:
        for (namespace, name), app in plane.applications.items():
            if isinstance(app, Application):
                status = app.status
                words = (status.sync_status or "Unknown", status.health_status or "Unknown")
                yield (namespace, name, app.project_name, *words), 1.0

    def objects() -> Iterator[Sample]:
        for session in clusters.open_sessions():
            for kind, count in session.index.kinds().items():
                yield (session.server, kind.group, kind.kind), float(count)

    def clusters_info() -> Iterator[Sample]:
        for session in clusters.open_sessions():
            yield (session.server, session.connection.version, session.cluster.name), 1.0

    def connections() -> Iterator[Sample]:
        for session in clusters.open_sessions():
            there = session.connection.status is ConnectionStatus.SUCCESSFUL
            yield (session.server, session.connection.version), float(there)

    registry.gauge(
        "argocd_app_info",
        "Applications with their state.",
        ("namespace", "name", "project", "sync_status", "health_status"),
        read=applications,
    )
    registry.gauge(
        "argocd_cluster_info", "Clusters that are used.", ("server", "k8s_version", "name"), read=clusters_info
    )
    registry.gauge(
        "argocd_cluster_connection_status",
        "Whether a cluster that is used can be reached.",
        ("server", "k8s_version"),
        read=connections,
    )
    registry.gauge(
        "argocd_cluster_api_resource_objects",
        "Objects held of each cluster.",
        ("server",),
        read=lambda: [((s.server,), float(len(s.index))) for s in clusters.open_sessions()],
    )
    registry.gauge("tiphys_live_objects", "Objects held of each cluster.", ("server", "group", "kind"), read=objects)
    registry.gauge(
        "tiphys_reconcile_queue",
        "Applications that wait for a worker.",
        read=lambda: [((), float(len(controller.queue)))],
    )
    registry.gauge("tiphys_renders", "Renders since the start.", read=lambda: [((), float(renders()))])
    return registry
