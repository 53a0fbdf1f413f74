"""AppProject rules answer as Argo CD's."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.model.appproject import AppProject, parse_appproject
from tiphys.model.cluster import Cluster
from tiphys.model.codec import decode
from tiphys.model.destination import ApplicationDestination
from tiphys.policy.project import (
    ProjectScope,
    permits_destination,
    permits_kind,
    permits_namespace,
    permits_source,
    permits_source_namespace,
)

SVC = "https://kubernetes.default.svc"


def project(**spec: Any) -> AppProject:
    return parse_appproject({"metadata": {"name": "team"}, "spec": spec})


def test_refusals_are_worded_as_argo_cd_words_them() -> None:
    assert (
        permits_source(project(), "https://example.com/r").reason
        == "application repo https://example.com/r is not permitted in project 'team'"
    )
    destination = ApplicationDestination(server=SVC, namespace="prod")
    assert permits_destination(project(), destination).reason == (
        f"application destination server '{SVC}' and namespace 'prod' do not match any of the allowed destinations in "
        "project 'team'"
    )
    assert permits_namespace(project(), destination).reason == "namespace prod is not permitted in project 'team'"
    assert (
        permits_kind(project(), "", "Namespace", namespaced=False).reason
        == "resource :Namespace is not permitted in project team"
    )


@pytest.mark.parametrize(
    ("group", "kind", "namespaced", "spec", "allowed"),
    [
        ("apps", "Deployment", True, {}, True),
        ("apps", "Deployment", True, {"namespaceResourceWhitelist": []}, False),
        ("apps", "Deployment", True, {"namespaceResourceWhitelist": [{"group": "a*", "kind": "D*"}]}, True),
        ("apps", "Deployment", True, {"namespaceResourceBlacklist": [{"group": "*", "kind": "Deployment"}]}, False),
        (
            "apps",
            "Deployment",
            True,
            {
                "namespaceResourceWhitelist": [{"group": "*", "kind": "*"}],
                "namespaceResourceBlacklist": [{"group": "*", "kind": "*"}],
            },
            False,
        ),
        ("", "Namespace", False, {}, False),
        ("", "Namespace", False, {"clusterResourceWhitelist": [{"group": "", "kind": "Namespace"}]}, True),
        (
            "",
            "Namespace",
            False,
            {"clusterResourceWhitelist": [{"group": "", "kind": "Namespace", "name": "x*"}]},
            True,
        ),
        (
            "",
            "Namespace",
            False,
            {"clusterResourceWhitelist": [{"group": "", "kind": "Namespace", "name": "y"}]},
            False,
        ),
        (
            "",
            "Namespace",
            False,
            {
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
                "clusterResourceBlacklist": [{"group": "", "kind": "Namespace"}],
            },
            False,
        ),
        ("", "Namespace", False, {"namespaceResourceWhitelist": [{"group": "*", "kind": "*"}]}, False),
    ],
)
def test_kinds(group: str, kind: str, namespaced: bool, spec: dict[str, Any], allowed: bool) -> None:
    assert permits_kind(project(**spec), group, kind, namespaced=namespaced, name="x1").allowed is allowed


def test_clusters_and_repositories_of_the_project_are_allowed_without_being_listed() -> None:
    scope = ProjectScope(
        repositories=("https://example.com/own.git",),
        clusters=(
            Cluster(server="https://own", name="own", namespaces=("a",)),
            Cluster(server="https://any", name="any"),
        ),
    )
    assert permits_source(project(), "https://example.com/own", scope)
    assert permits_destination(project(), ApplicationDestination(server="https://own", namespace="a"), scope)
    assert not permits_destination(project(), ApplicationDestination(server="https://own", namespace="b"), scope)
    assert permits_destination(project(), ApplicationDestination(server="https://any", namespace="b"), scope)


def test_only_project_scoped_clusters_when_asked_for() -> None:
    everywhere = project(destinations=[{"server": "*", "namespace": "*"}], permitOnlyProjectScopedClusters=True)
    scope = ProjectScope(clusters=(Cluster(server="https://own", name="own"),))
    assert permits_destination(everywhere, ApplicationDestination(server="https://own", namespace="x"), scope)
    assert not permits_destination(everywhere, ApplicationDestination(server="https://other", namespace="x"), scope)


def test_applications_elsewhere_need_both_the_installation_and_the_project() -> None:
    def may(installation: tuple[str, ...], own: list[str], namespace: str = "team-a") -> bool:
        return permits_source_namespace(
            project(sourceNamespaces=own), namespace, controller_namespace="argocd", allowed_namespaces=installation
        ).allowed

    assert may((), [], "argocd")
    assert may(("team-*",), ["/^team-a$/"])
    assert not may(("team-*",), [])
    assert not may((), ["*"])


def test_a_trailing_slash_of_a_server_does_not_matter() -> None:
    allowed = project(destinations=[{"server": "https://x/", "namespace": "*"}])
    assert permits_destination(allowed, decode(ApplicationDestination, {"server": "https://x", "namespace": "n"}))
