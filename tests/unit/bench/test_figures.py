"""What becomes of figures: medians and ranges, files, tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench import results, tables
from bench.__main__ import parser, selection
from bench.benches import BENCHES
from bench.meter import Spent, by_request, writes
from bench.results import Result
from bench.run import spread, summarize


def result(bench: str = "B1", engine: str = "tiphys", n: int = 300, **figures: Any) -> Result:
    return Result(
        bench=bench,
        engine=engine,
        n=n,
        flavour="plain",
        cluster="real",
        git="http",
        fsync=True,
        repetitions=1,
        machine={"cpus": 2, "cpu": "c", "python": "3.11", "speed": {"best_us": 1, "median_us": 2}},
        figures=figures,
    )


def test_a_spread_is_in_milliseconds() -> None:
    assert spread([0.002, 0.001, 0.004]) == {"median": 2.0, "min": 1.0, "max": 4.0, "count": 3}


def test_the_99th_percentile_needs_twenty() -> None:
    assert "p99" not in spread([0.001] * 19)
    assert spread([0.001] * 199 + [0.5])["p99"] == 1.0


def test_blocks_become_medians_with_ranges() -> None:
    blocks = [{"a": n, "b": {"c": n * 2}, "d": "x"} for n in (3, 1, 2)]

    assert summarize(blocks) == {
        "a": {"median": 2, "min": 1, "max": 3},
        "b": {"c": {"median": 4, "min": 2, "max": 6}},
        "d": "x",
    }


def test_one_block_is_as_it_is() -> None:
    assert summarize([{"a": 1, "b": {"c": 2}}]) == {"a": 1, "b": {"c": 2}}


def test_stretches_add_up() -> None:
    one = Spent(1.0, 2.0, {"engine": 2.0}, 1.5, 3.0, 0.5, 0.1, 1024, {("patch", "pods"): 1})

    found = one.plus(one)

    assert (found.seconds, found.engine_cpu_s, found.requests) == (2.0, 4.0, {("patch", "pods"): 2})
    assert found.per(2, "commit") == {
        "engine_cpu_ms_per_commit": 2000.0,
        "engine_children_cpu_ms_per_commit": 500.0,
        "cluster_cpu_ms_per_commit": 3000.0,
        "git_server_cpu_ms_per_commit": 500.0,
        "requests_per_commit": 1.0,
        "requests_per_commit_by_kind": {"patch pods": 1.0},
        "etcd_wal_kib_per_commit": 1.0,
    }


def test_an_engine_of_several_processes_is_shown_by_process() -> None:
    found = Spent(engine_cpu_s=3.0, engine={"controller": 2.0, "redis": 1.0}, main_cpu_s=3.0).per(1, "app")

    assert found["engine_cpu_ms_per_app_by_process"] == {"controller": 2000.0, "redis": 1000.0}


def test_a_lease_is_no_write_that_counts() -> None:
    counts = {("update", "leases.coordination.k8s.io"): 9, ("patch", "pods"): 2, ("get", "pods"): 5}

    assert writes(counts) == {"patch pods": 2}
    assert next(iter(by_request(counts))) == "update leases.coordination.k8s.io"


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    wanted = result(wall_s=1.5)
    (tmp_path / wanted.name).write_text(results.show(wanted.payload()))

    assert results.load_all(tmp_path) == [wanted]
    assert wanted.name == "B1-tiphys-300-plain.json"


def test_results_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        results.read({**result().payload(), "version": 0})


def test_every_benchmark_has_its_case_title_and_rows() -> None:
    assert set(BENCHES) == set(results.PARTS) == set(tables.TITLES) == set(tables.ROWS)


def test_an_engine_without_a_result_was_not_measured() -> None:
    floor = {how: {"wall_s": wall, "cluster_cpu_ms_per_object": 5} for how, wall in (("ssa", 2.4), ("post", 2.2))}
    text = tables.render([result(wall_s=4.25, floor=floor)])

    assert "| wall, s | 2.4 SSA, 2.2 POST | 4.25 | not measured | not measured | not measured | not measured |" in text
    assert "### B1 First deploy: N = 300, plain" in text


def test_cases_are_in_the_order_of_their_sizes() -> None:
    text = tables.render([result(n=1000, wall_s=1), result(n=300, wall_s=1)])

    assert text.index("N = 300") < text.index("N = 1,000")


def test_results_with_other_objects_live_do_not_stand_together() -> None:
    pair = [result(live={"digest": "a"}), result(engine="flux", live={"digest": "b"})]

    with pytest.raises(tables.MixedError, match="flux, tiphys"):
        tables.render(pair)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.0301, "0.0301"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        ({"median": 1, "min": 0.5, "max": 2, "count": 3}, "1 (0.5-2)"),
        (
            {
                "median": {"median": 5, "min": 4, "max": 6},
                "min": {"median": 2, "min": 1, "max": 3},
                "max": {"median": 8, "min": 7, "max": 9},
                "count": 3,
            },
            "5 (1-9)",
        ),
    ],
)
def test_cells(value: Any, text: str) -> None:
    assert tables.cell(value) == text


def test_the_selection_has_every_benchmark() -> None:
    cases = selection(parser().parse_args(["--selection"]))

    assert {name for case in cases for name in case.benches} == set(BENCHES)


def test_committed_results_can_be_read_and_shown() -> None:
    found = results.load_all()

    assert all(json.loads(path.read_text())["version"] == results.VERSION for path in results.FOLDER.glob("*.json"))
    assert tables.render(found)


def test_a_result_says_itself_in_words() -> None:
    found = tables.lines(result(wall_s=4.25, others_cores=1.5))

    assert found[0] == "B1 First deploy: N = 300, plain, tiphys"
    assert found[1].split() == ["wall,", "s", "4.25"]
    assert "1.5 cores" in found[-1]
