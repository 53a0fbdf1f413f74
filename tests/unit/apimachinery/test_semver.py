"""Versions and constraints as Masterminds/semver reads them; Helm's engine judges the grid."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiphys.apimachinery.semver import (
    SemverError,
    is_constraint,
    newest,
    parse_constraint,
    parse_version,
)

CONSTRAINTS = (
    *("*", "x", "X", "v1", "1", "1.2", "1.2.3", "=1.2.3", "= 1.2", "!=1.2.3", "!=1.2", "!=1", "!=1.2.x", "!=*"),
    *(">1", ">1.2", ">1.2.3", ">*", "<1", "<1.2", "<1.2.3", "<2.0.0-0", ">=1", ">=1.2", ">=1.2.3", "=>1.2.3", "<=1"),
    *("<=1.2", "<=1.2.3", "=<1.2.3", "<=*", ">=*", "~1", "~1.2", "~1.2.3", "~>1.2.3", "~0", "~0.0.0", "~0.1", "~*"),
    *("^1", "^1.2", "^1.2.3", "^0", "^0.0", "^0.0.3", "^0.1.2", "^*", "^0.x", "^0.1.x", "1.x", "1.2.x", "v1.2.*"),
    *(">=1.2 <2", ">=1.2, <2", ">=1.2,<2", ">= 1.2 , < 2", "1.2 - 2", "1.2.3 - 2.0.0-rc.1", "1 - 2 || 3", "^1 || ^3"),
    *(">=1.0.0-0", ">=1.0.0-0 <2", "^1.2.3-beta", "~1.2.3-beta.2", "1.2.3-beta.2", "=1.2-0", "!=1.2.x-beta", "*-0"),
    *(">1.2.3-alpha", "<1.2.3-beta", "<=1.2.3-beta.2", "1.x-0", ">=1-0 || <0.1", "^2.0.0-rc.1 <2.1", "1.2.3+build"),
    *(">=v1.2 <v2", " >=1.2 ", ">=1.2  <2", "1.2||3", "1.2 | 3", "01.2", ">=01.2.3", ">1.2.3-01"),
    *(
        "",
        " ",
        "main",
        "1.2.3.4",
        "v",
        "^",
        ">=",
        "1.2,",
        ",1.2",
        "1.2 ,, 2",
        "a.b",
        "latest",
        "^1.2.3 foo",
        "||",
        "1||",
    ),
    *(
        "feature/x",
        "1.2.3 -beta",
        "1.2 -2",
        "1.2- 2",
        "1.2 - 2 - 3",
        "99999999999999999999999",
        "1.2.x.4",
        "~^1",
        "^ 1",
        "V1",
    ),
)
VERSIONS = (
    *("0.0.0", "0.0.3", "0.0.4", "0.1.0", "0.1.2", "0.1.9", "0.2.0", "1.0.0", "v1.0.0", "1", "1.2", "1.2.0", "1.2.3"),
    *("v1.2.4", "1.3.0", "1.11.0", "2.0.0", "2.1.0", "3.0.0", "11.1.0", "1.2.3-alpha", "1.2.3-beta", "1.2.3-beta.2"),
    *("1.2.3-beta.11", "1.2.4-rc.1", "2.0.0-rc.1", "2.0.0-0", "1.2.3+build", "1.2.3-beta.2+build", "1.0.0-0", "01.2.3"),
)

ORACLE = """
import json, sys, tempfile, pathlib
import helm_python
given = json.load(sys.stdin)
root = pathlib.Path(sys.argv[1])
(root / "templates").mkdir()
(root / "Chart.yaml").write_text("apiVersion: v2\\nname: a\\nversion: 1.0.0\\n")
(root / "templates/a.yaml").write_text(
    '{{ range .Values.versions }}{{ semverCompare $.Values.constraint . }} {{ end }}')
out = []
with helm_python.Chart.load(root) as chart:
    for constraint in given["constraints"]:
        try:
            text = str(chart.render(values={"constraint": constraint, "versions": given["versions"]}, name="a"))
        except helm_python.HelmError:
            out.append(None)
        else:
            out.append(["true" == word for word in text.replace("'", " ").split() if word in ("true", "false")])
