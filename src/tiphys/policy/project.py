"""AppProject rules for sources, destinations and kinds.

Source: compat 5.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tiphys.model.appproject import AppProject, ClusterResourceRule, GroupKindRule
from tiphys.model.cluster import Cluster
from tiphys.model.destination import ApplicationDestination
from tiphys.model.repository import normalize_git_url
from tiphys.model.source import ApplicationSource
from tiphys.policy.answer import ALLOWED, Answer, denied
from tiphys.policy.glob import glob_match, glob_or_regexp_match, path_match


@dataclass(frozen=True, slots=True)
class ProjectScope:
    """What else belongs to a project: repositories and clusters whose Secrets carry its name."""

    repositories: tuple[str, ...] = ()
    clusters: tuple[Cluster, ...] = ()


NO_SCOPE = ProjectScope()


def permits_source(project: AppProject, repo_url: str, scope: ProjectScope = NO_SCOPE) -> Answer:
    """Whether Applications of the project may use a repository.

    An allow rule must match and no deny rule (`!glob`) may; only denies allow nothing. URLs are compared in normal form,
    `*` stops at `/`, a bare `*` is everything.
    """
    url = normalize_git_url(repo_url)
    refusal = denied(f"application repo {repo_url} is not permitted in project '{project.name}'")
    allowed = any(normalize_git_url(own) == url for own in scope.repositories)
    for rule in project.spec.source_repos:
        if rule.startswith("!"):
            if _matches(normalize_git_url(rule[1:]), url, separators="/"):
                return refusal
        elif not allowed:
            allowed = _matches(normalize_git_url(rule), url, separators="/")
    return ALLOWED if allowed else refusal


def permits_destination(
    project: AppProject, destination: ApplicationDestination, scope: ProjectScope = NO_SCOPE
) -> Answer:
    """Whether the project may deploy to a server (or cluster name) and namespace.

    The caller fills in both server and name where it knows them. A negated field matches what its glob does not, so an
    entry with one can allow; an entry whose negated field does not match denies, whatever its other fields say.
    """
    return (
        ALLOWED
        if _permits(project, destination, scope)
        else denied(
            f"application destination server '{destination.server}' and namespace '{destination.namespace}' do not match any "
            f"of the allowed destinations in project '{project.name}'"
        )
    )


def permits_namespace(
    project: AppProject, destination: ApplicationDestination, scope: ProjectScope = NO_SCOPE
) -> Answer:
    """The same question for one resource's namespace, answered as a sync result words it."""
    if _permits(project, destination, scope):
        return ALLOWED
    return denied(f"namespace {destination.namespace} is not permitted in project '{project.name}'")


def permits_kind(project: AppProject, group: str, kind: str, *, namespaced: bool, name: str = "") -> Answer:
    """Whether the project may deploy a kind; cluster-scoped kinds may be limited by name too.

    Namespaced: an absent whitelist allows all, an empty one nothing. Cluster-scoped: only what is whitelisted. A
    blacklist wins over its whitelist.
    """
    spec = project.spec
    if namespaced:
        allowed = spec.namespace_resource_whitelist is None or _in_list(group, kind, spec.namespace_resource_whitelist)
        allowed = allowed and not _in_list(group, kind, spec.namespace_resource_blacklist or ())
    else:
        allowed = _in_cluster_list(group, kind, name, spec.cluster_resource_whitelist or ())
        allowed = allowed and not _in_cluster_list(group, kind, name, spec.cluster_resource_blacklist or ())
    return ALLOWED if allowed else denied(f"resource {group}:{kind} is not permitted in project {project.name}")


def permits_source_namespace(
    project: AppProject, namespace: str, *, controller_namespace: str, allowed_namespaces: Collection[str]
) -> Answer:
    """Whether an Application of this namespace may use the project: both the installation and the project must say so."""
    if namespace == controller_namespace:
        return ALLOWED
    by_installation = is_namespace_served(namespace, controller_namespace, allowed_namespaces)
    by_project = any(glob_or_regexp_match(pattern, namespace) for pattern in project.spec.source_namespaces)
    if by_installation and by_project:
        return ALLOWED
    return denied(f"application in namespace '{namespace}' is not permitted to use project '{project.name}'")


def is_namespace_served(namespace: str, controller_namespace: str, allowed_namespaces: Collection[str]) -> bool:
    """Whether Applications of a namespace exist for this installation at all (`application.namespaces`)."""
    return namespace == controller_namespace or any(
        glob_or_regexp_match(pattern, namespace) for pattern in allowed_namespaces
    )


def source_refusals(
    project: AppProject, sources: Sequence[ApplicationSource], scope: ProjectScope = NO_SCOPE
) -> list[str]:
    """One sentence per source that the project does not permit."""
    answers = (permits_source(project, source.repo_url, scope) for source in sources)
    return [answer.reason for answer in answers if not answer]


def _permits(project: AppProject, destination: ApplicationDestination, scope: ProjectScope) -> bool:
    server = destination.server.rstrip("/")
    name, namespace = destination.name, destination.namespace
    own = [cluster for cluster in scope.clusters if _is_cluster(cluster, server, name)]
    if project.spec.permit_only_project_scoped_clusters and not own:
        return False
    allowed = any(not cluster.namespaces or namespace in cluster.namespaces for cluster in own)
    for item in project.spec.destinations:
        name_matched = bool(name) and _matches(item.name, name, negation=True)
        server_matched = bool(server) and _matches(item.server.rstrip("/"), server, negation=True)
        namespace_matched = _matches(item.namespace, namespace, negation=True)
        if (server_matched or name_matched) and namespace_matched:
            allowed = True
        elif (
            (item.name.startswith("!") and not name_matched)
            or (item.server.startswith("!") and not server_matched)
            or (item.namespace.startswith("!") and not namespace_matched)
        ):
            return False
    return allowed


def _is_cluster(cluster: Cluster, server: str, name: str) -> bool:
    return (bool(server) and cluster.server.rstrip("/") == server) or (bool(name) and cluster.name == name)


def _matches(pattern: str, text: str, *, negation: bool = False, separators: str = "") -> bool:
    if negation and pattern.startswith("!"):
        return not glob_match(pattern[1:], text, separators)
    return pattern == "*" or glob_match(pattern, text, separators)


def _in_list(group: str, kind: str, rules: Sequence[GroupKindRule]) -> bool:
    return any(path_match(rule.kind, kind) and path_match(rule.group, group) for rule in rules)


def _in_cluster_list(group: str, kind: str, name: str, rules: Sequence[ClusterResourceRule]) -> bool:
    return any(
        path_match(rule.kind, kind) and path_match(rule.group, group) and (not rule.name or path_match(rule.name, name))
        for rule in rules
    )
