"""RBAC policy CSV: parse, evaluate, explain.

A request is allowed when some rule of its subject (or of a role it has) allows it and none denies it. The default role is
asked first and alone: what it allows nobody can deny.

Source: compat 6.1-6.3.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tiphys.model.appproject import AppProject
from tiphys.policy.answer import ALLOWED, Answer, denied
from tiphys.policy.glob import compiled_regexp, glob_match

MatchMode = Literal["glob", "regex"]

RESOURCES = (
    "clusters",
    "projects",
    "applications",
    "applicationsets",
    "repositories",
    "write-repositories",
    "certificates",
    "accounts",
    "gpgkeys",
    "logs",
    "exec",
    "extensions",
)
ACTIONS = ("get", "create", "update", "delete", "sync", "rollback", "override", "action", "invoke")
PERMISSION_DENIED = "permission denied"

_MAX_ROLE_DEPTH = 10  # casbin's role manager stops here too
_READONLY = (
    "applications",
    "applicationsets",
    "certificates",
    "clusters",
    "repositories",
    "write-repositories",
    "projects",
    "accounts",
    "gpgkeys",
    "logs",
)
_ADMIN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "applications",
        ("create", "update", "update/*", "delete", "delete/*", "sync", "rollback", "override", "action/*"),
    ),
    ("applicationsets", ("get", "create", "update", "delete")),
    ("certificates", ("create", "update", "delete")),
    ("clusters", ("create", "update", "delete")),
    ("repositories", ("create", "update", "delete")),
    ("write-repositories", ("create", "update", "delete")),
    ("projects", ("create", "update", "delete")),
    ("accounts", ("update",)),
    ("gpgkeys", ("create", "delete")),
    ("exec", ("create",)),
)
_IN_PROJECTS = frozenset(("applications", "applicationsets", "logs", "exec"))


class Rule(NamedTuple):
    """One `p` line."""

    subject: str
    resource: str
    action: str
    object: str
    effect: str  # allow, deny; anything else decides nothing

    def __str__(self) -> str:
        return ", ".join(("p", *self))


Match = Callable[[str, str], bool]  # (pattern, text)


class PolicyError(ValueError):
    """A policy line that cannot be read."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Parsed lines: rules by subject, roles by member."""

    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_Source = tuple[Policy, Match]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks: the user identifier and the values of the group claims. An anonymous one has neither."""

    name: str = ""
    groups: tuple[str, ...] = ()


ANONYMOUS = Subject()


def parse_policy(text: str) -> Policy:
    """Policy lines; blank ones and comments are skipped. Raises PolicyError for the first line that cannot be read."""
    rules: dict[str, list[Rule]] = {}
    roles: dict[str, list[str]] = {}
    for raw in text.split("\n"):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            tokens = next(csv.reader([line], skipinitialspace=True, strict=True))
        except (csv.Error, StopIteration):
            raise PolicyError(f"invalid RBAC policy: {line}") from None
        if tokens[0] == "p" and len(tokens) == 6:
            rule = Rule(*tokens[1:])
            rules.setdefault(rule.subject, []).append(rule)
        elif tokens[0] == "g" and len(tokens) == 3:
            roles.setdefault(tokens[1], []).append(tokens[2])
        else:
            raise PolicyError(f"invalid RBAC policy: {line}")
    return Policy(
        {subject: tuple(found) for subject, found in rules.items()},
        {member: tuple(found) for member, found in roles.items()},
    )


def builtin_policy() -> Policy:
    """role:readonly, role:admin, and admin's membership. Source: compat 6.2."""
    readonly = tuple(
        Rule("role:readonly", resource, "get", "*/*" if resource in _IN_PROJECTS else "*", "allow")
        for resource in _READONLY
    )
    admin = tuple(
        Rule("role:admin", resource, action, "*/*" if resource in _IN_PROJECTS else "*", "allow")
        for resource, actions in _ADMIN
        for action in actions
    )
    return Policy(
        {"role:readonly": readonly, "role:admin": admin},
        {"role:admin": ("role:readonly",), "admin": ("role:admin",)},
    )


def project_policy(project: AppProject) -> Policy:
    """The roles of a project as policy: each may read the project, groups are members. Source: compat 6.3."""
    lines = []
    for role in project.spec.roles:
        subject = f"proj:{project.name}:{role.name}"
        lines.append(f"p, {subject}, projects, get, {project.name}, allow")
        lines.extend(role.policies)
        lines.extend(f'g, "{group}", {subject}' if "," in group else f"g, {group}, {subject}" for group in role.groups)
    return parse_policy("\n".join(lines))


def is_project_subject(name: str) -> bool:
    """`proj:<project>:<role>`: the bearer of a project token."""
    return name.startswith("proj:") and name.count(":") == 2