print(json.dumps(out))
"""


def allowed(constraint: str) -> list[bool] | None:
    try:
        parsed = parse_constraint(constraint)
    except SemverError:
        return None
    return [parsed.allows(parse_version(version)) for version in VERSIONS]


def test_every_constraint_and_version_is_judged_as_the_helm_engine_does(tmp_path: Path) -> None:
    if importlib.util.find_spec("helm_python") is None:
        pytest.skip("the Helm engine is the judge; install the helm extra")
    done = subprocess.run(
        [sys.executable, "-c", ORACLE, str(tmp_path)],
        input=json.dumps({"constraints": CONSTRAINTS, "versions": VERSIONS}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    judged = json.loads(done.stdout)
    wrong = []
    for constraint, expected in zip(CONSTRAINTS, judged, strict=True):
        found = allowed(constraint)
        if found is None or expected is None:
            if found is not expected:
                wrong.append(f"{constraint!r}: {found} instead of {expected}")
            continue
        assert len(expected) == len(VERSIONS)
        pairs = zip(VERSIONS, found, expected, strict=True)
        wrong += [f"{constraint!r} {v}: {ours}" for v, ours, theirs in pairs if ours != theirs]
    assert not wrong, "\n".join(wrong)
    assert sum(row is not None for row in judged) > 60


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        ("^1.2", ("1.2.0", "1.9.9"), ("1.1.9", "2.0.0", "1.3.0-rc.1")),
        ("~1.2", ("1.2.0", "1.2.9"), ("1.3.0",)),
        ("1.2.*", ("1.2.0", "v1.2.7"), ("1.3.0",)),
        (">=1 <2", ("1", "1.9.9"), ("2.0.0", "0.9.0")),
        (">=1.0.0-0", ("1.0.0-rc.1", "2.0.0-rc.1"), ("0.9.0",)),
        ("1.2 - 2", ("1.2.0", "2.4.0"), ("3.0.0", "1.1.0")),
        ("^1 || ^3", ("1.5.0", "3.1.0"), ("2.0.0",)),
    ],
)
def test_a_range_takes_what_it_says(constraint: str, yes: tuple[str, ...], no: tuple[str, ...]) -> None:
    parsed = parse_constraint(constraint)
    assert [v for v in yes if not parsed.allows(parse_version(v))] == []
    assert [v for v in no if parsed.allows(parse_version(v))] == []


@pytest.mark.parametrize(
    "text", ["1.2", "v1.0", "1", "1.2.3", "v1.2.3-rc.1", "main", "HEAD", "", "release/1.x", "1.2.3.4"]
)
def test_a_version_or_a_name_is_no_range(text: str) -> None:
    assert not is_constraint(text)


@pytest.mark.parametrize("text", ["1.2.*", "^1", ">=1 <2", "*", "=1.2.3", "1.x", "v1.2.x", "1 - 2", "~0.1"])
def test_operators_and_open_parts_make_a_range(text: str) -> None:
    assert is_constraint(text)


def test_versions_are_ordered_by_their_parts() -> None:
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    ordered += ["1.0.0-rc.1", "1.0.0", "1.0.10", "1.2", "2"]
    assert sorted(sorted(ordered), key=parse_version) == ordered
    assert parse_version("v1.0.0+a") == parse_version("1+b")


def test_the_newest_of_equal_versions_is_the_first_and_what_is_no_version_is_passed_over() -> None:
    tags = ["latest", "1.0.0", "v1.0.0", "1.1.0-rc.1", "nightly-2024", "v0.9"]
    assert newest(parse_constraint("^1"), tags) == "1.0.0"
    assert newest(parse_constraint(">=1.0.0-0"), tags) == "1.1.0-rc.1"
    assert newest(parse_constraint("^2"), tags) is None


def test_a_hostile_constraint_costs_no_time() -> None:
    for text in (">=1" + " " * 900 + "!", ">=1 " * 250 + "!", "1" * 1000 + " - ", "^" * 1024, "1.2.3-" + "a." * 500):
        with pytest.raises(SemverError):
            parse_constraint(text)
