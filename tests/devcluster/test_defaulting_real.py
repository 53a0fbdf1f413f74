"""The same manifests through our decoding, defaults, admission and validation and through a real API server's dry run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.realcluster import build
from tests.realcluster.cluster import Cluster, running

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.names import GroupVersionKind, gvk_of
from tiphys.apimachinery.yamljson import load_all
from tiphys.devcluster.addresses import AddressPool
from tiphys.devcluster.admission import Admission, prepare_create
from tiphys.devcluster.defaults import default_in_place
from tiphys.devcluster.validation import validate_create

RECORDED = Path(__file__).parent / "recorded"
MANIFESTS: dict[str, dict[str, Any]] = {
    **{name: pair["in"] for name, pair in json.loads((RECORDED / "defaulting-1.36.json").read_text()).items()},
    **{f"{one['kind']}/{one['metadata']['name']}": one for one in load_all((RECORDED / "manifests.yaml").read_bytes())},
}
REFUSED_HERE = {"CustomResourceDefinition/foos.m.example.com": ["spec.conversion.strategy"]}  # it converts by webhook
INVALID: list[dict[str, Any]] = json.loads((RECORDED / "invalid-1.36.json").read_text())
TOKEN_VOLUME = "kube-api-access-"


class Server:
    """A dry run of creating an object, and the paths of kinds."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def create(self, manifest: Mapping[str, Any], gvk: GroupVersionKind) -> tuple[int, Any]:
        base = f"/apis/{gvk.api_version}" if gvk.group else f"/api/{gvk.version}"
        if base not in self._kinds:
            found = self._cluster.request("GET", base)["resources"]
            self._kinds[base] = {r["kind"]: (r["name"], r["namespaced"]) for r in found if "/" not in r["name"]}
        plural, namespaced = self._kinds[base][gvk.kind]
        folder = f"{base}/namespaces/default" if namespaced else base
        status, body = self._cluster._http("POST", f"{folder}/{plural}?dryRun=All", manifest, 30)
        return status, json.loads(body)


class Objects:
    """What admission may look up: the default service account and a system priority class."""

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return {"metadata": {"name": name}} if (resource, name) == ("v1/serviceaccounts", "default") else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Mapping[str, Any]]:
        return ()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        built = build.cache_directory() / build._key(build._find_go("go")[1]) / "realcluster"
    except build.WrongGoError as problem:
        pytest.skip(f"the real API server is not built: {problem}")
    if not built.is_file():
        pytest.skip("the real API server is not built: run `python tests/realcluster/build.py`")
    with running(tmp_path_factory.mktemp("realcluster")) as cluster:
        yield Server(cluster)


def created(manifest: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """What we make of a manifest, given the names, times and addresses that the real server drew."""
    gvk = gvk_of(manifest)
    obj = goshapes.decode(manifest, gvk).obj
    default_in_place(obj, gvk)
    metadata, spec = written["metadata"], written.get("spec", {})
    obj["metadata"].update({k: metadata[k] for k in ("namespace", "uid", "creationTimestamp") if k in metadata})
    if gvk.kind == "Service":
        for field in ("clusterIP", "healthCheckNodePort"):
            if spec.get(field):
                obj["spec"][field] = spec[field]
        for ours, theirs in zip(obj["spec"].get("ports", ()), spec.get("ports", ()), strict=True):
            if "nodePort" in theirs:
                ours["nodePort"] = theirs["nodePort"]
    volumes = spec.get("volumes", ()) if gvk.kind == "Pod" else ()
    suffix = next((one["name"].removeprefix(TOKEN_VOLUME) for one in volumes if TOKEN_VOLUME in one["name"]), "x")
    context = Admission(
        lookup=Objects(),
        addresses=AddressPool(ports=(1, 65535)),
        suffix=lambda: suffix,
        now=metadata["creationTimestamp"],
        uid=metadata["uid"],
    )
    prepare_create(obj, gvk, context)
    return obj


@pytest.mark.parametrize("case", sorted(MANIFESTS))
def test_a_created_object_is_what_the_real_server_writes(server: Server, case: str) -> None:
    manifest = MANIFESTS[case]
    status, written = server.create(manifest, gvk_of(manifest))
    assert status == 201, written
    for field in ("managedFields", "resourceVersion"):
        written["metadata"].pop(field, None)
    assert created(manifest, written) == written
    assert goshapes.decode(written, gvk_of(manifest)).obj == written


@pytest.mark.parametrize("case", sorted(MANIFESTS))
def test_what_the_real_server_accepts_is_valid_here(server: Server, case: str) -> None:
    manifest = MANIFESTS[case]
    status, written = server.create(manifest, gvk_of(manifest))
    assert status == 201, written
    causes = validate_create(written, gvk_of(manifest), namespaced="namespace" in written["metadata"])
    assert [one.field for one in causes] == REFUSED_HERE.get(case, []), causes


@pytest.mark.parametrize("index", range(len(INVALID)))
def test_refusals_are_still_those_recorded(server: Server, index: int) -> None:
    case = INVALID[index]
    status, answer = server.create(case["manifest"], gvk_of(case["manifest"]))
    assert status == 422
    # Go visits maps in no order.
    assert sorted(answer["details"]["causes"], key=str) == sorted(case["causes"], key=str)
