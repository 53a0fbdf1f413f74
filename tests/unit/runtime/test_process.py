"""Rules of running programs. Children are real: what is asserted is what the operating system shows."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tiphys.runtime.process import (
    Child,
    ChildEndedError,
    Limits,
    OutputLimitError,
    ProcessError,
    ProcessTimeoutError,
    ProgramNotFoundError,
    describe_exit,
    run_program,
)

ENV = {"PATH": os.environ["PATH"]}
PYTHON = sys.executable


async def until(check: Callable[[], bool], what: str, timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, f"still not so: {what}"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """True for a process that is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    return status.rpartition(")")[2].split()[0] not in "ZX"


async def test_output_exit_code_and_stdin_are_carried() -> None:
    done = await run_program(["sh", "-c", "cat; echo oops >&2; exit 3"], env=ENV, stdin=b"hello", timeout_s=5)
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"hello", b"oops\n")
    assert not done.stdout_truncated


async def test_the_environment_is_only_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDEN_TOKEN", "x")
    for limits in (None, Limits(open_files=64)):
        done = await run_program(["env"], env={**ENV, "A": "1"}, limits=limits, timeout_s=5)
        names = {line.split("=")[0] for line in done.stdout.decode().splitlines()}
        assert names == {"PATH", "A"}


async def test_large_input_and_output_do_not_block_each_other(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    done = await run_program(["cat"], env=ENV, stdin=data, cwd=tmp_path, timeout_s=10)
    assert done.stdout == data


async def test_a_program_that_does_not_read_its_input_is_no_error() -> None:
    done = await run_program(["true"], env=ENV, stdin=b"x" * 1_000_000, timeout_s=5)
    assert done.exit_code == 0


async def test_output_over_the_limit_is_cut_and_flagged() -> None:
    done = await run_program(["sh", "-c", "head -c 100000 /dev/zero"], env=ENV, output_limit_bytes=1000, timeout_s=5)
    assert (len(done.stdout), done.stdout_truncated, done.exit_code) == (1000, True, 0)


async def test_a_missing_program_is_told_apart_from_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ProgramNotFoundError, match="no-such-program"):
        await run_program(["no-such-program"], env=ENV, timeout_s=5)
    with pytest.raises(ProcessError, match="working folder"):
        await run_program(["true"], env=ENV, cwd=tmp_path / "absent", timeout_s=5)


async def test_a_timeout_kills_the_whole_group() -> None:
    with pytest.raises(ProcessTimeoutError, match=r"killed after 0\.3 s") as caught:
        await run_program(["sh", "-c", "sleep 60 & echo $! >&2; sleep 60 & echo $! >&2; wait"], env=ENV, timeout_s=0.3)
    pids = [int(word) for word in caught.value.stderr.split()]
    assert len(pids) == 2
    for pid in pids:
        await until(lambda pid=pid: not is_running(pid), f"{pid} is dead")  # type: ignore[misc]


