"""Workers: confined, killed as a group, replaced and let go. Asserted on the processes the system shows."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.clock import VirtualClock
from tests.unit.engine.render.conftest import Serve

from tiphys.engine.render.protocol import WORKER_ARGV
from tiphys.runtime.messages import encode
from tiphys.runtime.workerpool import PoolLimits, WorkerError, WorkerPool

CONFIG_MAP = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def request(*files: bytes, cpu_s: int = 10) -> bytes:
    header = {"files": [("yaml", len(data)) for data in files], "max_objects": 100, "cpu_s": cpu_s}
    return encode(header, files)


def stub(code: str) -> tuple[str, ...]:
    """A worker that says hello and then does this; `read()` and `write(header)` are its pipe."""
    prelude = (
        "import os, sys, time\n"
        "from tiphys.runtime.frames import read_frame, write_frame\n"
        "from tiphys.runtime.messages import encode\n"
        "def read(): return read_frame(0)\n"
        "def write(**header): write_frame(1, encode(header))\n"
        "def at(number): open('progress', 'w').write('%08d' % number)\n"
        "write(hello=1, network='none', files='none')\n"
    )
    return (sys.executable, "-I", "-c", prelude + code)


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


async def until(check: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < end, f"still not so: {what}"
        await asyncio.sleep(0.005)


async def names(pool: WorkerPool, *files: bytes) -> list[str]:
    header, _ = await pool.ask(request(*files), timeout_s=10)
    return [row[4] for _, _, objects in header["files"] for row in objects]


async def test_a_worker_answers_again_and_again(serve: Serve) -> None:
    async with serve() as pool:
        for _ in range(3):
            assert await names(pool, CONFIG_MAP, CONFIG_MAP.replace(b"a}", b"b}")) == ["a", "b"]
        assert len(pool.worker_pids) == 1


async def test_no_process_and_no_folder_is_left_when_the_pool_ends(serve: Serve, tmp_path: Path) -> None:
    async with serve(size=2) as pool:
        await asyncio.gather(*(names(pool, CONFIG_MAP) for _ in range(6)))
        pids = pool.worker_pids
        assert pids
    assert not [pid for pid in pids if is_running(pid)]
    assert not (tmp_path / "workers").exists()


async def test_a_request_after_the_end_is_refused(serve: Serve) -> None:
    async with serve() as pool:
        pass
    with pytest.raises(WorkerError, match="rendering has been stopped"):
        await pool.ask(request(CONFIG_MAP), timeout_s=1)


async def test_never_more_workers_than_allowed(serve: Serve) -> None:
    async with serve(size=2) as pool:
        most = 0
        tasks = [asyncio.ensure_future(names(pool, CONFIG_MAP)) for _ in range(30)]
        while not all(task.done() for task in tasks):
            most = max(most, len(pool.worker_pids))
            await asyncio.sleep(0)
        assert [task.result() for task in tasks] == [["a"]] * 30
        assert most <= 2


async def test_a_hanging_worker_is_killed_with_its_children_and_the_file_is_named(serve: Serve, tmp_path: Path) -> None:
    marker = tmp_path / "child"
    code = (
        "import subprocess\n"
        "read(); at(1)\n"
        f"child = subprocess.Popen(['sleep', '600'], env={{'PATH': {os.environ['PATH']!r}}})\n"
        f"open({str(marker)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    async with serve(argv=stub(code)) as pool:
        await until(lambda: bool(pool.worker_pids), "a worker runs")
        (pid,) = pool.worker_pids
        asking = asyncio.ensure_future(pool.ask(request(CONFIG_MAP, CONFIG_MAP), timeout_s=1.0))
        await until(lambda: marker.exists() and bool(marker.read_text()), "the worker has a child")
        child = int(marker.read_text())
        with pytest.raises(WorkerError, match=r"killed after 1 s \(limit of time\)") as caught:
            await asking
        assert caught.value.file == 1
        await until(lambda: not is_running(pid) and not is_running(child), "worker and child are gone")


async def test_cancelling_a_request_kills_its_worker_and_the_next_gets_another(serve: Serve) -> None:
    async with serve(argv=stub("read(); at(0); time.sleep(600)")) as pool:
        await until(lambda: bool(pool.worker_pids), "a worker runs")
        (pid,) = pool.worker_pids
        asking = asyncio.ensure_future(pool.ask(request(CONFIG_MAP), timeout_s=60))
        await until(lambda: bool(pool._state.busy), "the worker is at work")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: not is_running(pid), "the worker is gone")
        await until(lambda: bool(pool.worker_pids) and pool.worker_pids[0] != pid, "there is a new one")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("read(); at(0); os.abort()", "ended with signal SIGABRT (probably the limit of memory)"),
        ("read(); at(0); sys.exit(3)", "ended with exit code 3"),
        ("read(); at(0); os.write(1, b'\\xff\\xff\\xff\\xff')", "more than 134217728 bytes (limit of rendered output)"),
        ("read(); at(0); write_frame(1, b'junk')", "answered in a way that cannot be read"),
        (
            "import resource; read(); at(0); resource.setrlimit(resource.RLIMIT_CPU, (1, 100))\nwhile True: pass",
            "ended with signal SIGXCPU (limit of processor time)",
        ),
    ],
    ids=["abort", "exit", "output", "junk", "cpu"],
)
async def test_a_worker_that_fails_says_how(serve: Serve, code: str, says: str) -> None:
    async with serve(argv=stub(code)) as pool:
        with pytest.raises(WorkerError) as caught:
            await pool.ask(request(CONFIG_MAP), timeout_s=20)
        assert says in caught.value.message
        assert caught.value.file == 0
        assert not caught.value.again


async def test_memory_has_a_limit_and_the_worker_lives_on(serve: Serve) -> None:
    items = b"apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: [" + b"1," * 500_000 + b"1]\n"
    async with serve(limits=PoolLimits(memory_bytes=96 * 1024**2, max_rss_bytes=2**60)) as pool:
        header, _ = await pool.ask(request(items, CONFIG_MAP, cpu_s=60), timeout_s=60)
        (problem, _, _), (_, _, objects) = header["files"]
        assert problem == "it needs more than 96 MiB (limit of memory for rendering)"
        assert objects[0][4] == "a"


async def test_a_program_that_does_not_start_is_told_and_not_tried_in_a_circle(serve: Serve, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write('x'); import sys; sys.exit('no such luck')"
    async with serve(argv=(sys.executable, "-I", "-c", code)) as pool:
        with pytest.raises(WorkerError, match=r"could not be started: .*no such luck") as caught:
            await pool.ask(request(CONFIG_MAP), timeout_s=5)
        assert caught.value.again
        tried = len(starts.read_text())
        await asyncio.sleep(0.1)
        assert len(starts.read_text()) == tried


async def test_a_worn_worker_is_replaced_before_it_goes(serve: Serve) -> None:
    async with serve(limits=PoolLimits(max_renders=2)) as pool:
        assert await names(pool, CONFIG_MAP) == ["a"]
        (first,) = pool.worker_pids
        assert await names(pool, CONFIG_MAP) == ["a"]
        assert first in pool.worker_pids  # it stands by until the next one is ready
        await until(lambda: pool.worker_pids != () and first not in pool.worker_pids, "it was replaced")
        await until(lambda: not is_running(first), "it is gone")
        assert await names(pool, CONFIG_MAP) == ["a"]


async def test_idle_workers_are_let_go_and_come_back_when_needed(serve: Serve) -> None:
    clock = VirtualClock()
    async with serve(clock=clock, limits=PoolLimits(idle_s=300)) as pool:
        assert await names(pool, CONFIG_MAP) == ["a"]
        (pid,) = pool.worker_pids
        await clock.advance(299)
        assert pool.worker_pids == (pid,)
        await clock.advance(302)
        await until(lambda: not is_running(pid), "it was let go")
        await until(lambda: pool.worker_pids == (), "none is left")
        assert await names(pool, CONFIG_MAP) == ["a"]


async def test_waiting_for_a_worker_has_an_end(serve: Serve) -> None:
    async with serve(argv=stub("read(); time.sleep(600)")) as pool:
        first = asyncio.ensure_future(pool.ask(request(CONFIG_MAP), timeout_s=60))
        await until(lambda: bool(pool._state.busy), "the worker is at work")
        with pytest.raises(WorkerError, match=r"no rendering process was free for 0.05 s: 1 of 1 at work"):
            await pool.ask(request(CONFIG_MAP), timeout_s=60, wait_timeout_s=0.05)
        first.cancel()


SPY = """
import json, os, socket
from tiphys.runtime.confine import confine
told = confine()
def attempt(what):
    try:
        return repr(what())
    except OSError as error:
        return type(error).__name__
