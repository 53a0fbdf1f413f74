"""What an API server serves: groups, versions, resources and their scope.

One aggregated answer where the server has it (Kubernetes 1.27 and later), one request per group version elsewhere. The
answer is kept; a kind that is not in it is looked for once more, because someone may just have created its CRD.

A group whose server did not answer is not "no such kind": asking for one of its kinds raises DiscoveryError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tiphys.apimachinery.apierrors import ApiError, NotFound
from tiphys.apimachinery.names import GroupKind, split_api_version
from tiphys.kube.client import ApiResource, KubeClient, error_of
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.clock import Clock

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)
MAX_AGE_S = 600.0  # versions of a group can change under us without any miss
MISS_PERIOD_S = 5.0  # an application of a kind that never comes must not cost a discovery per look-up
_PARALLEL = 8


class DiscoveryError(Exception):
    """Whether a kind exists could not be told, because a part of the API did not answer."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything one server said it serves.

    `versions`: versions of each group, the preferred one first. `resources`: by group and version. `failed`: group
    versions that did not answer, with the reason.
    """

    versions: Mapping[str, tuple[str, ...]]
    resources: Mapping[tuple[str, str], tuple[ApiResource, ...]]
    subresources: Mapping[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)
    failed: Mapping[tuple[str, str], str] = field(default_factory=dict)
    kinds: Mapping[GroupKind, tuple[ApiResource, ...]] = field(init=False)

    def __post_init__(self) -> None:
        kinds: dict[GroupKind, list[ApiResource]] = {}
        for group, versions in self.versions.items():
            for version in versions:
                seen: set[str] = set()
                for res in self.resources.get((group, version), ()):
                    if res.kind not in seen:  # the first resource of a kind is the one that stores it
                        seen.add(res.kind)
                        kinds.setdefault(res.group_kind, []).append(res)
        object.__setattr__(self, "kinds", {kind: tuple(found) for kind, found in kinds.items()})

    def find(self, kind: GroupKind, version: str | None = None) -> ApiResource | None:
        """The kind in the given version, else in the first version of its group's order that has it."""
        for res in self.kinds.get(kind, ()):
            if version is None or res.version == version:
                return res
        return None

    def failure(self, group: str, version: str | None = None) -> str | None:
        """Why the answer about this group is incomplete; None when it is complete."""
        for (failed_group, failed_version), why in self.failed.items():
            if failed_group == group and version in (None, failed_version):
                return why
        return None

    def preferred_version(self, group: str) -> str | None:
        """The version the server prefers for a group, None for an unknown one."""
        versions = self.versions.get(group)
        return versions[0] if versions else None

    def api_versions(self) -> list[str]:
        """`apps/v1` and `apps/v1/Deployment` for everything that can be listed and watched, sorted.

        Source: argo-cd util/argo APIResourcesToStrings over gitops-engine GetAPIResources.
        """
        found: set[str] = set()
        for resources in self.resources.values():
            for res in resources:
                if "list" in res.verbs and "watch" in res.verbs:
                    found.add(res.api_version)
                    found.add(f"{res.api_version}/{res.kind}")
        return sorted(found)

    def all_resources(self) -> Iterable[ApiResource]:
        """Each kind once, in the version its group prefers."""
        for found in self.kinds.values():
            yield found[0]


class Discovery:
    """The catalogue of one server, fetched when it is first asked for."""

    def __init__(
        self,
        client: KubeClient,
        *,
        clock: Clock,
        max_age_s: float = MAX_AGE_S,
        miss_period_s: float = MISS_PERIOD_S,
    ) -> None:
        self._client = client
        self._clock = clock
        self._max_age_s = max_age_s
        self._miss_period_s = miss_period_s
        self._catalogue: Catalogue | None = None
        self._version: dict[str, Any] | None = None
        self._fetched_at = 0.0
        self._stale = False
        self._lock = asyncio.Lock()
        self._attempts = 0
        self._failure: ApiError | ClusterUnreachable | None = None  # of the last attempt

    async def catalogue(self) -> Catalogue:
        """What the server serves, at most ten minutes old. Raises ApiError, ClusterUnreachable."""
        found = self._catalogue
        if found is not None and not self._stale and self._clock.monotonic() - self._fetched_at < self._max_age_s:
            return found
        return await self.refresh()

    async def refresh(self) -> Catalogue:
        """Ask the server now; several callers at once share one answer, and one failure to get it."""
        attempts = self._attempts
        async with self._lock:
            if self._attempts != attempts:
                if self._failure is not None:
                    raise self._failure
                if self._catalogue is not None:
                    return self._catalogue
            self._stale, self._failure = False, None  # what changes while we ask makes it stale again
            try:
                catalogue = await fetch_catalogue(self._client)
            except (ApiError, ClusterUnreachable) as error:
                self._stale, self._failure = True, error
                raise
            finally:
                self._attempts += 1
            self._catalogue, self._fetched_at, self._version = catalogue, self._clock.monotonic(), None
            return catalogue

    def invalidate(self) -> None:
        """A CRD or APIService changed: ask the server at the next look-up."""
        self._stale = True

    async def lookup(self, kind: GroupKind, version: str | None = None) -> ApiResource | None:
        """The resource of a kind; None when the server is sure that there is none.

        Raises DiscoveryError when a part that did not answer may have it; ApiError, ClusterUnreachable.
        """
        catalogue = await self.catalogue()
        found = catalogue.find(kind, version)
        if found is None and self._clock.monotonic() - self._fetched_at >= self._miss_period_s:
            catalogue = await self.refresh()
            found = catalogue.find(kind, version)
        if found is None and (why := catalogue.failure(kind.group, version)):
            raise DiscoveryError(f"cannot tell whether {kind} exists: {why}")
        return found

    async def preferred_version(self, group: str) -> str | None:
        """The version the server prefers for a group, None for an unknown one."""
        return (await self.catalogue()).preferred_version(group)

    async def api_versions(self) -> list[str]:
        """What Helm's Capabilities.APIVersions holds: `apps/v1`, `apps/v1/Deployment`."""
        return (await self.catalogue()).api_versions()

    async def server_version(self) -> dict[str, Any]:
        """The server's /version, asked for once per catalogue."""
        if self._version is None:
            self._version = await self._client.version()
        return self._version


