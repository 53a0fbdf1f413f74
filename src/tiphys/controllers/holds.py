"""Holds: an Application that was rolled back stays there, with automation on, until somebody or a commit moves it on.

A hold ends when Git declares something else for the Application than it did when the hold began (a commit that touches
other things does not end it), when its time is over, when an operation by hand deploys another revision, and when it is
taken away. While it stands, automation does not follow Git, and self-heal defends what the rollback deployed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tiphys.controllers.comparer import Comparer
from tiphys.controllers.comparison import Context, compare_target
from tiphys.controllers.controlplane import ControlPlane, Key
from tiphys.controllers.known import Held, Known, name_of
from tiphys.engine.states import StageError, TargetState
from tiphys.engine.sync.auto import Decision, decide
from tiphys.model.application import Application
from tiphys.model.hold import HOLD, Hold, format_hold, parse_hold
from tiphys.model.operation import OperationState, SyncStrategy, SyncStrategyApply
from tiphys.model.source import ApplicationSource
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger


class Holds:
    """Watches over the holds of Applications."""

    def __init__(self, *, plane: ControlPlane, comparer: Comparer, clock: Clock, log: Logger = SILENT) -> None:
        self._plane = plane
        self._comparer = comparer
        self._clock = clock
        self._log = log

    async def look(self, key: Key, app: Application, known: Known, context: Context) -> float | None:
        """Bring `known.held` up to date and take away a hold that has ended; seconds until it ends by itself.

        Raises ApiError and ClusterUnreachable when the Application cannot be written.
        """
        hold = parse_hold(app.annotations)
        if hold is None:
            known.held = None
            return None
        if known.held is None or known.held.hold != hold:
            known.held = Held(hold)
        now = self._clock.now()
        if hold.until is not None and hold.until <= now:
            await self.release(key, known, "its time is over")
        elif not hold.problem and known.trouble is None and known.compared.target is not None:
            await self._compare_with_git(key, known, context, hold, known.compared.target)
        if known.held is None or hold.until is None:
            return None
        return max(0.0, (hold.until - now).total_seconds())

    async def _compare_with_git(
        self, key: Key, known: Known, context: Context, hold: Hold, target: TargetState
    ) -> None:
        desired = fingerprint(target)
        if not hold.desired:
            # Whoever wrote the hold knew the revision at most, and Git may have moved on since.
            began = desired
            if hold.instead_of not in ("", target.revision):
                try:
                    found, _keys = await self._pinned(context, context.app.spec.all_sources, hold.instead_of)
                    began = fingerprint(found)
                except StageError as error:
                    self._log.warning(
                        "a hold began at a revision that cannot be read",
                        application=name_of(key),
                        problem=error.message,
                    )
            hold = replace(hold, desired=began)
            await self._write(key, format_hold(hold))
            known.held = Held(hold)
        if desired != hold.desired:
            await self.release(key, known, f"Git declares something new at {target.revision}")

    async def defend(self, app: Application, known: Known, context: Context, last: OperationState | None) -> Decision:
        """What self-heal does while the hold stands: put back what the rollback deployed."""
        held, automated = known.held, app.spec.policy.automated
        assert held is not None
        entry = next((e for e in reversed(app.status.history) if e.id == held.hold.history_id), None)
        if entry is None or automated is None or not automated.self_heal or not held.hold.revision:
            return Decision()
        sources = entry.sources or ((entry.source,) if entry.source is not None else ())
        try:
            if held.target is None:
                held.target, _keys = await self._pinned(context, sources, held.hold.revision)
            comparison = await compare_target(context, held.compared, held.target)
        except StageError as error:
            return Decision(problem=f"{error.reason}: {error.message}")
        result = last.sync_result if last is not None else None
        decision = decide(
            app.spec,
            comparison,
            last,
            revision=held.hold.revision,
            same_as_last=result is not None and held.hold.revision in (result.revision, *result.revisions),
            now=self._clock.now(),
        )
        if decision.operation is None or decision.operation.sync is None:
            return decision
        sync = replace(
            decision.operation.sync,
            source=entry.source if not entry.sources else None,
            sources=entry.sources,
            revisions=entry.revisions,
            sync_strategy=SyncStrategy(apply=SyncStrategyApply()),
        )
        return replace(decision, operation=replace(decision.operation, sync=sync))

    async def ended_by(self, key: Key, known: Known, revision: str) -> None:
        """A complete operation deployed this revision: that ends a hold at another one."""
        if known.held is not None and known.held.hold.revision != revision:
            await self.release(key, known, f"an operation deployed {revision}")

    async def release(self, key: Key, known: Known, why: str) -> None:
        """Take the hold away."""
        known.held = None
        await self._write(key, None)
        self._log.info("hold released", application=name_of(key), reason=why)

    async def _write(self, key: Key, text: str | None) -> None:
        await self._plane.patch_application(key, {"metadata": {"annotations": {HOLD: text}}})

    async def _pinned(
        self, context: Context, sources: Sequence[ApplicationSource], revision: str
    ) -> tuple[TargetState, tuple[str, ...]]:
        pinned = tuple(replace(source, target_revision=revision) for source in sources)
        return await self._comparer.target(context, pinned, previous=None, refresh=False)


def fingerprint(target: TargetState) -> str:
    """Equal for equal manifests, whatever revision, renderer or order they came from."""
    digest = hashlib.sha256()
    lines = [(str(tuple(key)), one.digest) for key, one in target.resources.items()]
    lines += [(f"hook {tuple(hook.key)}", hook.digest) for hook in target.hooks]
    for line in sorted(lines):
        digest.update("\0".join(line).encode())
    return digest.hexdigest()[:32]
