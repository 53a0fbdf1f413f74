"""Is an Application's spec complete and permitted? Problems as InvalidSpecError words them.

Source: compat 1.1, 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tiphys.model.application import ApplicationSpec
from tiphys.model.appproject import AppProject
from tiphys.model.cluster import Cluster
from tiphys.model.destination import IN_CLUSTER_NAME, IN_CLUSTER_SERVER, ApplicationDestination
from tiphys.model.source import ApplicationSource
from tiphys.policy.project import NO_SCOPE, ProjectScope, permits_destination, source_refusals
from tiphys.policy.unsupported import unsupported

_REF = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)


class DestinationError(ValueError):
    """The destination does not name exactly one known cluster."""


def missing_project(name: str) -> str:
    """What a condition says when an Application's project is not there."""
    return f"Application referencing project {name} which does not exist"


def source_problems(spec: ApplicationSpec) -> list[str]:
    """What is missing or contradictory in the sources; empty when they can be used."""
    if not spec.has_multiple_sources:
        return _single_source_problems(spec.source)
    problems: list[str] = []
    refs: set[str] = set()
    for source in spec.sources:
        if not source.repo_url or not (source.path or source.chart or source.ref):
            problems.append(
                "spec.source.repoURL and either source.path, source.chart, or source.ref are required for source "
                f"{source.repo_url}"
            )
        problems += _chart_problems(source)
        if source.ref:
            if not _REF.fullmatch(source.ref):
                problems.append("ref must only consist of letters, digits, dashes and underscores")
            elif source.ref in refs:
                problems.append("invalid sources: multiple sources had the same `ref` key")
            refs.add(source.ref)
        problems += _type_problems(source)
    return problems


def resolve_destination(destination: ApplicationDestination, clusters: Sequence[Cluster]) -> ApplicationDestination:
    """The destination with both server and name filled in, the server without trailing slash.

    `clusters` are those with a Secret; the in-cluster entry is known without one. Raises DestinationError when both or
    neither are given, when a name is unknown or not unique, or a server is not configured.
    """
    if destination.server and destination.name:
        raise DestinationError(
            f"application destination can't have both name and server defined: {destination.name} {destination.server}"
        )
    if destination.server:
        server = destination.server.rstrip("/")
        for cluster in clusters:
            if cluster.server.rstrip("/") == server:
                return ApplicationDestination(server=server, name=cluster.name, namespace=destination.namespace)
        if server == IN_CLUSTER_SERVER:
            return ApplicationDestination(server=server, name=IN_CLUSTER_NAME, namespace=destination.namespace)
        raise DestinationError(f'cluster "{server}" not found')
    if destination.name:
        servers = [cluster.server.rstrip("/") for cluster in clusters if cluster.name == destination.name]
        if destination.name == IN_CLUSTER_NAME and not any(cluster.is_home for cluster in clusters):
            servers.append(IN_CLUSTER_SERVER)
        if not servers:
            raise DestinationError(f"there are no clusters with this name: {destination.name}")
        if len(servers) > 1:
            raise DestinationError(
                f"there are {len(servers)} clusters with the same name: [{' '.join(sorted(servers))}]"
            )
        return ApplicationDestination(server=servers[0], name=destination.name, namespace=destination.namespace)
    raise DestinationError("Destination server missing from app spec")


def with_own_clusters(scope: ProjectScope, project: AppProject, clusters: Sequence[Cluster]) -> ProjectScope:
    """The scope with the clusters whose Secret carries the project's name."""
    own = tuple(cluster for cluster in clusters if cluster.project and cluster.project == project.name)
    return replace(scope, clusters=own) if own else scope


def spec_problems(
    spec: ApplicationSpec, project: AppProject, clusters: Sequence[Cluster] = (), scope: ProjectScope = NO_SCOPE
) -> list[str]:
    """Everything that keeps an Application from being looked at: each is a message of an InvalidSpecError condition."""
    problems = source_problems(spec)
    if problems:
        return problems
    problems = source_refusals(project, spec.all_sources, scope)
    scope = with_own_clusters(scope, project, clusters)
    try:
        destination = resolve_destination(spec.destination, clusters)
    except DestinationError as error:
        return [*problems, str(error)]
    answer = permits_destination(project, destination, scope)
    if not answer:
        problems.append(answer.reason)
    return problems + unsupported(spec, project)


def _single_source_problems(source: ApplicationSource | None) -> list[str]:
    if source is None or not source.repo_url or not (source.path or source.chart):
        return ["spec.source.repoURL and either spec.source.path or spec.source.chart are required"]
    return _chart_problems(source) + _type_problems(source)


def _chart_problems(source: ApplicationSource) -> list[str]:
    if source.chart and not source.target_revision:
        return ["spec.source.targetRevision is required if the manifest source is a helm chart"]
    return []


def _type_problems(source: ApplicationSource) -> list[str]:
    if len(source.explicit_types) > 1:
        return [f"multiple application sources defined: {','.join(source.explicit_types)}"]
    return []
