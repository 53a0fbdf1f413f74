"""What engines that read Argo CD's Applications have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from bench.api import MERGE, Api, Key, Object
from bench.engines.protocol import Verdict
from bench.repository import Push
from bench.workload import App

NAMESPACE = "argocd"
SERVICE_ACCOUNT = "argocd-application-controller"
USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications"
REFRESH = "argocd.argoproj.io/refresh"


def application(app: App, url: str, *, annotations: Mapping[str, str] | None = None) -> Object:
    """The Application of an app."""
    source: dict[str, Any] = {"repoURL": url, "path": app.path, "targetRevision": "main"}
    if app.value_files:
        source["helm"] = {"valueFiles": list(app.value_files)}
    policy: dict[str, Any] = {"automated": {"prune": True, "selfHeal": True}} if app.automated else {}
    if app.options:
        policy["syncOptions"] = list(app.options)
    metadata: dict[str, Any] = {"name": app.name, "namespace": NAMESPACE}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": metadata,
        "spec": {
            "project": "default",
            "source": source,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": app.namespace},
            "syncPolicy": policy,
        },
    }


class ApplicationEngine:
    """Reads and writes Applications; processes are the business of those who inherit."""

    user = USER
    verdicts = APPLICATIONS

    def annotations(self, app: App) -> Mapping[str, str]:
        """Annotations of an app's Application."""
        return {}

    def options(self, app: App) -> tuple[str, ...]:
        """Sync options of an app."""
        return app.options

    async def submit(self, api: Api, apps: Sequence[App], urls: Mapping[str, str]) -> None:
        """One POST for each."""
        bodies = [application(app, urls[app.repo], annotations=self.annotations(app)) for app in apps]
        for app, body in zip(apps, bodies, strict=True):
            if options := self.options(app):
                body["spec"]["syncPolicy"]["syncOptions"] = list(options)
        await api.pool([lambda body=body: api.call("POST", APPLICATIONS, body) for body in bodies])  # type: ignore[misc]

    def key(self, app: str) -> Key:
        """Applications live in one namespace."""
        return NAMESPACE, app

    def verdict(self, obj: Object) -> Verdict:
        """Synced, Healthy, and the last operation succeeded."""
        status = obj.get("status") or {}
        sync, operation = status.get("sync") or {}, status.get("operationState") or {}
        in_sync = sync.get("status") == "Synced"
        healthy = (status.get("health") or {}).get("status") == "Healthy"
        ready = in_sync and healthy and operation.get("phase") == "Succeeded" and "operation" not in obj
        asked = (obj["metadata"].get("annotations") or {}).get(REFRESH, "")
        ended = str(operation.get("finishedAt", "")) if operation.get("phase") == "Succeeded" else ""
        return Verdict(ready, in_sync, str(sync.get("revision", "")), asked, ended)

    async def refresh(self, api: Api, app: str, mark: str) -> None:
        """The annotation, which an engine removes when it has compared anew."""
        body = {"metadata": {"annotations": {REFRESH: "normal"}}}
        await api.call("PATCH", f"{APPLICATIONS}/{app}", body, MERGE)

    def answered(self, verdict: Verdict, mark: str) -> bool:
        """No refresh is open."""
        return not verdict.answered

    async def sync(self, api: Api, app: str) -> None:
        """An operation in the Application, as the API and the command line write it."""
        operation = {"initiatedBy": {"username": "bench"}, "sync": {"prune": True}}
        await api.call("PATCH", f"{APPLICATIONS}/{app}", {"operation": operation}, MERGE)

    async def notify(self, api: Api, address: str, push: Push) -> None:
        """GitHub's push event."""
        changed = {"added": [], "removed": [], "modified": list(push.paths)}
        body = {
            "ref": "refs/heads/main",
            "before": push.before,
            "after": push.after,
            "repository": {
                "html_url": push.url.removesuffix(".git"),
                "default_branch": "main",
                "full_name": push.name,
                "name": push.name,
            },
            "commits": [{"id": push.after, **changed}],
            "head_commit": {"id": push.after, **changed},
        }
        headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": push.after}
        async with asyncio.timeout(30), api.plain.post(f"{address}/api/webhook", json=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"webhook: {answer.status} {await answer.text()}")
