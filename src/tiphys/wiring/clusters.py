"""Sessions of destination clusters."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace

from tiphys import __version__
from tiphys.apimachinery.names import ResourceKey
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.clusteradmin import ClusterAdmin
from tiphys.controllers.clusters import ChangeSignal, ClusterSession
from tiphys.controllers.controlplane import ControlPlane
from tiphys.controllers.sessions import ClusterSessions, version_of
from tiphys.engine.live.cluster import ClusterLive
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.states import Live
from tiphys.kube.client import KubeClient
from tiphys.kube.config import ClusterConfig, config_from_cluster_secret
from tiphys.kube.discovery import Discovery
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.cluster import Cluster, in_cluster
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import Logger

USER_AGENT = f"tiphys/{__version__}"
PROBE_WITHIN_S = 15.0
ARGOCD_HELPER = "argocd-k8s-auth"


class Clusters:
    """Builds the sessions and ties them to the controller, which needs them and is needed by them."""

    def __init__(
        self,
        client: KubeClient,
        *,
        plane: ControlPlane,
        env: Mapping[str, str],
        clock: Clock,
        log: Logger,
    ) -> None:
        """`client` is of the engine's own cluster."""
        self._client = client
        self._env = env
        self._clock = clock
        self._log = log
        self._controller: ApplicationController | None = None
        home = self._session(client, in_cluster(), home=True)
        self.sessions = ClusterSessions(
            home,
            clusters=lambda: plane.clusters,
            connect=self._connect,
            clock=clock,
            log=log.bind(part="clusters"),
        )
        plane.clusters_changed = self.sessions.secrets_changed

    def admin(self, plane: ControlPlane) -> ClusterAdmin:
        """What the API shows and changes of clusters."""
        return ClusterAdmin(plane=plane, sessions=self.sessions, probe=self.probe, clock=self._clock)

    def tie(self, controller: ApplicationController) -> None:
        """What the clusters tell goes to this controller."""
        self._controller = controller
        self.sessions.in_use = controller.sessions_in_use
        self.sessions.connection_changed = controller.live_state_changed
        controller.usage_changed = self.sessions.usage_changed

    async def probe(self, cluster: Cluster) -> str:
        """The version of a cluster that need not be known. Raises ClusterConfigError, ApiError, ClusterUnreachable."""
        client = self._open(cluster)
        if client is None:
            return version_of(await self._client.version())
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                return version_of(await client.version())
        except TimeoutError:
            raise ClusterUnreachable(cluster.server, f"no answer within {PROBE_WITHIN_S:g} s") from None
        finally:
            await client.close()

    def _connect(self, cluster: Cluster) -> ClusterSession | None:
        client = self._open(cluster)
        if client is None and cluster.namespaces:  # some namespaces of our own cluster are all we may see
            client = KubeClient(self._client.transport.config, user_agent=USER_AGENT, clock=self._clock, env=self._env)
        return None if client is None else self._session(client, cluster)

    def _open(self, cluster: Cluster) -> KubeClient | None:
        """A client of a cluster; None when the engine's own is one. Raises ClusterConfigError."""
        own = self._client.transport.config
        config = config_from_cluster_secret(cluster.server, cluster.config.reveal(), name=cluster.name, in_cluster=own)
        if config is own:
            return None
        if cluster.is_home:
            config = _at_home(config, own)
        plugin = config.exec_plugin
        if plugin is not None and plugin.command == ARGOCD_HELPER:
            # What stands for `awsAuthConfig`; our own program takes the same arguments.
            own_program = ("-m", "tiphys", "k8s-auth")
            plugin = replace(plugin, command=sys.executable, args=(*own_program, *plugin.args))
            config = replace(config, exec_plugin=plugin)
        return KubeClient(config, user_agent=USER_AGENT, clock=self._clock, env=self._env)

    def _session(self, client: KubeClient, cluster: Cluster, *, home: bool = False) -> ClusterSession:
        discovery = Discovery(client, clock=self._clock)

        def changed(key: ResourceKey, before: Live | None, after: Live | None) -> None:
            if self._controller is not None:
                self._controller.live_changed(session, key, before, after)

        index = LiveIndex(changed=changed)
        live = ClusterLive(
            client=client,
            discovery=discovery,
            index=index,
            clock=self._clock,
            log=self._log.bind(part="live", cluster=cluster.server),
            state_changed=lambda: self._state_changed(session),
            namespaces=cluster.namespaces if not home else (),
            cluster_resources=cluster.cluster_resources,
        )
        session = ClusterSession(
            cluster.server, client, discovery, index, live, ChangeSignal(), cluster=cluster, home=home
        )
        return session

    def _state_changed(self, session: ClusterSession) -> None:
        if any(session.live.watched().values()):
            session.suspected.set()
        if self._controller is not None:
            self._controller.live_state_changed(session)


def _at_home(config: ClusterConfig, own: ClusterConfig) -> ClusterConfig:
    """Credentials of a Secret for the engine's own cluster, whose name resolves inside of it only."""
    tls = config.tls if config.tls.ca or config.tls.insecure else replace(config.tls, ca=own.tls.ca)
    if config.tls.server_name is None:
        tls = replace(tls, server_name=own.tls.server_name)
    return replace(config, server=own.server, tls=tls, proxy=config.proxy or own.proxy)