async def test_cancelling_kills_the_group(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    task = asyncio.get_running_loop().create_task(
        run_program(["sh", "-c", f"sleep 60 & echo $! > {marker}; wait"], env=ENV, timeout_s=60)
    )
    await until(lambda: marker.exists() and marker.read_text().endswith("\n"), "child is up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pid = int(marker.read_text())
    await until(lambda: not is_running(pid), "the grandchild is dead")


async def test_cancelling_at_any_moment_of_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    marker = str(tmp_path)
    for turns in range(8):
        task = asyncio.get_running_loop().create_task(
            run_program(["sh", "-c", "sleep 60 # $0", marker], env=ENV, timeout_s=60)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout.decode()
    assert marker not in shown


async def test_a_missing_program_is_told_even_with_limits() -> None:
    with pytest.raises(ProgramNotFoundError, match="no-such-program"):
        await run_program(["no-such-program"], env=ENV, limits=Limits(cpu_s=1), timeout_s=5)


async def test_a_grandchild_holding_the_pipe_neither_delays_nor_survives() -> None:
    before = time.monotonic()
    done = await run_program(["sh", "-c", "sleep 60 & echo $!"], env=ENV, timeout_s=30)
    assert time.monotonic() - before < 2
    pid = int(done.stdout)
    await until(lambda: not is_running(pid), "the grandchild is dead")


async def test_death_by_signal_is_a_negative_code() -> None:
    done = await run_program(["sh", "-c", "kill -TERM $$"], env=ENV, timeout_s=5)
    assert done.exit_code == -signal.SIGTERM
    assert describe_exit(done.exit_code) == "signal SIGTERM"
    assert describe_exit(2) == "exit code 2"


async def test_limits_hold_in_the_child() -> None:
    done = await run_program(
        ["sh", "-c", "ulimit -n; ulimit -t"], env=ENV, limits=Limits(open_files=64, cpu_s=7), timeout_s=5
    )
    assert done.stdout.split() == [b"64", b"7"]


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux only")
def test_children_die_when_their_parent_is_killed(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    program = f"""
import asyncio
from tiphys.runtime.process import Child
async def main():
    child = await Child.spawn(["sleep", "60"], env={{"PATH": {ENV["PATH"]!r}}})
    open({str(marker)!r}, "w").write(f"{{child.pid}}\\n")
    await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = subprocess.Popen([PYTHON, "-c", program])
    try:
        end = time.monotonic() + 10
        while not (marker.exists() and marker.read_text().endswith("\n")):
            assert time.monotonic() < end, "the child did not start"
            time.sleep(0.01)
    finally:
        parent.kill()
        parent.wait()
    pid = int(marker.read_text())
    end = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < end, "the child outlived its parent"
        time.sleep(0.01)


ECHO = """
from tiphys.runtime.frames import read_frame, write_frame
import os, sys, time
while (message := read_frame(0)) is not None:
    if message == b"die":
        print("last words", file=sys.stderr, flush=True)
        os._exit(9)
    if message == b"hang":
        time.sleep(60)
    if message == b"big":
        message = b"x" * 100_000
    write_frame(1, message)
"""


async def spawn_echo() -> Child:
    import tiphys

    return await Child.spawn(
        [PYTHON, "-c", ECHO], env={**ENV, "PYTHONPATH": str(Path(tiphys.__file__).parents[1])}, die_with_parent=True
    )


async def test_a_child_answers_messages_of_any_size() -> None:
    child = await spawn_echo()
    for message in (b"", b"a", b"b" * 65532, b"c" * 65537, os.urandom(2_000_000)):
        await child.send(message, timeout_s=5)
        assert await child.receive(timeout_s=5) == message
    assert await child.close(timeout_s=5) == 0
    assert not child.alive


async def test_a_child_that_is_late_is_killed() -> None:
    child = await spawn_echo()
    await child.send(b"hang", timeout_s=5)
    with pytest.raises(ProcessTimeoutError):
        await child.receive(timeout_s=0.2)
    assert not child.alive
    with pytest.raises(ChildEndedError):
        await child.send(b"again", timeout_s=1)


async def test_a_child_that_says_too_much_is_killed() -> None:
    child = await spawn_echo()
    await child.send(b"big", timeout_s=5)
    with pytest.raises(OutputLimitError, match="100000 bytes"):
        await child.receive(timeout_s=5, limit_bytes=1000)
    assert not child.alive


async def test_a_child_that_dies_is_told_with_its_last_words() -> None:
    child = await spawn_echo()
    await child.send(b"die", timeout_s=5)
    with pytest.raises(ChildEndedError, match="exit code 9") as caught:
        await child.receive(timeout_s=5)
    assert caught.value.stderr == b"last words\n"


def test_the_rules_hold_on_uvloop(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed on this platform")

    async def main() -> None:
        await test_output_exit_code_and_stdin_are_carried()
        await test_a_timeout_kills_the_whole_group()
        await test_a_grandchild_holding_the_pipe_neither_delays_nor_survives()
        await test_limits_hold_in_the_child()
        await test_large_input_and_output_do_not_block_each_other(tmp_path)
        await test_cancelling_at_any_moment_of_the_start_leaves_nothing_behind(tmp_path)
        await test_a_program_that_does_not_read_its_input_is_no_error()
        await test_a_child_answers_messages_of_any_size()
        await test_a_child_that_dies_is_told_with_its_last_words()
        await test_a_child_that_is_late_is_killed()

    uvloop.run(main())
