"""How a simulated Pod is to behave: fault knobs, its image's name, and commands simple enough to be foreseen.

Annotations of a Pod (write them into the Pod template), all with the prefix `embedded.tiphys.dev/`:

| annotation | meaning |
|---|---|
| `never-ready: "true"` | the containers run and never become ready |
| `crash-loop: "true"` | the containers end with exit code 1 again and again: CrashLoopBackOff |
| `image-pull-failure: "true"` | no image can be pulled: ImagePullBackOff |
| `start-delay: "5"` | seconds between Pending and Running |
| `exit-code: "3"` | what the containers of a Pod that ends, such as a Job's, end with |
| `run-seconds: "10"` | how long the containers of a Pod that ends run |

An image whose name holds `does-not-exist`, `doesnotexist` or `broken` cannot be pulled. A command made of `echo`,
`sleep N`, `true`, `false` and `exit N` only (joined by `;`, `&&` or new lines) takes as long and ends as it says; any
other command ends at once and with success where the Pod is one that ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Obj, spec_of

PREFIX: Final = "embedded.tiphys.dev/"
_BAD_IMAGE: Final = re.compile(r"does-?not-?exist|broken", re.IGNORECASE)
_TRUE: Final = frozenset(("true", "1", "yes", "on", "t"))
_SHELLS: Final = frozenset(("sh", "bash", "ash", "dash"))
_JOINED: Final = re.compile(r";|&&|\n")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Knobs:
    """What the annotations of a Pod ask for. Times are in seconds."""

    never_ready: bool = False
    crash_loop: bool = False
    pull_failure: bool = False
    start_delay_s: float = 0.0
    exit_code: int | None = None
    run_s: float | None = None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """How long a command takes, and its exit code."""

    run_s: float = 0.0
    exit_code: int = 0


def knobs_of(pod: Obj) -> Knobs:
    """The knobs a Pod's annotations set; a value that cannot be read counts as not set."""
    found = {name[len(PREFIX) :]: value for name, value in meta.annotations(pod).items() if name.startswith(PREFIX)}
    if not found:
        return Knobs()
    code = _seconds(found.get("exit-code", ""))
    return Knobs(
        never_ready=_flag(found.get("never-ready")),
        crash_loop=_flag(found.get("crash-loop")),
        pull_failure=_flag(found.get("image-pull-failure")),
        start_delay_s=_seconds(found.get("start-delay", "")) or 0.0,
        exit_code=None if code is None else int(code),
        run_s=_seconds(found.get("run-seconds", "")),
    )


def is_bad_image(image: str) -> bool:
    """Whether the name of an image says that it cannot be pulled."""
    return not image or _BAD_IMAGE.search(image) is not None


def foresee(container: Obj) -> Foreseen:
    """What a container that runs to its end does."""
    argv = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
    if not argv:
        return Foreseen()
    program = argv[0].rpartition("/")[2]
    if program in _SHELLS and len(argv) >= 3 and argv[1].startswith("-") and argv[1].endswith("c"):
        return _script(argv[2])
    return _run([program, *argv[1:]]) or Foreseen()


def run_s(pod: Obj, knobs: Knobs) -> float:
    """Seconds the containers of a Pod that ends run: the longest of them."""
    if knobs.run_s is not None:
        return knobs.run_s
    return max((foresee(one).run_s for one in spec_of(pod).get("containers") or ()), default=0.0)


def exit_code(container: Obj, knobs: Knobs) -> int:
    """What a container of a Pod that ends will end with."""
    if knobs.exit_code is not None:
        return knobs.exit_code
    return 1 if knobs.crash_loop else foresee(container).exit_code


def _script(text: str) -> Foreseen:
    took = 0.0
    code = 0
    for piece in _JOINED.split(text):
        words = piece.split()
        if not words or words[0] == "set":
            continue
        step = None if any(sign in piece for sign in "|$`(){}<>&") and words[0] != "echo" else _run(words)
        if step is None:
            return Foreseen()
        took += step.run_s
        code = step.exit_code
        if words[0] == "exit" or (code and "&&" in text):
            break
    return Foreseen(took, code)


def _run(words: Sequence[str]) -> Foreseen | None:
    match words:
        case ["echo", *_] | ["printf", *_] | ["true"] | [":"]:
            return Foreseen()
        case ["false"]:
            return Foreseen(exit_code=1)
        case ["exit"]:
            return Foreseen()
        case ["exit", code] if code.isdigit():
            return Foreseen(exit_code=int(code) & 255)
        case ["sleep", text]:
            seconds = _seconds(text)
            return None if seconds is None else Foreseen(run_s=seconds)
    return None


def _flag(text: str | None) -> bool:
    return text is not None and text.strip().lower() in _TRUE


def _seconds(text: str) -> float | None:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text.strip())
    return None if match is None else float(match[1]) * _UNITS.get(match[2], 1.0)
