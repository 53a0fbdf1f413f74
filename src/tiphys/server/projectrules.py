"""What an AppProject must look like to be stored: names, policies, no duplicates. Pure.

Source: compat 5, 6.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from tiphys.model.appproject import AppProject, ProjectRole
from tiphys.policy.rbac import PolicyError, parse_policy
from tiphys.server.errors import Code, RequestError, invalid_argument

_ROLE_NAME = re.compile(r"[a-zA-Z0-9]([-_a-zA-Z0-9]*[a-zA-Z0-9])?").fullmatch
_RESOURCES = ("applications", "applicationsets", "repositories", "exec", "logs", "clusters")
_ACTIONS = frozenset(("get", "create", "update", "delete", "sync", "override", "rollback", "*"))
_FINE = re.compile(r"(action|update|delete)/.*").fullmatch


def normalized(project: AppProject) -> AppProject:
    """The project with its policies written in one way."""
    roles = tuple(replace(role, policies=tuple(map(_tidy, role.policies))) for role in project.spec.roles)
    return replace(project, spec=replace(project.spec, roles=roles))


def check_project(project: AppProject) -> None:
    """Raises RequestError for the first thing that is wrong."""
    spec = project.spec
    seen = set()
    for item in spec.destinations:
        for field, value in (("server", item.server), ("namespace", item.namespace), ("name", item.name)):
            if value == "!*":
                raise invalid_argument(f"{field} has an invalid format, '!*'")
        key = (item.server, item.name, item.namespace)
        if key in seen:
            raise invalid_argument(f"destination '{item.server or item.name}/{item.namespace}' already added")
        seen.add(key)
    if "!*" in spec.source_repos:
        raise invalid_argument("source repository has an invalid format, '!*'")
    if (twice := _twice(spec.source_repos)) is not None:
        raise invalid_argument(f"source repository '{twice}' already added")
    if (twice := _twice(role.name for role in spec.roles)) is not None:
        raise RequestError(Code.ALREADY_EXISTS, f"role '{twice}' already exists")
    for role in spec.roles:
        _check_role(project.name, role)
    windows = ((window.kind, window.schedule, window.duration) for window in spec.sync_windows)
    if (same := _twice("':'".join(window) for window in windows)) is not None:
        raise RequestError(Code.ALREADY_EXISTS, f"window '{same}' already exists, update or edit")


def _check_role(project: str, role: ProjectRole) -> None:
    if not _ROLE_NAME(role.name):
        raise invalid_argument(
            f"invalid role name '{role.name}'. Must consist of alphanumeric characters, '-' or '_', and must start and end "
            "with an alphanumeric character"
        )
    if (twice := _twice(role.policies)) is not None:
        raise RequestError(Code.ALREADY_EXISTS, f"policy '{twice}' already exists for role '{role.name}'")
    for policy in role.policies:
        _check_policy(project, role.name, policy)
    if (twice := _twice(role.groups)) is not None:
        raise RequestError(Code.ALREADY_EXISTS, f"group '{twice}' already exists for role '{role.name}'")
    for group in role.groups:
        if not group.strip() or any(char in group for char in '"\n\r\t'):
            raise invalid_argument(f"group '{group}' is empty or has characters that a group must not have")
    try:
        parse_policy("\n".join(role.policies))
    except PolicyError as error:
        raise invalid_argument(f"policy syntax error: {error}") from None


def _check_policy(project: str, role: str, policy: str) -> None:
    def wrong(why: str) -> RequestError:
        return invalid_argument(f"invalid policy rule '{policy}': {why}")

    parts = [part.strip() for part in policy.split(",")]
    if len(parts) != 6 or parts[0] != "p":
        raise wrong("must be of the form: 'p, sub, res, act, obj, eft'")
    _, subject, resource, action, obj, effect = parts
    if subject != f"proj:{project}:{role}":
        raise wrong(f"policy subject must be: 'proj:{project}:{role}', not '{subject}'")
    if resource not in _RESOURCES:
        listed = ", ".join(f"'{name}'" for name in _RESOURCES[:-1])
        raise wrong(f"project resource must be: {listed} or '{_RESOURCES[-1]}', not '{resource}'")
    if action not in _ACTIONS and not _FINE(action):
        raise wrong(f"invalid action '{action}'")
    if not re.fullmatch(rf"{re.escape(project)}/[*\w./:\-]*(/[*\w.\-]*)?", obj):
        raise wrong(
            f"object must be of form '{project}/*', '{project}[/<NAMESPACE>]/<APPNAME>' or "
            f"'{project}/<APPNAME>', not '{obj}'"
        )
    if effect not in ("allow", "deny"):
        raise wrong("effect must be: 'allow' or 'deny'")


def _tidy(policy: str) -> str:
    return ", ".join(part.strip() for part in policy.split(","))


def _twice(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
