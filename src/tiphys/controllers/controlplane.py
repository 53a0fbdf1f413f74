"""What stands in our own namespace: Applications, AppProjects, ConfigMaps and Secrets, followed by watches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from tiphys.apimachinery.apierrors import NotFound
from tiphys.engine.live.index import is_newer
from tiphys.kube.client import MERGE, ApiResource, KubeClient
from tiphys.kube.watch import Reflector
from tiphys.model.annotations import PART_OF_LABEL, REFRESH, SECRET_TYPE_LABEL
from tiphys.model.application import Application, parse_application
from tiphys.model.appproject import AppProject, parse_appproject
from tiphys.model.cluster import Cluster, parse_cluster_secret
from tiphys.model.codec import InvalidObject
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger
from tiphys.settings.load import load_settings
from tiphys.settings.values import Settings

APPLICATIONS = ApiResource("argoproj.io", "v1alpha1", "Application", "applications", True)
PROJECTS = ApiResource("argoproj.io", "v1alpha1", "AppProject", "appprojects", True)
CONFIG_MAPS = ApiResource("", "v1", "ConfigMap", "configmaps", True)
SECRETS = ApiResource("", "v1", "Secret", "secrets", True)

STATUS_MANAGER = "argocd-application-controller"
SETTINGS_OBJECTS = frozenset(
    {
        ("ConfigMap", "argocd-cm"),
        ("ConfigMap", "argocd-cmd-params-cm"),
        ("ConfigMap", "argocd-rbac-cm"),
        ("Secret", "argocd-secret"),
    }
)

_OF_ANY_WRITE = frozenset({"resourceVersion", "generation", "managedFields"})

Key = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An Application whose spec cannot be decoded; it disturbs nobody else."""

    object: Mapping[str, Any]
    problems: tuple[str, ...]


class ConfigFollower(Protocol):
    """Reads ConfigMaps or Secrets of our namespace besides the settings."""

    def replace(self, kind: str, objects: Sequence[Mapping[str, Any]]) -> None:
        """All objects of a kind there are."""

    def event(self, kind: str, word: str, obj: Mapping[str, Any]) -> None:
        """One was ADDED, MODIFIED or DELETED."""


