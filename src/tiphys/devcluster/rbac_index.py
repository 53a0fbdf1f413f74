"""Who is bound to which role: kept from the store's changes, so that a question walks only what concerns its user.

Source: kubernetes pkg/registry/rbac/validation/rule.go (who a subject is, the words of reasons and errors).
Differs: bindings are asked in the order of their names, where the API server's order is random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.apierrors import go_quote
from tiphys.devcluster.auth import User
from tiphys.devcluster.rbac import Attributes, Rule, read_rules
from tiphys.devcluster.store import Event, Record, Store

GROUP = "rbac.authorization.k8s.io"
CLUSTER_ROLES = f"clusterroles.{GROUP}"
ROLES = f"roles.{GROUP}"
CLUSTER_BINDINGS = f"clusterrolebindings.{GROUP}"
BINDINGS = f"rolebindings.{GROUP}"

_REMEMBERED = 4096  # clients ask the same few questions again and again

Subject = tuple[bool, str]  # (is a group, name)


@dataclass(frozen=True, slots=True)
class _Grant:
    """One binding as one of its subjects sees it."""

    binding: str
    namespace: str
    kind: str  # of the role
    role: str
    shown: str  # the subject as reasons show it

    def __str__(self) -> str:
        where = f"RoleBinding {go_quote(self.binding + '/' + self.namespace)}" if self.namespace else ""
        binding = where or f"ClusterRoleBinding {go_quote(self.binding)}"
        return f"{binding} of {self.kind} {go_quote(self.role)} to {self.shown}"


class RoleIndex:
    """Roles and bindings, by what questions ask for. `start` reads the store and follows it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}  # (namespace, name); ClusterRoles have no namespace
        self._grants: dict[tuple[str, Subject], dict[str, _Grant]] = {}  # (namespace, subject) -> binding -> grant
        self._bound: dict[tuple[str, str], list[Subject]] = {}  # binding -> its subjects
        self._decided: dict[Attributes, tuple[bool, str]] = {}  # since the last change

    def start(self) -> None:
        """Read what is stored, and follow changes from now on."""
        for bucket in (CLUSTER_ROLES, ROLES):
            for record in self._store.scan(bucket):
                self._roles[record.namespace, record.name] = read_rules(record.obj)
            self._store.watch(bucket, self)
        for bucket in (CLUSTER_BINDINGS, BINDINGS):
            for record in self._store.scan(bucket):
                self._bind(record)
            self._store.watch(bucket, self)

    def offer(self, event: Event) -> None:
        """Take over one committed change."""
        self._decided.clear()
        record = event.record
        key = (record.namespace, record.name)
        if event.bucket in (CLUSTER_ROLES, ROLES):
            if event.type == "DELETED":
                self._roles.pop(key, None)
            else:
                self._roles[key] = read_rules(record.obj)
            return
        self._unbind(key)
        if event.type != "DELETED":
            self._bind(record)

    def _bind(self, record: Record) -> None:
        obj = record.obj
        reference = obj.get("roleRef") or {}
        subjects: list[Subject] = []
        for raw in obj.get("subjects") or ():
            found = _subject(raw, record.namespace)
            if found is None:
                continue
            subject, shown = found
            grants = self._grants.setdefault((record.namespace, subject), {})
            grant = _Grant(record.name, record.namespace, str(reference.get("kind")), str(reference.get("name")), shown)
            grants.setdefault(record.name, grant)
            subjects.append(subject)
        self._bound[record.namespace, record.name] = subjects

    def _unbind(self, key: tuple[str, str]) -> None:
        namespace, name = key
        for subject in self._bound.pop(key, ()):
            grants = self._grants.get((namespace, subject))
            if grants is not None:
                grants.pop(name, None)
                if not grants:
                    del self._grants[namespace, subject]

    def _grants_of(self, user: User, namespace: str) -> Iterator[_Grant]:
        found: dict[str, _Grant] = dict(self._grants.get((namespace, (False, user.name)), ()))
        for group in user.groups:
            for name, grant in self._grants.get((namespace, (True, group)), {}).items():
                found.setdefault(name, grant)
        for name in sorted(found) if len(found) > 1 else found:
            yield found[name]

    def role(self, kind: str, name: str, namespace: str) -> tuple[Rule, ...] | None:
        """The rules of the role a binding in `namespace` names, None when it is not there."""
        return self._roles.get((namespace if kind == "Role" else "", name))

    def visit(self, user: User, namespace: str, errors: list[str]) -> Iterator[tuple[_Grant, tuple[Rule, ...]]]:
        """Everything bound to a user, cluster-wide and in a namespace; roles that are not there go to `errors`."""
        for where in ("", namespace) if namespace else ("",):
            for grant in self._grants_of(user, where):
                rules = self.role(grant.kind, grant.role, where)
                if rules is None:
                    errors.append(missing_role(grant.kind, grant.role))
                else:
                    yield grant, rules

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """(allowed, why), as an access review says it."""
        known = self._decided.get(asked)
        if known is None:
            known = self._decide(asked)
            if len(self._decided) > _REMEMBERED:
                self._decided.clear()
            self._decided[asked] = known
        return known

    def _decide(self, asked: Attributes) -> tuple[bool, str]:
        combined = asked.combined
        errors: list[str] = []
        for grant, rules in self.visit(asked.user, asked.namespace, errors):
            for rule in rules:
                if rule.allows(asked, combined):
                    return True, f"RBAC: allowed by {grant}"
        return False, f"RBAC: {aggregate(errors)}" if errors else ""

    def rules_of(self, user: User, namespace: str) -> tuple[list[Rule], list[str]]:
        """All rules a user has in a namespace, and what could not be resolved."""
        errors: list[str] = []
        return [rule for _, rules in self.visit(user, namespace, errors) for rule in rules], errors


def missing_role(kind: str, name: str) -> str:
    """What is said about a role that is bound and not there."""
    return f"{kind.lower()}.{GROUP} {go_quote(name)} not found"


def aggregate(errors: list[str]) -> str:
    """Several errors as one text. Source: apimachinery pkg/util/errors aggregate.Error."""
    distinct = list(dict.fromkeys(errors))
    return distinct[0] if len(distinct) == 1 else "[" + ", ".join(distinct) + "]"


def _subject(raw: Mapping[str, Any], namespace: str) -> tuple[Subject, str] | None:
    """(who is meant, how reasons show it); None for what means nobody."""
    kind, name = raw.get("kind"), str(raw.get("name") or "")
    if kind in ("User", "Group"):
        return (kind == "Group", name), f"{kind} {go_quote(name)}"
    if kind == "ServiceAccount":
        where = str(raw.get("namespace") or namespace)
        if where:
            return (False, f"system:serviceaccount:{where}:{name}"), f"{kind} {go_quote(f'{name}/{where}')}"
    return None
