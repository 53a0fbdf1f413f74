"""Asks script workers: batches, and what becomes of a script that takes its worker down with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from tiphys.runtime.log import SILENT, Logger
from tiphys.runtime.workerpool import WorkerError
from tiphys.scripting.protocol import (
    KILL_AFTER_S,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    TOO_SLOW,
    HealthAnswer,
    HealthQuestion,
    PathsAnswer,
    PathsQuestion,
    encode_check,
    encode_health,
    encode_paths,
    health_answer,
    paths_answer,
)

_SLACK_S = 10.0
_KEPT_PROBLEMS = 1000

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Workers(Protocol):
    """A pool of script workers."""

    async def ask(
        self, request: bytes, *, timeout_s: float, wait_timeout_s: float = ...
    ) -> tuple[dict[str, Any], memoryview]:
        """One worker's reply to a request. Raises WorkerError."""


class ScriptsUnavailable(Exception):
    """No worker could be asked; the same question may be answered later."""


class Scripts:
    """Answers of scripts, by way of workers. All raise ScriptsUnavailable."""

    def __init__(self, workers: Workers, *, log: Logger = SILENT) -> None:
        self._workers = workers
        self._log = log
        self._problems: dict[str, str] = {}  # jq expression -> why it cannot be read

    async def health(self, questions: Sequence[HealthQuestion]) -> list[HealthAnswer]:
        """What Lua scripts say, in the order of the questions."""
        return await self._all(
            questions,
            encode_health,
            health_answer,
            lambda _question, problem: HealthAnswer(problem=problem),
            lambda question: len(question.object),
        )

    async def paths(self, questions: Sequence[PathsQuestion]) -> list[PathsAnswer]:
        """Which paths jq expressions name, in the order of the questions."""
        answers = await self._all(
            questions,
            encode_paths,
            paths_answer,
            lambda question, problem: PathsAnswer(((),) * len(question.expressions), (problem,)),
            lambda question: len(question.object),
        )
        for problem in dict.fromkeys(problem for answer in answers for problem in answer.problems):
            self._log.debug("a jq path expression was skipped", problem=problem)
        return answers

    async def problems(self, expressions: Sequence[str]) -> list[str]:
        """Why jq expressions cannot be read, empty for those that can, in their order."""
        unknown = [expression for expression in dict.fromkeys(expressions) if expression not in self._problems]
        if unknown:
            if len(self._problems) > _KEPT_PROBLEMS:
                self._problems.clear()
                unknown = list(dict.fromkeys(expressions))
            found = await self._all(unknown, encode_check, str, lambda _expression, problem: problem, len)
            self._problems.update(zip(unknown, found, strict=True))
        return [self._problems[expression] for expression in expressions]

    async def _all(
        self,
        questions: Sequence[Question],
        encode: Callable[[Sequence[Question]], bytes],
        read: Callable[[Any], Answer],
        failed: Callable[[Question, str], Answer],
        size: Callable[[Question], int],
    ) -> list[Answer]:
        answers: list[Answer] = []
        for batch in _batches(questions, size):
            rest = batch
            while rest:
                done, problem = await self._ask(rest, encode)
                answers += [read(result) for result in done]
                rest = rest[len(done) :]
                if problem:
                    answers.append(failed(rest[0], problem))
                    rest = rest[1:]
        return answers

    async def _ask(
        self, questions: Sequence[Question], encode: Callable[[Sequence[Question]], bytes]
    ) -> tuple[list[Any], str]:
        """Results of the first questions; why the next one has none, empty when there is no next one."""
        try:
            header, _bodies = await self._workers.ask(
                encode(questions), timeout_s=_SLACK_S + KILL_AFTER_S * len(questions)
            )
        except WorkerError as error:
            if error.file is None or error.again or error.file >= len(questions):
                raise ScriptsUnavailable(f"scripts cannot be run: {error.message}") from None
            problem = _reason(error.message)
            self._log.warning("a script was killed", problem=problem)
            if error.file == 0:
                return [], problem
            # What was answered before it went with the worker: it is asked again, without the one that killed it.
            done, earlier = await self._ask(questions[: error.file], encode)
            return done, earlier or problem
        results = header.get("results")
        if not isinstance(results, list) or len(results) != len(questions):
            raise ScriptsUnavailable("scripts cannot be run: a worker answered in a way that cannot be read")
        return results, ""


def _batches(questions: Sequence[Question], size: Callable[[Question], int]) -> Iterator[Sequence[Question]]:
    batch: list[Question] = []
    room = MAX_BATCH_BYTES
    for question in questions:
        if batch and (len(batch) == MAX_BATCH or size(question) > room):
            yield batch
            batch, room = [], MAX_BATCH_BYTES
        batch.append(question)
        room -= size(question)
    if batch:
        yield batch


def _reason(message: str) -> str:
    """Why the worker ended, in the words of a script's own error."""
    if "SIGALRM" in message or "limit of time" in message:
        return TOO_SLOW
    if "limit of memory" in message:
        return "not enough memory"
    return message
