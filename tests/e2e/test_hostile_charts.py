"""Charts and kustomizations that escape, hang, explode or crash what renders them: they hurt nobody but themselves."""

from __future__ import annotations

import os
import subprocess
import textwrap
import time
from collections.abc import Iterator

import pytest
from tests.support.environment import Environment, application, start_cluster, start_engine
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map

CHART = "apiVersion: v2\nname: c\nversion: 0.1.0\n"
# Render for ever, or until a limit is met.
HANG = '{{ range until 100000 }}{{ range until 100000 }}{{ $x := sha256sum "a" }}{{ end }}{{ end }}'
KEYS = '{{ range until 100000 }}{{ genPrivateKey "rsa" | sha256sum }}{{ end }}'
RECURSE = '{{ define "again" }}{{ include "again" . }}{{ end }}{{ include "again" . }}'
MEMORY = '{{ $x := list }}{{ range until 100000 }}{{ $x = append $x (repeat 10000000 "x") }}{{ end }}{{ len $x }}'
OUTPUT = (
    "{{ range until 200 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    'data: {x: {{ repeat 1000000 "x" }}}\n{{ end }}'
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"


def chart(template: str, **more: str) -> dict[str, str]:
    return {"Chart.yaml": CHART, "templates/a.yaml": template, **more}


def template(body: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  a: {body!r}\n"


# name: (files, words of which one is in the condition)
HOSTILE: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "hang": (chart(HANG), ("limit of time", "limit of processor time")),
    "keys": (chart(KEYS), ("limit of time", "limit of processor time")),
    "recursion": (chart(RECURSE), ("rendering template has a nested reference", "stack", "limit of", "recursi")),
    "memory": (chart(MEMORY), ("limit of memory", "limit of time")),  # a busy machine meets the other one first
    "output": (chart(OUTPUT), ("limit of rendered output", "limit of memory", "limit of time")),
    "values-bomb": (chart("a: 1", **{"values.yaml": BOMB}), ("alias", "excessive", "limit")),
    "files-get": (chart(template('{{ .Files.Get "../../../../etc/passwd" }}')), ()),
    "schema-file": (
        chart(template("x"), **{"values.schema.json": '{"$ref": "file:///etc/passwd"}'}),
        ("schema", "passwd"),
    ),
    "broken-yaml": (chart("a: [\n"), ("templates/a.yaml",)),
    "no-chart-name": ({"Chart.yaml": "apiVersion: v2\n", "templates/a.yaml": ""}, ("name",)),
    "kustomize-up": (
        {"kustomization.yaml": KUSTOMIZATION + "resources: [../../../../../../etc/passwd]\n"},
        ("passwd",),
    ),
    "kustomize-absolute": ({"kustomization.yaml": KUSTOMIZATION + "resources: [/etc/passwd]\n"}, ("passwd",)),
    "kustomize-remote": (
        {"kustomization.yaml": KUSTOMIZATION + "resources: [https://example.com/org/repo]\n"},
        ("https://example.com/org/repo",),
    ),
    "kustomize-itself": ({"kustomization.yaml": KUSTOMIZATION + "resources: [.]\n"}, ("cycle", "itself")),
    "kustomize-bomb": ({"kustomization.yaml": KUSTOMIZATION + BOMB}, ("alias", "limit", "excessive")),
    "kustomize-exec": (
        {
            "kustomization.yaml": KUSTOMIZATION + "generators: [gen.yaml]\n",
            "gen.yaml": "apiVersion: v1\nkind: Gen\nmetadata:\n  name: g\n  annotations:\n"
            "    config.kubernetes.io/function: |\n      exec:\n        path: /bin/sh\n",
        },
        ("plugin", "exec", "alpha"),
    ),
    "kustomize-helm": (
        {"kustomization.yaml": KUSTOMIZATION + "helmCharts:\n  - name: c\n    repo: https://example.com/charts\n"},
        ("helm",),
    ),
}
GOOD = {
    "plain": {"a.yaml": config_map("plain", v="VERSION")},
    "helm": chart(config_map("{{ .Release.Name }}", v="VERSION")),
    "kustomize": {
        "kustomization.yaml": KUSTOMIZATION + "resources: [a.yaml]\n",
        "a.yaml": config_map("kustomize", v="VERSION"),
    },
}


def below(folder: str, files: dict[str, str], version: str = "") -> dict[str, str | None]:
    return {f"{folder}/{name}": text.replace("VERSION", version) for name, text in files.items()}


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An engine that gives a tool eight seconds."""
    root = tmp_path_factory.mktemp("hostile")
    with (
        start_cluster(request.config, root) as cluster,
        start_engine(cluster, root, ARGOCD_EXEC_TIMEOUT="8s") as environment,
    ):
        yield environment


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    return GitRepository(tmp_path_factory.mktemp("git"))


def children(environment: Environment) -> list[str]:
    """Command lines of what descends from the engine."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    family, found = {str(environment.engine.pid)}, []
    for pid, parent, arguments in rows:
        if parent in family:
            family.add(pid)
            found.append(arguments)
    return found


def test_hostile_sources_name_what_stopped_them_and_their_neighbours_go_on(
    environment: Environment, repo: GitRepository
) -> None:
    files: dict[str, str | None] = {}
    for name, (content, _words) in HOSTILE.items():
        files |= below(f"hostile/{name}", content)
    for name, content in GOOD.items():
        files |= below(f"good/{name}", content, "1")
    repo.commit(files)
    for name in GOOD:
        environment.apply(application(f"good-{name}", repo.url, path=f"good/{name}", namespace="good"))
    for name in GOOD:
        environment.until_app(f"good-{name}")
    for name in HOSTILE:
        environment.apply(application(f"hostile-{name}", repo.url, path=f"hostile/{name}", namespace="hostile"))

    changed: dict[str, str | None] = {}
    for name, content in GOOD.items():
        changed |= below(f"good/{name}", content, "2")
    repo.commit(changed)
    for name in ("plain", "good-helm", "kustomize"):

        def live(name: str = name) -> bool | Pending:
            found = environment.kubectl.json("get", "configmap", name, "-n", "good")
            return (found is not None and found["data"]["v"] == "2") or Pending(found and found["data"])

        environment.until(live, within_s=120, what=f"the second commit of {name}")

    told = {}
    for name, (_content, words) in HOSTILE.items():
        if name == "files-get":
            continue
        app = environment.until_app(f"hostile-{name}", sync="Unknown", health="Unknown", within_s=180)
        message = " ".join(c["message"] for c in app["status"]["conditions"])
        told[name] = message
        assert "/tmp/" not in message, f"{name}: {message}"
        assert str(environment.root) not in message, f"{name}: {message}"
        if words:
            assert any(word in message for word in words), f"{name}: {message}"
    for name, message in told.items():
        print(f"{name}: {textwrap.shorten(message, 150)}")


def test_a_chart_reads_no_file_outside_itself(environment: Environment) -> None:
    app = environment.until_app("hostile-files-get")
    assert app["status"]["sync"]["status"] == "Synced"
    data = environment.kubectl.json("get", "configmap", "a", "-n", "hostile")["data"]
    assert data == {"a": ""}


def test_no_process_and_no_file_is_left_behind(environment: Environment) -> None:
    deadline = time.monotonic() + 60
    while leftover := [line for line in children(environment) if "kubectl" in line]:
        assert time.monotonic() < deadline, leftover
        time.sleep(0.2)
    workers = [line for line in children(environment) if "worker" in line]
    assert len(workers) <= 2 * (len(os.sched_getaffinity(0)) + 1), workers
    for folder in ("workers", "tool-workers"):
        left = list((environment.root / "engine" / folder).glob("*/files"))
        assert not left, left
