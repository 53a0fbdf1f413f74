"""What the engine says of itself to Prometheus. Everything is read when it is asked for; nothing is counted meanwhile.

Names that Argo CD has are Argo CD's; the rest begin with `tiphys_`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tiphys.controllers.application import ApplicationController
from tiphys.controllers.controlplane import ControlPlane
from tiphys.engine.live.index import LiveIndex
from tiphys.model.application import Application
from tiphys.runtime.metrics import Registry, Sample


def build_metrics(
    plane: ControlPlane, controller: ApplicationController, index: LiveIndex, renders: Callable[[], int]
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
        for kind, count in index.kinds().items():
            yield (kind.group, kind.kind), float(count)

    registry.gauge(
        "argocd_app_info",
        "Applications with their state.",
        ("namespace", "name", "project", "sync_status", "health_status"),
        read=applications,
    )
    registry.gauge("tiphys_live_objects", "Objects held of the cluster.", ("group", "kind"), read=objects)
    registry.gauge(
        "tiphys_reconcile_queue",
        "Applications that wait for a worker.",
        read=lambda: [((), float(len(controller.queue)))],
    )
    registry.gauge("tiphys_renders", "Renders since the start.", read=lambda: [((), float(renders()))])
    return registry
