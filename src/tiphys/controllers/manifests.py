"""The manifests Git declares for an Application: now, at another revision, or as they were deployed.

What was deployed is known from the ledger and the kept renders even when Git has lost the commit.

Source: compat 13.1 "manifests".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from tiphys.apimachinery.apierrors import ApiError
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.comparison import Context, target_of
from tiphys.controllers.controlplane import Key
from tiphys.controllers.masking import SECRET, mask_secrets
from tiphys.engine.states import Rendered, StageError, Target, TargetState
from tiphys.kube.discovery import DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.application import Application
from tiphys.model.source import ApplicationSource
from tiphys.store.database import StoreError
from tiphys.store.ledger import Ledger

Kept = Callable[[str, str], Awaitable[Rendered | None]]  # (render key, revision) -> the render, if it is still there


class Manifests:
    """Target manifests of Applications."""

    def __init__(self, controller: ApplicationController, ledger: Ledger, *, kept: Kept) -> None:
        self._controller = controller
        self._ledger = ledger
        self._kept = kept

    async def manifests(self, app: Key, revisions: Mapping[int, str]) -> Mapping[str, Any]:
        """Argo CD's ManifestResponse, Secret values masked.

        `revisions` by position of the source, the first is 0; none asks for what Git declares now. Raises StageError,
        ApiError, ClusterUnreachable.
        """
        context = await self._controller.context(app)
        sources = tuple(
            replace(source, target_revision=revisions[at]) if at in revisions else source
            for at, source in enumerate(context.app.spec.all_sources)
        )
        try:
            target = await self._controller.target_at(context, sources)
        except StageError as error:
            deployed = await self._deployed(context, revisions)
            if deployed is None:
                raise error from None
            target = deployed
        masked = context.settings.masked_annotations
        answer: dict[str, Any] = {
            "manifests": [_text(one, masked) for one in (*target.resources.values(), *target.hooks)],
            "namespace": context.destination.namespace,
            "server": context.destination.server,
            "revision": target.revision,
            "sourceType": target.source_type,
        }
        return {name: value for name, value in answer.items() if value or name == "manifests"}

    async def problem_of(self, app: Application) -> str:
        """Why nothing can be made of the sources of an Application that may not be there yet; empty when something can.

        A cluster that does not answer is no fault of the sources.
        """
        try:
            context = await self._controller.context_of(app)
            await self._controller.target_at(context, app.spec.all_sources)
        except StageError as error:
            if error.stage == "source":
                return f"repository not accessible: {error.message}"
            paths = ", ".join(source.path or source.chart for source in app.spec.all_sources)
            return f"Unable to generate manifests in {paths}: rpc error: code = Unknown desc = {error.message}"
        except (ApiError, ClusterUnreachable, DiscoveryError):
            return ""
        return ""

    async def _deployed(self, context: Context, revisions: Mapping[int, str]) -> TargetState | None:
        """The target an earlier operation applied at these revisions, made from kept renders; None when that is not kept."""
        if not revisions:
            return None
        keys = await self._render_keys(context.app, revisions)
        renders = [await self._kept(key, revisions.get(at, "")) for at, key in enumerate(keys)]
        if not renders or any(render is None for render in renders):
            return None
        waiting = iter(renders)

        async def fetch(_source: ApplicationSource) -> Any:
            return None

        async def render(_snapshot: Any, _source: ApplicationSource) -> Any:
            return next(waiting)

        sources: Sequence[ApplicationSource] = context.app.spec.all_sources[: len(renders)]
        if len(sources) != len(renders):
            return None
        return await target_of(context, sources, fetch=fetch, render=render, previous=None)

    async def _render_keys(self, app: Application, revisions: Mapping[int, str]) -> Sequence[str]:
        wanted = revisions.get(0) or next(iter(revisions.values()))
        try:
            rows = await self._ledger.list_for_app(app.namespace, app.name, limit=1000)
        except StoreError:
            return ()
        for row in rows:
            if row.app_uid == app.uid and row.render_keys and wanted in row.revision.split(","):
                return row.render_keys
        return ()


def _text(target: Target, masked: Sequence[str]) -> str:
    if target.key.group_kind != SECRET:
        return target.json.decode()
    return orjson.dumps(mask_secrets(target.manifest, annotations=masked)[0]).decode()