class ControlPlane:
    """Our namespace as it is now. Callbacks are told what changed; they only mark work."""

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        clock: Clock,
        log: Logger = SILENT,
    ) -> None:
        self.namespace = namespace
        self.client = client
        self.settings = Settings()
        self.applications: dict[Key, Application | Unreadable] = {}
        self.objects: dict[Key, Mapping[str, Any]] = {}  # the Applications as they were read
        self.asked_at: dict[Key, float] = {}  # since when they ask for a refresh, on the monotonic clock
        self.projects: dict[str, AppProject] = {}
        self.cluster_secrets: dict[str, Mapping[str, Any]] = {}
        self.clusters: tuple[Cluster, ...] = ()  # those with a readable Secret, by the Secret's name
        self.application_changed: Callable[[Key], None] = lambda _key: None
        self.everything_changed: Callable[[], None] = lambda: None
        self.clusters_changed: Callable[[], None] = lambda: None
        self.application_told: Callable[[str, Mapping[str, Any]], None] = lambda _word, _obj: None  # the API's cache
        self.config_followers: list[ConfigFollower] = []
        self._settings_objects: dict[str, Mapping[str, Any]] = {}
        self._clock = clock
        self._log = log

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Awaitable[None]]) -> None:
        """Follow our namespace; `ready` once everything has been listed."""
        reflectors = [
            Reflector(
                self.client,
                resource,
                clock=self._clock,
                on_replace=replace,
                on_event=event,
                namespace=self.namespace,
            )
            for resource, replace, event in (
                (
                    CONFIG_MAPS,
                    partial(self._replace_config, CONFIG_MAPS.kind),
                    partial(self._on_config, CONFIG_MAPS.kind),
                ),
                (SECRETS, partial(self._replace_config, SECRETS.kind), partial(self._on_config, SECRETS.kind)),
                (PROJECTS, self._replace_projects, self._on_project),
                (APPLICATIONS, self._replace_applications, self._on_application),
            )
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(r.run(), name=f"watch-{r.res.plural}") for r in reflectors]
            for reflector in reflectors:
                await reflector.wait_synced()
            ready()
            await until_stopped()
            for task in tasks:
                task.cancel()

    async def patch_application(self, key: Key, body: Mapping[str, Any]) -> Application | None:
        """Merge-patch an Application's status, operation or metadata, and know the answer at once."""
        answer = await self.client.patch(
            APPLICATIONS, key[1], body, key[0], content_type=MERGE, field_manager=STATUS_MANAGER
        )
        metadata = answer.get("metadata") or {}
        gone = "deletionTimestamp" in metadata and not metadata.get("finalizers")
        self._on_application("DELETED" if gone else "MODIFIED", answer)
        found = self.applications.get(key)
        return found if isinstance(found, Application) else None

    async def read_application(self, key: Key) -> Application | None:
        """The Application as the API server has it now; None when it is gone or cannot be decoded."""
        try:
            self._on_application("MODIFIED", await self.client.get(APPLICATIONS, key[1], key[0]))
        except NotFound:
            if key in self.objects:
                self._on_application("DELETED", self.objects[key])
        found = self.applications.get(key)
        return found if isinstance(found, Application) else None

    def _replace_applications(self, objects: list[Mapping[str, Any]], _version: str) -> None:
        seen = set()
        for obj in objects:
            seen.add(_key(obj))
            self._on_application("MODIFIED", obj)
        for key in [k for k in self.applications if k not in seen]:
            self._on_application("DELETED", self.objects[key])

    def _on_application(self, word: str, obj: Mapping[str, Any]) -> None:
        key = _key(obj)
        known = self.objects.get(key)
        if word == "DELETED":
            self.applications.pop(key, None)
            self.objects.pop(key, None)
            self.asked_at.pop(key, None)
        else:
            if known is not None and _uid(known) == _uid(obj) and not is_newer(_version(obj), _version(known)):
                return
            obj = _kept(obj)
            self.objects[key] = obj
            try:
                self.applications[key] = _parse(obj, known, self.applications.get(key))
            except InvalidObject as error:
                self.applications[key] = Unreadable(obj, error.problems)
            self._note_ask(key, obj)
            word = "MODIFIED" if known is not None else "ADDED"
            if known is not None and _is_stamp(known, obj):
                self.application_told(word, obj)
                return
        self.application_changed(key)
        self.application_told(word, obj)

    def _note_ask(self, key: Key, obj: Mapping[str, Any]) -> None:
        """Somebody asks for a refresh by an annotation, until it is answered by taking that away."""
        if REFRESH in ((obj.get("metadata") or {}).get("annotations") or ()):
            self.asked_at.setdefault(key, self._clock.monotonic())
        else:
            self.asked_at.pop(key, None)

    def _replace_projects(self, objects: list[Mapping[str, Any]], _version: str) -> None:
        names = {_key(obj)[1] for obj in objects}
        for name in [n for n in self.projects if n not in names]:
            del self.projects[name]
        for obj in objects:
            self._take_project(obj)
        self.everything_changed()

    def _on_project(self, word: str, obj: Mapping[str, Any]) -> None:
        if word == "DELETED":
            self.projects.pop(_key(obj)[1], None)
        else:
            self._take_project(obj)
        self.everything_changed()

    def _take_project(self, obj: Mapping[str, Any]) -> None:
        name = _key(obj)[1]
        try:
            self.projects[name] = parse_appproject(obj)
        except InvalidObject as error:
            # What it allowed before may no longer be meant; nothing is allowed until it can be read.
            self.projects.pop(name, None)
            self._log.error("an AppProject cannot be read", project=name, problems="; ".join(error.problems))

    def take_project_object(self, word: str, obj: Mapping[str, Any]) -> None:
        """An AppProject as our own write was answered: in force at once, before the watch tells of it."""
        self._on_project(word, obj)

    def take_settings_object(self, obj: Mapping[str, Any]) -> None:
        """A settings object as our own write was answered: in force at once, before the watch tells of it."""
        self._on_config(str(obj.get("kind") or SECRETS.kind), "MODIFIED", obj)

    def drop_secret(self, obj: Mapping[str, Any]) -> None:
        """A Secret that we deleted: it is gone at once, before the watch tells of it."""
        self._on_config(SECRETS.kind, "DELETED", obj)

    def _replace_config(self, kind: str, objects: list[Mapping[str, Any]], _version: str) -> None:
        for follower in self.config_followers:
            follower.replace(kind, objects)
        names = {_key(obj)[1] for obj in objects}
        gone = [name for name in self._settings_objects if (kind, name) in SETTINGS_OBJECTS and name not in names]
        if kind == SECRETS.kind:
            gone += [name for name in self.cluster_secrets if name not in names]
        changed = [self._drop_config(kind, name) for name in gone]
        changed += [self._take_config(kind, obj) for obj in objects]
        if any(changed):
            self._reload()
            self.everything_changed()
        elif kind == SECRETS.kind:
            self._take_clusters()

    def _on_config(self, kind: str, word: str, obj: Mapping[str, Any]) -> None:
        for follower in self.config_followers:
            follower.event(kind, word, obj)
        changed = self._drop_config(kind, _key(obj)[1]) if word == "DELETED" else self._take_config(kind, obj)
        if changed:
            self._reload()
            self.everything_changed()
        elif _key(obj)[1] in self.cluster_secrets:
            self._take_clusters()

    def _take_clusters(self) -> None:
        """Read the cluster Secrets again; what cannot be read is no cluster, and is said."""
        found: list[Cluster] = []
        for name, obj in sorted(self.cluster_secrets.items()):
            try:
                found.append(parse_cluster_secret(obj))
            except InvalidObject as error:
                self._log.error("a cluster Secret cannot be read", secret=name, problems="; ".join(error.problems))
        self.clusters = tuple(found)
        self.clusters_changed()

    def _drop_config(self, kind: str, name: str) -> bool:
        changed = kind == SECRETS.kind and self.cluster_secrets.pop(name, None) is not None
        if (kind, name) in SETTINGS_OBJECTS:
            changed = self._settings_objects.pop(name, None) is not None or changed
        return changed

    def _take_config(self, kind: str, obj: Mapping[str, Any]) -> bool:
        """Keep what we read from; True when it says something new."""
        name = _key(obj)[1]
        labels = (obj.get("metadata") or {}).get("labels") or {}
        if kind == SECRETS.kind and labels.get(SECRET_TYPE_LABEL) == "cluster":
            known = self.cluster_secrets.get(name)
            self.cluster_secrets[name] = obj
            return known is None or known.get("data") != obj.get("data") or _labels(known) != labels
        changed = kind == SECRETS.kind and self.cluster_secrets.pop(name, None) is not None
        if (kind, name) in SETTINGS_OBJECTS:
            known = self._settings_objects.get(name)
            self._settings_objects[name] = obj
            if PART_OF_LABEL not in labels:
                self._log.debug("a settings object lacks the part-of label", name=name)
            changed = known is None or known.get("data") != obj.get("data") or _labels(known) != labels or changed
        return changed

    def _reload(self) -> None:
        loaded = load_settings(self._settings_objects)
        for problem in loaded.problems:
            self._log.warning("a setting cannot be used", problem=str(problem))
        self.settings = loaded.settings
        self._take_clusters()


