"""Clusters as the API shows and changes them: their Secrets, how they are doing, how many Applications go there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tiphys.controllers.clusters import ConnectionStatus
from tiphys.controllers.controlplane import SECRETS, ControlPlane
from tiphys.controllers.sessions import ClusterSessions
from tiphys.kube.client import MERGE
from tiphys.model.annotations import LAST_APPLIED, MANAGED_BY, MANAGED_BY_ARGOCD, REFRESH, SECRET_TYPE_LABEL
from tiphys.model.application import Application
from tiphys.model.cluster import Cluster, cluster_secret, in_cluster
from tiphys.model.destination import IN_CLUSTER_SERVER
from tiphys.runtime.clock import Clock, format_time

FIELD_MANAGER = "argocd-server"
UNUSED = "Cluster has no applications and is not being monitored."
# Asks the API server of a cluster for its version; raises ClusterConfigError, ApiError, ClusterUnreachable.
Probe = Callable[[Cluster], Awaitable[str]]


class ClusterAdmin:
    """What stands behind `/api/v1/clusters`."""

    def __init__(self, *, plane: ControlPlane, sessions: ClusterSessions, probe: Probe, clock: Clock) -> None:
        self._plane = plane
        self._sessions = sessions
        self._probe = probe
        self._clock = clock

    def clusters(self) -> Sequence[Cluster]:
        """Every known cluster, the engine's own without a Secret last."""
        known = self._plane.clusters
        if any(cluster.is_home for cluster in known):
            return known
        return (*known, in_cluster())

    def information(self, server: str, applications: int | None = None) -> dict[str, Any]:
        """`info` of a cluster. `applications`: how many go there, counted when it is not given."""
        connection, session = self._sessions.connection(server)
        count = self.application_counts().get(server, 0) if applications is None else applications
        message = connection.message
        if connection.status is ConnectionStatus.UNKNOWN and not count:
            message = UNUSED
        at = connection.attempted_at or self._clock.now()
        state = {"status": connection.status.value, "message": message, "attemptedAt": format_time(at)}
        info: dict[str, Any] = {"connectionState": state, "applicationsCount": count}
        cache: dict[str, Any] = {}
        if session is not None:
            if connection.version:
                info["serverVersion"] = connection.version
            cache = {"resourcesCount": len(session.index), "apisCount": len(session.live.watched())}
            if session.reached_at is not None:
                cache["lastCacheSyncTime"] = format_time(session.reached_at)
            if session.catalogue is not None:
                info["apiVersions"] = session.catalogue.api_versions()
        info["cacheInfo"] = cache
        return info

    def application_counts(self) -> Mapping[str, int]:
        """How many Applications go to each server."""
        names = {cluster.name: cluster.server for cluster in reversed(self.clusters())}
        counts: dict[str, int] = {}
        for app in self._plane.applications.values():
            if isinstance(app, Application):
                wanted = app.spec.destination
                server = wanted.server.rstrip("/") or names.get(wanted.name, "")
                counts[server] = counts.get(server, 0) + 1
        return counts

    async def check(self, cluster: Cluster) -> str:
        """The version of a cluster, asked for as it is described here. Raises ClusterConfigError, ApiError,
        ClusterUnreachable."""
        return await self._probe(cluster)

    async def create(self, cluster: Cluster) -> None:
        """Write the Secret of a new cluster."""
        body = cluster_secret(cluster, namespace=self._plane.namespace)
        self._take(await self._plane.client.create(SECRETS, body, self._plane.namespace, field_manager=FIELD_MANAGER))

    async def update(self, cluster: Cluster) -> None:
        """Write the Secret of a cluster anew; one without a Secret, which is the engine's own, gets one."""
        if not cluster.secret:
            await self.create(cluster)
            return
        old = self._plane.cluster_secrets.get(cluster.secret) or {}
        body = cluster_secret(cluster, namespace=self._plane.namespace)
        before = old.get("metadata") or {}
        if (before.get("annotations") or {}).get(MANAGED_BY) != MANAGED_BY_ARGOCD:
            del body["metadata"]["annotations"][MANAGED_BY]  # somebody else's: `delete` must leave it
        for field in ("labels", "annotations"):
            written = body["metadata"][field]
            gone = {name: None for name in before.get(field) or {} if name not in written}
            gone.pop(LAST_APPLIED, None)
            body["metadata"][field] = {**written, **gone}
        body["data"] = {**dict.fromkeys(old.get("data") or {}), **body["data"]}
        await self._patch(cluster.secret, {"metadata": body["metadata"], "data": body["data"]})

    async def delete(self, cluster: Cluster) -> None:
        """Forget a cluster: its Secret is deleted if the API made it, and is a cluster's no longer otherwise."""
        obj = self._plane.cluster_secrets.get(cluster.secret) or {}
        annotations = (obj.get("metadata") or {}).get("annotations") or {}
        if annotations.get(MANAGED_BY) == MANAGED_BY_ARGOCD:
            await self._plane.client.delete(SECRETS, cluster.secret, self._plane.namespace)
            self._plane.drop_secret(obj)
        else:
            await self._patch(cluster.secret, {"metadata": {"labels": {SECRET_TYPE_LABEL: None}}})

    async def invalidate(self, cluster: Cluster) -> None:
        """Look at a cluster anew. The time of the request stands in its Secret, where other replicas see it."""
        if cluster.secret:
            at = format_time(self._clock.now())
            await self._patch(cluster.secret, {"metadata": {"annotations": {REFRESH: at}}})
            return
        home = self._sessions.home
        if cluster.server == IN_CLUSTER_SERVER:
            home.discovery.invalidate()
            home.suspected.set()

    async def _patch(self, name: str, body: Mapping[str, Any]) -> None:
        answer = await self._plane.client.patch(
            SECRETS, name, body, self._plane.namespace, content_type=MERGE, field_manager=FIELD_MANAGER
        )
        self._take(answer)

    def _take(self, obj: Mapping[str, Any]) -> None:
        """Our own write counts at once, before the watch tells of it."""
        self._plane.take_settings_object({**obj, "kind": "Secret"})
