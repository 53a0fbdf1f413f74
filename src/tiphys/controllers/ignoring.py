"""Asks what must be asked before it is known which differences count: jq expressions, and who owns which field.

Source: compat 2.5 note c, 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from tiphys.apimachinery.apierrors import NotFound
from tiphys.apimachinery.yamljson import canonical_json, digest
from tiphys.controllers.clusters import ClusterSession
from tiphys.engine.diff.ignored import (
    Ignored,
    IgnoreRules,
    Removal,
    equal_without,
    owned_by,
    pointer_paths,
    respect_ignored,
    without_pointers,
)
from tiphys.engine.states import Action, Live, StageError, SyncPlan, Target, Task
from tiphys.kube.client import ApiResource
from tiphys.model.annotations import effective_option
from tiphys.model.statuses import ConditionType
from tiphys.scripting.protocol import PathsQuestion
from tiphys.scripting.service import Scripts, ScriptsUnavailable

RESPECT = "RespectIgnoreDifferences=true"
_RETRY_S = 10.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ignoring:
    """Answers about what does not count, for one cluster."""

    session: ClusterSession
    scripts: Scripts | None = None

    async def require_readable(self, rules: IgnoreRules) -> None:
        """Raises StageError when one of the jq expressions is none: then nothing can be compared at all."""
        expressions = rules.expressions()
        if not expressions:
            return
        for problem in await self._asked(self._scripts().problems(expressions)):
            if problem:
                message = f"Failed to compare desired state to live state: failed to create diff normalizer: {problem}"
                raise StageError("diff", ConditionType.COMPARISON_ERROR, message)

    async def covers(self, ignored: Ignored, target: Target, left: Json, right: Json) -> bool:
        """Whether two forms of one object are the same apart from what is ignored; pointers are taken out of them already.

        Raises StageError when no script can be run, ApiError and ClusterUnreachable.
        """
        fields = await self._owned(ignored, target)
        left_removal, right_removal = await self._removals(ignored, (left, right), fields)
        return equal_without(left, left_removal, right, right_removal)

    async def respected(self, ignored: Ignored, target: Target, live: Live) -> Target:
        """The target that leaves alone what does not count. Raises as `covers`."""
        wanted, there = target.manifest, live.manifest
        if live.version != target.version:
            there = await self._read(target) or there
        fields = await self._owned(ignored, target)
        bare = [without_pointers(obj, ignored.pointers) for obj in (wanted, there)]
        removals = [
            replace(removal, steps=(*pointer_paths(obj, ignored.pointers), *removal.steps))
            for obj, removal in zip((wanted, there), await self._removals(ignored, bare, fields), strict=True)
        ]
        found = respect_ignored(wanted, there, *removals)
        if found is wanted:
            return target
        json = canonical_json(found)
        return replace(target, json=json, digest=digest(json))

    async def respected_plan(self, plan: SyncPlan, rules: IgnoreRules) -> SyncPlan:
        """The plan with targets that leave alone what does not count. Raises as `covers`."""
        return replace(plan, tasks=tuple([await self._respected_task(task, rules) for task in plan.tasks]))

    async def _respected_task(self, task: Task, rules: IgnoreRules) -> Task:
        live = task.drift.live if task.drift is not None else None
        if task.action is not Action.APPLY or task.target is None or live is None:
            return task
        ignored = rules.of(task.target.key)
        if not ignored.any_rule:
            return task
        return replace(task, target=await self.respected(ignored, task.target, live))

    async def _removals(
        self, ignored: Ignored, objects: Sequence[Json], fields: dict[str, Any] | None
    ) -> list[Removal]:
        if not ignored.expressions:
            return [Removal(fields=fields) for _ in objects]
        questions = [PathsQuestion(ignored.expressions, orjson.dumps(obj)) for obj in objects]
        answers = await self._asked(self._scripts().paths(questions))
        return [Removal(answer.steps, fields) for answer in answers]

    async def _owned(self, ignored: Ignored, target: Target) -> dict[str, Any] | None:
        """The fields of the live object that the managers own. The live view does not keep them, so they are asked for."""
        if not ignored.managers:
            return None
        there = await self._read(target)
        entries = ((there or {}).get("metadata") or {}).get("managedFields") or ()
        return owned_by(entries, ignored.managers)

    async def _read(self, target: Target) -> Json | None:
        resource: ApiResource | None = await self.session.discovery.lookup(target.key.group_kind, target.version)
        if resource is None:
            return None
        try:
            return await self.session.client.get(resource, target.key.name, target.key.namespace)
        except NotFound:
            return None

    def _scripts(self) -> Scripts:
        if self.scripts is None:
            raise StageError("diff", ConditionType.COMPARISON_ERROR, "jq path expressions cannot be run here")
        return self.scripts

    @staticmethod
    async def _asked(answer: Any) -> Any:
        try:
            return await answer
        except ScriptsUnavailable as error:
            raise StageError("diff", ConditionType.COMPARISON_ERROR, str(error), retry_after_s=_RETRY_S) from None


def wants_respect(options: Sequence[str]) -> bool:
    """Whether an operation with these sync options leaves alone what does not count."""
    return effective_option((), options, RESPECT.partition("=")[0]) == "true"
