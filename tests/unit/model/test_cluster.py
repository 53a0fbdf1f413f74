"""Rules of cluster Secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tiphys.model.cluster import Cluster, cluster_secret, parse_cluster_secret, secret_name
from tiphys.model.codec import InvalidObject
from tiphys.runtime.secret import Secret


def secret(**data: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "cluster-a", "labels": {"argocd.argoproj.io/secret-type": "cluster", "env": "test"}},
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }


def test_a_secret_says_everything_of_its_cluster() -> None:
    found = parse_cluster_secret(
        secret(
            server="https://a/",
            name="a",
            config="{}",
            namespaces="x, y",
            clusterResources="true",
            shard="2",
            project="team",
        )
    )
    assert found == Cluster(
        server="https://a",
        name="a",
        config=Secret("{}"),
        namespaces=("x", "y"),
        cluster_resources=True,
        shard=2,
        project="team",
        labels={"env": "test"},
        secret="cluster-a",
    )


def test_a_cluster_without_a_name_is_called_by_its_server() -> None:
    assert parse_cluster_secret(secret(server="https://a")).name == "https://a"


@pytest.mark.parametrize(
    ("data", "problem"),
    [({}, "server is missing"), ({"server": "https://a", "shard": "many"}, "shard 'many' is no number")],
)
def test_what_cannot_be_used_is_named(data: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidObject, match=problem):
        parse_cluster_secret(secret(**data))


def test_broken_base64_is_told_without_its_value() -> None:
    broken = secret(server="https://a")
    broken["data"]["config"] = "secret!"
    with pytest.raises(InvalidObject, match="config is no base64 of a text") as caught:
        parse_cluster_secret(broken)
    assert "secret!" not in str(caught.value)


def test_a_cluster_never_shows_its_credentials() -> None:
    assert "word" not in repr(parse_cluster_secret(secret(server="https://a", config='{"bearerToken": "word"}')))


def test_what_is_written_is_read_again() -> None:
    cluster = Cluster(
        server="https://a:6443",
        name="a",
        config=Secret('{"bearerToken":"t"}'),
        namespaces=("x",),
        cluster_resources=True,
        shard=0,
        project="team",
        labels={"env": "test"},
    )
    written = cluster_secret(cluster, namespace="argocd")
    assert written["metadata"]["name"] == secret_name("https://a:6443")
    assert written["metadata"]["annotations"] == {"managed-by": "argocd.argoproj.io"}
    again = parse_cluster_secret(written)
    assert (again.server, again.config, again.namespaces, again.shard) == (
        cluster.server,
        cluster.config,
        cluster.namespaces,
        cluster.shard,
    )


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("http://foo", "cluster-foo-752281925"),
        ("https://mycluster", "cluster-mycluster-3274446258"),
        ("https://[fe80::1ff:fe23:4567:890a]", "cluster-fe80-0000-0000-0000-01ff-fe23-4567-890a-261554054"),
    ],
)
def test_a_secret_is_named_after_host_and_hash(server: str, name: str) -> None:
    assert secret_name(server) == name
