"""Clusters of the HTTP API as methods. Objects are JSON as the server gives it; errors are ApiFailure."""

from __future__ import annotations

from typing import Any

from tiphys.client.transport import Transport, segment

PATH = "/api/v1/clusters"
Object = dict[str, Any]


class ClustersApi:
    """Clusters of one server. `cluster` arguments are a server URL or a name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_clusters(self) -> list[Object]:
        """Clusters the caller may see."""
        return list(self._object("GET", PATH).get("items") or ())

    def get_cluster(self, cluster: str) -> Object:
        """One cluster."""
        return self._object("GET", _path(cluster), query=_query(cluster))

    def create_cluster(self, body: Object, *, upsert: bool = False) -> Object:
        """Make a cluster known; one that is there already must be equal unless `upsert`."""
        return self._object("POST", PATH, query={"upsert": "true" if upsert else "false"}, body=body)

    def update_cluster(self, cluster: str, body: Object, fields: list[str]) -> Object:
        """Change some fields of a cluster."""
        return self._object("PUT", _path(cluster), query={**_query(cluster), "updatedFields": fields}, body=body)

    def delete_cluster(self, cluster: str) -> None:
        """Forget a cluster."""
        self._object("DELETE", _path(cluster), query=_query(cluster))

    def _object(self, method: str, path: str, **rest: Any) -> Object:
        answer = self._transport.request(method, path, **rest)
        return answer if isinstance(answer, dict) else {}


def is_url(cluster: str) -> bool:
    """A server URL, not a name."""
    return cluster.startswith(("http://", "https://"))


def _path(cluster: str) -> str:
    return f"{PATH}/{segment(cluster)}"


def _query(cluster: str) -> dict[str, Any]:
    return {} if is_url(cluster) else {"id.type": "name"}
