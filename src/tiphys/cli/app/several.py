"""Several Applications at a time: which ones a command means, and a wait for each of them in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

import click

from tiphys.cli.app.naming import qualified_name, split_name
from tiphys.cli.app.progress import Board
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.session import opened_again
from tiphys.client.api import Api

Target = tuple[str, str]  # name and namespace
MOST = 64  # waits at a time; the rest follow


def targets(
    api: Api,
    names: Sequence[str],
    namespace: str | None,
    *,
    selector: str = "",
    projects: Sequence[str] = (),
) -> list[Target]:
    """The Applications named, and those selected; each once. Raises CommandFailed when a selection finds none."""
    found = [split_name(name, namespace) for name in names]
    if selector or projects:
        apps = api.list_applications(selector=selector, projects=projects, namespace=namespace or "")
        if not apps:
            said = f" selector {selector}" if selector else ""
            said += f" projects [{' '.join(projects)}]" if projects else ""
            raise not_as_asked(f"No matching apps found for filter:{said}")
        found += [split_name(qualified_name(app)) for app in apps]
    return list(dict.fromkeys(found))


def wait_all(
    api: Api, board: Board, wanted: Sequence[Target], wait: Callable[[Api, str, str], None], *, operations: bool = True
) -> None:
    """Wait for all of them. Raises the failure of the first that failed, after all have ended.

    `operations` says whether something goes on at the server when the wait is interrupted.
    """
    try:
        failures = [_one(api, wanted[0], wait)] if len(wanted) == 1 else _in_threads(api, wanted, wait)
    except KeyboardInterrupt:
        board.close()
        if operations:
            names = " ".join(name for name, _ in wanted)
            rest = f" To end it: app terminate-op {names}" if len(wanted) == 1 else ""
            click.echo(f"\nNo longer waiting; the operation goes on.{rest}", err=True)
        raise
    finally:
        board.close()
    failed = [error for error in failures if error is not None]
    if not failed:
        return
    for error in failed[1:]:
        click.echo(str(error), err=True)
    raise failed[0]


def _one(api: Api, target: Target, wait: Callable[[Api, str, str], None]) -> Exception | None:
    try:
        wait(api, *target)
    except Exception as error:
        return error
    return None


def _in_threads(api: Api, wanted: Sequence[Target], wait: Callable[[Api, str, str], None]) -> list[Exception | None]:
    """The failure of each, None where there was none. A connection is not for several threads: each has its own."""
    waiting: queue.SimpleQueue[tuple[int, Target]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, Exception | None]] = queue.SimpleQueue()
    for item in enumerate(wanted):
        waiting.put(item)

    def work() -> None:
        own = opened_again(api)
        try:
            while True:
                try:
                    index, target = waiting.get_nowait()
                except queue.Empty:
                    return
                ended.put((index, _one(own, target, wait)))
        finally:
            own.close()

    for _ in range(min(MOST, len(wanted))):
        threading.Thread(target=work, name="wait", daemon=True).start()
    failures: list[Exception | None] = [CommandFailed("not waited for")] * len(wanted)
    for _ in wanted:
        index, failure = ended.get()
        failures[index] = failure
    return failures
