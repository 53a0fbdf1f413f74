"""Rules of roles: which requests one allows, and whether some rules hold everything others do.

Source: kubernetes pkg/apis/rbac/v1/evaluation_helpers.go, pkg/registry/rbac/validation;
component-helpers auth/rbac/validation/policy_comparator.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.apierrors import go_quote
from tiphys.devcluster.auth import User

ALL = "*"


@dataclass(frozen=True, slots=True)
class Attributes:
    """One question: may `user` do `verb` to a resource, or, with `on_path`, to a path that is no resource?"""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    on_path: bool = False

    @property
    def combined(self) -> str:
        """`pods`, or `pods/log` of a subresource."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def refusal(self) -> str:
        """What the user is told: `User "x" cannot list resource "pods" in API group "" in the namespace "y"`."""
        who = f"User {go_quote(self.user.name)} cannot {self.verb}"
        if self.on_path:
            said = f"{who} path {go_quote(self.path)}"
        else:
            said = f"{who} resource {go_quote(self.combined)} in API group {go_quote(self.group)}"
            said += f" in the namespace {go_quote(self.namespace)}" if self.namespace else " at the cluster scope"
        return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Rule:
    """One PolicyRule, read once and asked often."""

    __slots__ = ("groups", "names", "resources", "urls", "verbs")

    def __init__(
        self,
        verbs: Sequence[str] = (),
        groups: Sequence[str] = (),
        resources: Sequence[str] = (),
        names: Sequence[str] = (),
        urls: Sequence[str] = (),
    ) -> None:
        self.verbs = tuple(verbs)
        self.groups = tuple(groups)
        self.resources = tuple(resources)
        self.names = tuple(names)
        self.urls = tuple(urls)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Rule:
        """The rule in a role's `rules`."""
        return cls(
            raw.get("verbs") or (),
            raw.get("apiGroups") or (),
            raw.get("resources") or (),
            raw.get("resourceNames") or (),
            raw.get("nonResourceURLs") or (),
        )

    def allows(self, asked: Attributes, combined: str) -> bool:
        """Whether it allows a request; `combined` is `asked.combined`, computed once for many rules."""
        if asked.verb not in self.verbs and ALL not in self.verbs:
            return False
        if asked.on_path:
            return any(_url_covers(url, asked.path) for url in self.urls)
        if asked.group not in self.groups and ALL not in self.groups:
            return False
        on_resource = combined in self.resources or ALL in self.resources
        if not on_resource and asked.subresource:
            on_resource = "*/" + asked.subresource in self.resources
        if not on_resource:
            return False
        return not self.names or asked.name in self.names

    def atoms(self) -> Iterator[Rule]:
        """The rule taken apart into rules of one verb on one thing, in order."""
        for group in self.groups:
            for resource in self.resources:
                for verb in self.verbs:
                    if not self.names:
                        yield Rule((verb,), (group,), (resource,))
                    for name in self.names:
                        yield Rule((verb,), (group,), (resource,), (name,))
        for url in self.urls:
            for verb in self.verbs:
                yield Rule((verb,), urls=(url,))

    def covers(self, atom: Rule) -> bool:
        """Whether it allows all that an atom allows."""
        if ALL not in self.verbs and atom.verbs[0] not in self.verbs:
            return False
        if atom.urls:
            return any(_url_covers(url, atom.urls[0]) for url in self.urls)
        if ALL not in self.groups and atom.groups[0] not in self.groups:
            return False
        resource = atom.resources[0]
        if ALL not in self.resources and resource not in self.resources:
            _, slash, subresource = resource.partition("/")
            if not slash or "*/" + subresource not in self.resources:
                return False
        if not atom.names:
            return not self.names
        return not self.names or atom.names[0] in self.names

    def __str__(self) -> str:
        """As messages about missing permissions show it."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted(values)}" for name, values in parts if values) + "}"


def _url_covers(rule: str, path: str) -> bool:
    return rule in (ALL, path) or (rule.endswith("*") and path.startswith(rule.rstrip("*")))


def quoted(values: Iterable[str]) -> str:
    """A list as Go's %q prints it: `["a" "b"]`."""
    return "[" + " ".join(go_quote(one) for one in values) + "]"


def read_rules(role: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of a Role or ClusterRole."""
    return tuple(Rule.read(one) for one in role.get("rules") or ())


def missing(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What is in `wanted` and in none of `held`; verbs on the same thing are put together."""
    lacking = [atom for rule in wanted for atom in rule.atoms() if not any(one.covers(atom) for one in held)]
    verbs: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for atom in lacking:
        if not atom.urls:
            verbs.setdefault((atom.groups, atom.resources, atom.names), []).append(atom.verbs[0])
    found = [atom for atom in lacking if atom.urls]
    found += [Rule(tuple(one), groups, things, names) for (groups, things, names), one in verbs.items()]
    return found


FULL_AUTHORITY = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), urls=(ALL,)))
"""Everything there is: what cluster-admin may do."""