def connect():
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect(('127.0.0.1', PORT))
seen = {
    'env': dict(os.environ), 'cwd': os.getcwd(), 'told': told,
    'parent_env': attempt(lambda: open('/proc/%d/environ' % os.getppid(), 'rb').read()),
    'passwd': attempt(lambda: open('/etc/passwd').read()),
    'connect': attempt(connect),
    'descriptors': sorted(int(n) for n in range(3, 64) if attempt(lambda: os.fstat(n)) != 'OSError'),
}
read()
write(files=[], seen=seen)
read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can confine a process")
async def test_a_worker_sees_neither_the_engines_environment_nor_network_nor_files(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_TOKEN", "s3cret-word")
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, serve(argv=stub(SPY.replace("PORT", str(port))), env={"GIVEN": "1"}) as pool:
        header, _ = await pool.ask(request(), timeout_s=10)
    seen = header["seen"]
    assert set(seen["env"]) <= {"HOME", "TMPDIR", "LC_ALL", "LC_CTYPE", "GIVEN"}
    assert seen["env"]["GIVEN"] == "1"
    assert seen["env"]["HOME"] == seen["cwd"]
    assert seen["descriptors"] == []
    told = seen["told"]
    if told["network"] == "none":
        assert "Error" in seen["connect"] or seen["connect"] == "TimeoutError"
    if told["files"] == "none":
        assert seen["passwd"] == "PermissionError"
    if "none" in told.values():
        assert seen["parent_env"] == "PermissionError"
    print(f"confinement here: {told}")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker ends when it reads its stdin again")
@pytest.mark.parametrize("at_work", [False, True], ids=["waiting", "at work"])
async def test_workers_die_with_an_engine_that_is_killed(tmp_path: Path, at_work: bool) -> None:
    busy = "from tiphys.runtime.confine import confine\nconfine()\nwrite(hello=1)\nwhile True: pass\n"
    argv = (*WORKER_ARGV[:2], "-c", stub(busy)[3].replace("write(hello=1, network=", "told = dict(network="))
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tiphys.runtime.workerpool import WorkerPool\n"
        "from tiphys.runtime.clock import SystemClock\n"
        "from tiphys.runtime.supervisor import Lifetime\n"
        "async def main():\n"
        f"    options = dict(root=Path({str(tmp_path / 'w')!r}), argv={(argv if at_work else WORKER_ARGV)!r})\n"
        "    pool = WorkerPool(clock=SystemClock(), size=1, **options)\n"
        "    async with asyncio.TaskGroup() as tasks:\n"
        "        tasks.create_task(pool.serve(Lifetime()))\n"
        "        while not pool.worker_pids:\n"
        "            await asyncio.sleep(0.005)\n"
        "        print(pool.worker_pids[0], flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    engine = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", code, stdout=asyncio.subprocess.PIPE)
    assert engine.stdout is not None
    async with asyncio.timeout(20):
        worker = int(await engine.stdout.readline())
    assert is_running(worker)
    engine.kill()
    await engine.wait()
    await until(lambda: not is_running(worker), "the worker is gone")
