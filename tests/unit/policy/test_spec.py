"""Specs that cannot be used are told why, in Argo CD's words."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.model.application import ApplicationSpec
from tiphys.model.appproject import default_project_object, parse_appproject
from tiphys.model.cluster import Cluster
from tiphys.model.codec import decode
from tiphys.model.destination import ApplicationDestination
from tiphys.policy.kinds import is_excluded
from tiphys.policy.spec import DestinationError, resolve_destination, spec_problems
from tiphys.settings.values import ResourceSelector, Settings

SVC = "https://kubernetes.default.svc"
PROJECT = parse_appproject(default_project_object("argocd"))
SOURCE = {"repoURL": "https://example.com/r", "path": "p"}
DESTINATION = {"server": SVC, "namespace": "n"}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            {"destination": DESTINATION},
            "spec.source.repoURL and either spec.source.path or spec.source.chart are required",
        ),
        (
            {"source": {"repoURL": "r", "chart": "c"}, "destination": DESTINATION},
            "spec.source.targetRevision is required if the manifest source is a helm chart",
        ),
        (
            {"source": {**SOURCE, "helm": {}, "kustomize": {}}, "destination": DESTINATION},
            "multiple application sources defined: Kustomize,Helm",
        ),
        ({"source": SOURCE, "destination": {}}, "Destination server missing from app spec"),
        (
            {"source": SOURCE, "destination": {"server": SVC, "name": "in-cluster"}},
            f"application destination can't have both name and server defined: in-cluster {SVC}",
        ),
        ({"source": SOURCE, "destination": {"name": "nope"}}, "there are no clusters with this name: nope"),
        ({"source": SOURCE, "destination": {"server": "https://x"}}, 'cluster "https://x" not found'),
        (
            {"sources": [{**SOURCE, "ref": "a b"}], "destination": DESTINATION},
            "ref must only consist of letters, digits, dashes and underscores",
        ),
    ],
)
def test_problems(spec: dict[str, Any], problem: str) -> None:
    assert spec_problems(decode(ApplicationSpec, spec), PROJECT) == [problem]


def test_a_good_spec_has_none_and_all_refusals_are_named_at_once() -> None:
    spec = decode(ApplicationSpec, {"source": SOURCE, "destination": DESTINATION})
    assert spec_problems(spec, PROJECT) == []
    closed = parse_appproject({"metadata": {"name": "closed"}, "spec": {}})
    assert len(spec_problems(spec, closed)) == 2


def test_destinations_resolve_to_server_and_name() -> None:
    clusters = [
        Cluster(server="https://a/", name="a"),
        Cluster(server="https://b", name="b"),
        Cluster(server="c", name="b"),
    ]
    by_name = resolve_destination(decode(ApplicationSpec, {"destination": {"name": "a"}}).destination, clusters)
    assert (by_name.server, by_name.name) == ("https://a", "a")
    by_server = resolve_destination(
        decode(ApplicationSpec, {"destination": {"server": SVC + "/"}}).destination, clusters
    )
    assert (by_server.server, by_server.name) == (SVC, "in-cluster")
    with pytest.raises(DestinationError, match=r"there are 2 clusters with the same name: \[c https://b\]"):
        resolve_destination(decode(ApplicationSpec, {"destination": {"name": "b"}}).destination, clusters)


def test_excluded_kinds() -> None:
    settings = Settings(
        exclusions=(ResourceSelector(api_groups=("*.example.com",), kinds=("A",), clusters=("https://x*",)),)
    )
    assert is_excluded(settings, "", "Event", SVC)
    assert is_excluded(settings, "coordination.k8s.io", "Lease", SVC)
    assert is_excluded(settings, "db.example.com", "A", "https://x1")
    assert not is_excluded(settings, "db.example.com", "B", "https://x1")
    assert not is_excluded(settings, "db.example.com", "A", SVC)
    assert not is_excluded(settings, "", "Pod", SVC)
    only = Settings(inclusions=(ResourceSelector(api_groups=("apps",)),))
    assert is_excluded(only, "", "Pod", SVC)
    assert not is_excluded(only, "apps", "Deployment", SVC)


def test_a_secret_that_renames_the_own_cluster_takes_its_name_away() -> None:
    renamed = [Cluster(server=SVC, name="home")]
    found = resolve_destination(ApplicationDestination(name="home"), renamed)
    assert found.server == SVC
    with pytest.raises(DestinationError, match="there are no clusters with this name: in-cluster"):
        resolve_destination(ApplicationDestination(name="in-cluster"), renamed)
    other = [Cluster(server="https://a", name="in-cluster")]
    with pytest.raises(DestinationError, match="there are 2 clusters with the same name"):
        resolve_destination(ApplicationDestination(name="in-cluster"), other)


def test_a_cluster_whose_secret_names_the_project_is_allowed_without_a_rule() -> None:
    project = parse_appproject({"metadata": {"name": "team"}, "spec": {"sourceRepos": ["*"]}})
    spec = decode(ApplicationSpec, {"source": SOURCE, "destination": {"name": "own", "namespace": "n"}})
    own, others = Cluster(server="https://a", name="own", project="team"), Cluster(server="https://a", name="own")
    assert spec_problems(spec, project, [own]) == []
    assert "do not match any of the allowed destinations" in spec_problems(spec, project, [others])[0]