class RBAC:
    """All policies in force; answers who may do what. Immutable: built anew when settings change.

    The match mode is the user's choice for policies users write; built-in rules are globs always.
    """

    def __init__(
        self, user_policy: Policy | None = None, *, default_role: str = "", match_mode: MatchMode = "glob"
    ) -> None:
        self._match: Match = _regexp_match if match_mode == "regex" else glob_match
        self._sources: tuple[_Source, ...] = ((builtin_policy(), glob_match), (user_policy or Policy(), self._match))
        self._default_role = default_role

    def enforce(
        self, subject: Subject, resource: str, action: str, obj: str, *, project: AppProject | None = None
    ) -> Answer:
        """Whether `subject` may do `action` on `obj` of `resource`; `project` is the one the object is in, if any.

        A project's own roles count only for that project. A project token reaches nothing outside its project.
        """
        return self.permissions(subject, resource, action, project=project).of(obj)

    def permissions(
        self, subject: Subject, resource: str, action: str, *, project: AppProject | None = None
    ) -> Permissions:
        """The same question for many objects: what matches resource and action is found once."""
        sources = self._sources
        if project is not None:
            if is_project_subject(subject.name) and subject.name.split(":")[1] != project.name:
                return Permissions(subject, resource, action, ())
            if project.spec.roles:
                try:
                    sources = (*sources, (project_policy(project), self._match))
                except PolicyError:
                    pass  # a project whose roles cannot be read grants nothing; the rest still counts
        # The default role stands alone and first, so that no rule of the user can take away what it gives.
        names = [self._default_role] if self._default_role else []
        names += [subject.name] if subject.name else []
        # A group counts only where some g line names it.
        names += [group for group in subject.groups if group and any(group in policy.roles for policy, _ in sources)]
        return Permissions(
            subject, resource, action, tuple(_applicable(name, sources, resource, action) for name in names)
        )


class Permissions:
    """What one subject may do with objects of one resource in one way."""

    __slots__ = ("_action", "_resource", "_sets", "_subject")

    def __init__(
        self, subject: Subject, resource: str, action: str, sets: tuple[tuple[tuple[Rule, Match], ...], ...]
    ) -> None:
        self._subject, self._resource, self._action, self._sets = subject, resource, action, sets

    def covers_project(self, project: str) -> bool:
        """Whether every `<project>/...` object is allowed, so that none needs to be asked about. False may still be so."""
        whole = ("*", "*/*", f"{project}/*")
        return any(
            all(rule.effect == "allow" for rule, _ in rules)
            and any(match is glob_match and rule.object in whole for rule, match in rules)
            for rules in self._sets
        )

    def of(self, obj: str) -> Answer:
        """The answer for one object, with the rule that denies it if one does."""
        blocked: Rule | None = None
        for rules in self._sets:
            allowed = False
            for rule, match in rules:
                if match(rule.object, obj):
                    if rule.effect == "deny":
                        blocked, allowed = blocked or rule, False
                        break
                    allowed = allowed or rule.effect == "allow"
            if allowed:
                return ALLOWED
        why = f', denied by "{blocked}"' if blocked else ""
        return denied(f"{PERMISSION_DENIED}: {self._resource}, {self._action}, {obj}, sub: {self._subject.name}{why}")


def _applicable(name: str, sources: Sequence[_Source], resource: str, action: str) -> tuple[tuple[Rule, Match], ...]:
    """Rules of a subject and its roles that match resource and action, each with how its object is matched."""
    return tuple(
        (rule, match)
        for member in _with_roles(name, sources)
        for policy, match in sources
        for rule in policy.rules.get(member, ())
        if match(rule.resource, resource) and match(rule.action, action)
    )


def build_rbac(policy_csv: str, *, default_role: str = "", match_mode: str = "glob") -> tuple[RBAC, str]:
    """(RBAC, problem). A user policy with one bad line counts as none at all; `problem` says which line."""
    mode: MatchMode = "regex" if match_mode == "regex" else "glob"
    try:
        return RBAC(parse_policy(policy_csv), default_role=default_role, match_mode=mode), ""
    except PolicyError as error:
        return RBAC(default_role=default_role, match_mode=mode), str(error)


def _with_roles(name: str, sources: Sequence[_Source]) -> list[str]:
    """A name and every role it has, directly or through roles."""
    found = [name]
    level = found
    for _ in range(_MAX_ROLE_DEPTH):
        level = [
            role
            for member in level
            for policy, _ in sources
            for role in policy.roles.get(member, ())
            if role not in found
        ]
        if not level:
            break
        found.extend(dict.fromkeys(level))
    return found


def _regexp_match(pattern: str, text: str) -> bool:
    regexp = compiled_regexp(pattern)
    return regexp is not None and regexp.search(text) is not None
