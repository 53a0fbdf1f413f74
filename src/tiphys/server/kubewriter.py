"""ApplicationWriter, ProjectWriter, SecretWriter and Refresher over a Kubernetes API server.

Each write tells the cache its answer at once, so that a client reads what it wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tiphys.apimachinery.apierrors import NotFound
from tiphys.kube.client import JSON, MERGE, ApiResource, KubeClient
from tiphys.model.annotations import REFRESH
from tiphys.server.cache import DELETED, MODIFIED, ApplicationCache

APPLICATIONS = ApiResource("argoproj.io", "v1alpha1", "Application", "applications", True)
PROJECTS = ApiResource("argoproj.io", "v1alpha1", "AppProject", "appprojects", True)
SECRETS = ApiResource("", "v1", "Secret", "secrets", True)
FIELD_MANAGER = "argocd-server"


class KubeApplicationWriter:
    """Writes Applications through a client. See `ports.ApplicationWriter`."""

    def __init__(self, client: KubeClient, cache: ApplicationCache) -> None:
        self._client = client
        self._cache = cache

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Create an Application."""
        return self._told(await self._client.create(APPLICATIONS, obj, field_manager=FIELD_MANAGER))

    async def merge_patch(self, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Change an Application by a merge patch."""
        return await self._patch(namespace, name, patch, MERGE)

    async def json_patch(self, namespace: str, name: str, patch: list[dict[str, Any]]) -> dict[str, Any]:
        """Change an Application by a JSON patch."""
        return await self._patch(namespace, name, patch, JSON)

    async def delete(self, namespace: str, name: str) -> None:
        """Ask for an Application's deletion."""
        await self._client.delete(APPLICATIONS, name, namespace)

    async def get(self, namespace: str, name: str) -> dict[str, Any]:
        """Read an Application from the server."""
        return self._told(await self._client.get(APPLICATIONS, name, namespace))

    async def _patch(
        self, namespace: str, name: str, patch: Mapping[str, Any] | list[Any], content_type: str
    ) -> dict[str, Any]:
        answer = await self._client.patch(
            APPLICATIONS, name, patch, namespace, content_type=content_type, field_manager=FIELD_MANAGER
        )
        return self._told(answer)

    def _told(self, obj: dict[str, Any]) -> dict[str, Any]:
        self._cache.event(MODIFIED, obj)
        return obj


class KubeSecretWriter:
    """Patches argocd-secret and hands the new object to whoever holds the settings."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        *,
        on_change: Callable[[dict[str, Any]], None],
        name: str = "argocd-secret",
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._on_change = on_change

    async def patch_settings_secret(self, patch: Mapping[str, Any]) -> None:
        """Merge a patch into argocd-secret."""
        answer = await self._client.patch(
            SECRETS, self._name, patch, self._namespace, content_type=MERGE, field_manager=FIELD_MANAGER
        )
        self._on_change(answer)


class KubeProjectWriter:
    """Writes AppProjects and hands each answer to whoever holds the projects. See `ports.ProjectWriter`."""

    def __init__(self, client: KubeClient, namespace: str, *, on_change: Callable[[str, dict[str, Any]], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._on_change = on_change

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Create an AppProject."""
        return self._told(await self._client.create(PROJECTS, obj, self._namespace, field_manager=FIELD_MANAGER))

    async def replace(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Put it in the place of the one of its name."""
        return self._told(await self._client.replace(PROJECTS, obj, self._namespace, field_manager=FIELD_MANAGER))

    async def delete(self, name: str) -> None:
        """Delete it."""
        obj = await self.get(name)
        await self._client.delete(PROJECTS, name, self._namespace)
        if not (obj.get("metadata") or {}).get("finalizers"):
            self._on_change(DELETED, obj)

    async def get(self, name: str) -> dict[str, Any]:
        """Read it from the server."""
        return await self._client.get(PROJECTS, name, self._namespace)

    def _told(self, obj: dict[str, Any]) -> dict[str, Any]:
        self._on_change(MODIFIED, obj)
        return obj


class AnnotationRefresher:
    """Asks for a refresh by annotation, as any client of the cluster may, and waits until it is taken away again."""

    def __init__(self, writer: KubeApplicationWriter, cache: ApplicationCache) -> None:
        self._writer = writer
        self._cache = cache

    async def refresh(self, namespace: str, name: str, kind: str, timeout_s: float) -> bool:
        """Refresh an Application; True once the engine has done it. Raises ApiError, ClusterUnreachable."""
        follower = self._cache.follow()
        try:
            await self._writer.merge_patch(namespace, name, {"metadata": {"annotations": {REFRESH: kind}}})
            async with asyncio.timeout(timeout_s):
                while True:
                    app = self._cache.get(namespace, name)
                    if app is None:
                        raise NotFound(f'applications.argoproj.io "{name}" not found')
                    if REFRESH not in (app.metadata.get("annotations") or {}):
                        return True
                    await follower.next()
        except TimeoutError:
            return False
        finally:
            follower.close()