def _key(obj: Mapping[str, Any]) -> Key:
    metadata = obj.get("metadata") or {}
    return (str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))


def _kept(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without what is the largest part of it in memory and read by nobody here: who wrote which field."""
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def _parse(
    obj: Mapping[str, Any], before: Mapping[str, Any] | None, was: Application | Unreadable | None
) -> Application:
    """The Application; most changes are of its status, so its spec is decoded only when it is another one.

    Raises InvalidObject.
    """
    spec = obj.get("spec")
    if before is None or not isinstance(was, Application) or spec is None or before.get("spec") != spec:
        return parse_application(obj)
    return replace(parse_application({k: v for k, v in obj.items() if k != "spec"}), spec=was.spec)


def _is_stamp(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Nothing is new but which commit it is at, and since when: nobody needs to look at it for that."""
    return _without_stamp(before) == _without_stamp(after)


def _without_stamp(obj: Mapping[str, Any]) -> tuple[object, ...]:
    metadata = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in _OF_ANY_WRITE}
    status = {k: v for k, v in (obj.get("status") or {}).items() if k not in ("sync", "reconciledAt")}
    sync = {k: v for k, v in ((obj.get("status") or {}).get("sync") or {}).items() if k != "revision"}
    return metadata, obj.get("spec"), obj.get("operation"), status, sync


def _labels(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (obj.get("metadata") or {}).get("labels") or {}
    return found


def _uid(obj: Mapping[str, Any]) -> object:
    return (obj.get("metadata") or {}).get("uid")


def _version(obj: Mapping[str, Any]) -> str:
    return str((obj.get("metadata") or {}).get("resourceVersion") or "")
