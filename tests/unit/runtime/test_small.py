"""Rules of clock, ids, back-off, files, redaction, secrets, log, metrics."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.clock import VirtualClock

from tiphys.runtime.backoff import Backoff, constant
from tiphys.runtime.clock import format_micro_time, format_time, parse_time
from tiphys.runtime.files import (
    FileLock,
    LockHeldError,
    PathEscapeError,
    make_private_folder,
    normalize_relative,
    read_lock_holder,
    resolve_inside,
    scratch_folder,
    write_atomic,
)
from tiphys.runtime.ids import SUFFIX_ALPHABET, SystemIds
from tiphys.runtime.log import SILENT, Level, Logger, LogSink, parse_level, request_id
from tiphys.runtime.metrics import Registry
from tiphys.runtime.redact import redact_text, redact_url
from tiphys.runtime.secret import Secret


def test_times_are_written_and_read_as_kubernetes_does() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert format_time(moment) == "2026-01-02T03:04:05Z"
    assert format_micro_time(moment) == "2026-01-02T03:04:05.000006Z"
    assert parse_time("2026-01-02T03:04:05.000006Z") == moment
    assert parse_time("2026-01-02T03:04:05.000006789Z") == moment
    assert parse_time("2026-01-02T05:04:05.5+02:00") == moment.replace(microsecond=500000)
    with pytest.raises(ValueError, match="no zone"):
        parse_time("2026-01-02T03:04:05")


def test_suffixes_use_the_alphabet_of_generated_names() -> None:
    text = SystemIds().suffix(200)
    assert len(text) == 200
    assert set(text) <= set(SUFFIX_ALPHABET)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", SystemIds().uuid())


def test_backoff_grows_to_its_limit_and_spreads() -> None:
    backoff = Backoff(initial_s=1, factor=2, max_s=10, jitter=0.2)
    assert [backoff.delay_s(n) for n in range(7)] == [0, 1, 2, 4, 8, 10, 10]
    assert [backoff.delay_s(1, 0.0), backoff.delay_s(1, 1.0)] == pytest.approx([0.8, 1.2])
    assert backoff.delay_s(10_000) == 10
    assert [constant(5).delay_s(n) for n in (1, 2, 9)] == [5, 5, 5]


@pytest.mark.parametrize(
    ("path", "normal"), [("", ""), (".", ""), ("a/./b//c", "a/b/c"), ("a/../b", "b"), ("./.config/app", ".config/app")]
)
def test_relative_paths_are_normalized(path: str, normal: str) -> None:
    assert normalize_relative(path) == normal


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "a/../../b", "../a", "a\0b"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(PathEscapeError):
        resolve_inside(tmp_path, path)


def test_links_that_leave_the_root_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "root-other").mkdir()
    (root / "in").symlink_to("sub")
    (root / "out").symlink_to("../root-other")
    (root / "far").symlink_to("/etc")
    assert resolve_inside(root, "in/new.txt") == (root / "sub" / "new.txt").resolve()
    for path in ("out", "far/passwd", "in/../out/x"):
        with pytest.raises(PathEscapeError):
            resolve_inside(root, path)


def test_an_atomic_write_replaces_whole_and_sets_the_mode(tmp_path: Path) -> None:
    target = tmp_path / "key"
    target.write_text("old")
    target.chmod(0o644)
    write_atomic(target, b"new", sync=True)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_private_folders_are_narrowed(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    assert stat.S_IMODE(make_private_folder(folder).stat().st_mode) == 0o700


def test_a_scratch_folder_is_gone_afterwards_even_if_read_only(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("x")
        (folder / "sub").chmod(0o500)
    assert not folder.exists()


def test_a_lock_tells_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    first, second = FileLock(path), FileLock(path)
    assert read_lock_holder(path) is None
    first.acquire("pid 12")
    assert read_lock_holder(path) == "pid 12"
    with pytest.raises(LockHeldError, match="held by pid 12") as caught:
        second.acquire("pid 13")
    assert caught.value.holder == "pid 12"
    first.describe("pid 12, port 8080")
    assert read_lock_holder(path) == "pid 12, port 8080"
    first.release()
    assert read_lock_holder(path) is None
    second.acquire("pid 13")
    second.release()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    program = (
        "import time; from tiphys.runtime.files import FileLock; "
        f"lock = FileLock({str(path)!r}); lock.acquire('child'); print('up', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"up\n"
        assert read_lock_holder(path) == "child"
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert read_lock_holder(path) is None
    assert path.read_text() == "child"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host/a.git", "https://******@host/a.git"),
        ("https://token@host/a.git", "https://******@host/a.git"),
        ("ssh://git@host/a.git", "ssh://git@host/a.git"),
        ("git@host:a.git", "git@host:a.git"),
        ("https://host/a?x=1&access_token=abc#f", "https://host/a?x=1&access_token=******#f"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_urls_lose_their_credentials(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing here", "nothing here"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ******"),
        ('{"authorization":"Basic dXNlcjpwYXNz"}', '{"authorization":"Basic ******"}'),
        ("got bearer 0123456789abcdef from x", "got bearer ****** from x"),
        ("basic rules", "basic rules"),
        ("clone of 'https://u:p@h/x' failed", "clone of 'https://******@h/x' failed"),
        ("t eyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln end", "t ****** end"),
        ("ghp_0123456789abcdefghij", "******"),
        ("Private-Token: glpat", "Private-Token: ******"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nok",
            "-----BEGIN RSA PRIVATE KEY-----******\nok",
        ),
        ("apps/Deployment/default/web is Progressing", "apps/Deployment/default/web is Progressing"),
    ],
)
def test_texts_lose_their_credentials(text: str, shown: str) -> None:
    assert redact_text(text) == shown


def test_named_secrets_are_starred_wherever_they_stand() -> None:
    assert redact_text("pw is hunter22, yes", ["hunter22", "is"]) == "pw is ******, yes"


def test_a_secret_shows_stars_however_it_is_printed() -> None:
    secret = Secret("hunter2")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>10}", f"{[secret]}", "%s" % secret]  # noqa: UP031
    assert all("hunter2" not in text and "***" in text for text in shown)
    assert secret.reveal() == "hunter2"
    assert (secret == Secret("hunter2"), secret == "hunter2", bool(Secret(""))) == (True, False, False)
    assert copy.deepcopy({"a": secret})["a"] is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_are_json_off_a_terminal() -> None:
    stream = io.StringIO()
    log = Logger(LogSink(stream, clock=VirtualClock())).bind(app="web")
    token = request_id.set("r1")
    log.info("synced", url="https://u:p@h/", secret=Secret("x"), count=2, inner={"a": ["Bearer 0123456789"]})
    request_id.reset(token)
    log.debug("not written")
    assert json.loads(stream.getvalue()) == {
        "time": "2026-01-01T00:00:00.000Z",
        "level": "info",
        "msg": "synced",
        "app": "web",
        "url": "https://******@h/",
        "secret": "******",
        "count": 2,
        "inner": {"a": ["Bearer ******"]},
        "request": "r1",
    }


def test_lines_are_text_on_a_terminal() -> None:
    stream = Terminal()
    log = Logger(LogSink(stream, clock=VirtualClock(), level=Level.DEBUG))
    log.warning("not reachable", server="https://h", why="timed out", none=None)
    assert stream.getvalue() == '00:00:00.000 WARNI not reachable server=https://h why="timed out" none=None\n'


def test_an_exception_shows_its_stack_but_no_variables() -> None:
    stream = io.StringIO()
    password = "hunter2"  # noqa: F841
    try:
        raise RuntimeError("bad https://u:hunter2@h")
    except RuntimeError as error:
        Logger(LogSink(stream)).exception("failed", error)
    row = json.loads(stream.getvalue())
    assert row["error"] == "RuntimeError: bad https://******@h"
    assert "test_small.py" in row["stack"]
    assert "u:hunter2" not in stream.getvalue()


def test_a_closed_stream_is_no_failure() -> None:
    stream = io.StringIO()
    log = Logger(LogSink(stream))
    stream.close()
    log.info("to nobody")
    SILENT.error("to nobody")


def test_levels_are_read_as_users_write_them() -> None:
    assert [parse_level(text) for text in ("info", "WARN", "Warning", "error", "debug")] == [20, 30, 30, 40, 10]
    with pytest.raises(ValueError, match="loud"):
        parse_level("loud")


def test_metrics_are_shown_in_the_text_format() -> None:
    registry = Registry()
    syncs = registry.counter("argocd_app_sync_total", "Number of syncs.", ("name", "phase"))
    syncs.inc('we"b', "Succeeded")
    syncs.inc('we"b', "Succeeded", by=2)
    lag = registry.histogram("lag_seconds", "Lag.", buckets=(0.1, 1))
    for value in (0.05, 0.1, 0.5, 3):
        lag.observe(value)
    registry.gauge("apps", "Applications.", ("state",), read=lambda: [(("ok",), 2.0)])
    plain = registry.counter("hits", "Hits.")
    assert plain.value() == 0
    assert registry.render() == (
        "# HELP argocd_app_sync_total Number of syncs.\n"
        "# TYPE argocd_app_sync_total counter\n"
        'argocd_app_sync_total{name="we\\"b",phase="Succeeded"} 3\n'
        "# HELP lag_seconds Lag.\n"
        "# TYPE lag_seconds histogram\n"
        'lag_seconds_bucket{le="0.1"} 2\n'
        'lag_seconds_bucket{le="1"} 3\n'
        'lag_seconds_bucket{le="+Inf"} 4\n'
        "lag_seconds_sum 3.65\n"
        "lag_seconds_count 4\n"
        "# HELP apps Applications.\n"
        "# TYPE apps gauge\n"
        'apps{state="ok"} 2\n'
        "# HELP hits Hits.\n"
        "# TYPE hits counter\n"
        "hits 0\n"
    )


def test_a_metric_takes_exactly_its_labels_and_its_name_once() -> None:
    registry = Registry()
    counter = registry.counter("a", "A.", ("x",))
    with pytest.raises(ValueError, match="labels"):
        counter.inc()
    with pytest.raises(ValueError, match="named a"):
        registry.gauge("a", "A.")