async def fetch_catalogue(client: KubeClient) -> Catalogue:
    """Ask for everything. Raises ApiError or ClusterUnreachable when even the list of groups cannot be had."""
    core, groups = await asyncio.gather(_ask(client, "/api"), _ask(client, "/apis"))
    builder = _Builder()
    await _take(client, builder, core, "/api")
    await _take(client, builder, groups, "/apis")
    return builder.build()


async def _ask(client: KubeClient, path: str) -> dict[str, Any]:
    answer = await client.request("GET", path, accept=AGGREGATED)
    if answer.status != 200:
        raise error_of(answer)
    parsed = orjson.loads(answer.body)
    return parsed if isinstance(parsed, dict) else {}


async def _take(client: KubeClient, builder: _Builder, answer: dict[str, Any], path: str) -> None:
    if answer.get("kind") == "APIGroupDiscoveryList":
        builder.add_aggregated(answer)
    elif path == "/api":
        await _take_each(client, builder, [("", version) for version in answer.get("versions") or []])
    else:
        pairs = []
        for group in answer.get("groups") or []:
            preferred = (group.get("preferredVersion") or {}).get("version")
            versions = [row["version"] for row in group.get("versions") or []]
            versions.sort(key=lambda version: version != preferred)  # stable: the others keep their order
            pairs += [(group["name"], version) for version in versions]
        await _take_each(client, builder, pairs)


async def _take_each(client: KubeClient, builder: _Builder, pairs: list[tuple[str, str]]) -> None:
    gate = asyncio.Semaphore(_PARALLEL)

    async def ask(group: str, version: str) -> dict[str, Any] | str:
        async with gate:
            try:
                return await client.request_json("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
            except NotFound:
                return {}  # the group went away between the two requests
            except (ApiError, ClusterUnreachable) as error:
                return str(error)

    answers = await asyncio.gather(*(ask(*pair) for pair in pairs))
    for (group, version), answer in zip(pairs, answers, strict=True):
        if isinstance(answer, str):
            builder.add_failure(group, version, answer)
        else:
            builder.add_plain(group, version, answer)


class _Builder:
    """Collects answers of both forms."""

    def __init__(self) -> None:
        self._versions: dict[str, list[str]] = {}
        self._resources: dict[tuple[str, str], tuple[ApiResource, ...]] = {}
        self._subresources: dict[tuple[str, str, str], frozenset[str]] = {}
        self._failed: dict[tuple[str, str], str] = {}

    def build(self) -> Catalogue:
        return Catalogue(
            versions={group: tuple(versions) for group, versions in self._versions.items()},
            resources=self._resources,
            subresources=self._subresources,
            failed=self._failed,
        )

    def add_failure(self, group: str, version: str, why: str) -> None:
        self._versions.setdefault(group, []).append(version)
        self._failed[group, version] = why

    def add_aggregated(self, answer: dict[str, Any]) -> None:
        """An APIGroupDiscoveryList. A version marked Stale is what the aggregator last knew of a server that is away."""
        for item in answer.get("items") or []:
            group = (item.get("metadata") or {}).get("name") or ""
            for entry in item.get("versions") or []:
                version = entry["version"]
                self._versions.setdefault(group, []).append(version)
                if entry.get("freshness") == "Stale":
                    self._failed[group, version] = f"the server of {group}/{version} does not answer (stale)"
                found = []
                for row in entry.get("resources") or []:
                    kind = (row.get("responseKind") or {}).get("kind") or ""
                    plural = row["resource"]
                    found.append(_resource(group, version, kind, plural, row.get("scope") == "Namespaced", row))
                    if subs := row.get("subresources"):
                        names = frozenset(str(sub["subresource"]) for sub in subs)
                        self._subresources[group, version, plural] = names
                self._resources[group, version] = tuple(found)

    def add_plain(self, group: str, version: str, answer: dict[str, Any]) -> None:
        """An APIResourceList."""
        self._versions.setdefault(group, []).append(version)
        found = []
        subs: dict[str, set[str]] = {}
        for row in answer.get("resources") or []:
            plural, slash, sub = str(row.get("name") or "").partition("/")
            if slash:
                subs.setdefault(plural, set()).add(sub)
                continue
            found.append(_resource(group, version, row.get("kind") or "", plural, row.get("namespaced") is True, row))
        listed = answer.get("groupVersion")
        if listed and split_api_version(listed) != (group, version):
            return  # an answer for something else is none
        self._resources[group, version] = tuple(found)
        for plural, names in subs.items():
            self._subresources[group, version, plural] = frozenset(names)


def _resource(group: str, version: str, kind: str, plural: str, namespaced: bool, row: dict[str, Any]) -> ApiResource:
    return ApiResource(group, version, kind, plural, namespaced, frozenset(row.get("verbs") or ()))
