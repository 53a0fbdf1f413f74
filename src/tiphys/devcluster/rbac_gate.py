"""The gate every request passes: as whom it is made, what it asks for, and whether that is allowed.

Source: apiserver pkg/endpoints/{request/requestinfo.go,filters/{authorization,impersonation}}, responsewriters/errors.go;
kubernetes pkg/registry/rbac/{escalation_check.go,*/policybased}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import unquote

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import BadRequest, Forbidden, go_quote
from tiphys.devcluster.auth import ANONYMOUS, AUTHENTICATED, MASTERS, UNAUTHENTICATED, User
from tiphys.devcluster.negotiation import Query
from tiphys.devcluster.rbac import FULL_AUTHORITY, Attributes, Rule, missing, quoted, read_rules
from tiphys.devcluster.rbac_index import GROUP, RoleIndex, aggregate
from tiphys.devcluster.routes import ObjectPath
from tiphys.devcluster.store import Store

Object = dict[str, Any]
Mode = Literal["rbac", "allow-all"]
Guard = Callable[[Object, Object | None], None]

ALLOW_ALL_REASON = "embedded cluster: every request is allowed, as --authorization=allow-all asks"

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_EXTRA = b"impersonate-extra-"
_NODE = "system:node:"
_LEGACY = "legacy"
_REMEMBERED = 1024
AUTHENTICATION = "authentication.k8s.io"


class Gate:
    """Answers whether requests are allowed, from the roles and bindings in the store."""

    def __init__(self, store: Store, mode: Mode = "rbac") -> None:
        self.mode: Mode = mode
        self._index = RoleIndex(store)
        self._last_mode: dict[str, str] = {}  # of impersonation, by the name of who impersonates

    def start(self) -> None:
        """Read roles and bindings and follow their changes."""
        self._index.start()

    @property
    def admits_anonymous(self) -> bool:
        """Whether requests without credentials are judged at all, rather than refused with 401."""
        return self.mode == "rbac"

    # ---- questions ----

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """(allowed, why), as access reviews say it."""
        if self.mode == "allow-all":
            return True, ALLOW_ALL_REASON
        if MASTERS in asked.user.groups:
            return True, ""
        return self._index.decide(asked)

    def check(self, asked: Attributes) -> None:
        """Raises Forbidden with the API server's sentence when the answer is no."""
        allowed, why = self.decide(asked)
        if not allowed:
            said = asked.refusal()
            raise apierrors.forbidden(asked.resource, asked.group, asked.name, f"{said}: {why}" if why else said)

    def admit(self, user: User, method: str, path: str, where: ObjectPath | None, query: Query) -> None:
        """Let a request pass. Raises Forbidden."""
        if self.mode == "allow-all" or MASTERS in user.groups:
            return
        self.check(attributes_of(user, method, path, where, query))

    def rules_of(self, user: User, namespace: str) -> tuple[list[Rule], str]:
        """Everything a user may do in a namespace, and what could not be resolved."""
        if self.mode == "allow-all":
            return list(FULL_AUTHORITY), ""
        rules, errors = self._index.rules_of(user, namespace)
        return rules, aggregate(errors) if errors else ""

    # ---- impersonation ----

    def act_as(
        self, user: User, headers: Iterable[tuple[bytes, bytes]], request: Callable[[], Attributes] | None = None
    ) -> User:
        """The user a request is made as: `user`, or whom its Impersonate headers name. Raises Forbidden, BadRequest.

        `request` gives what `user` asks for: who may impersonate for some requests only is judged by it.
        """
        name, uid = "", ""
        groups: list[str] = []
        extra: dict[str, list[str]] = {}
        for raw, raw_value in headers:
            if not raw.startswith(b"impersonate-"):
                continue
            value = raw_value.decode("utf-8", "replace")
            if raw == b"impersonate-user":
                name = name or value
            elif raw == b"impersonate-uid":
                uid = uid or value
            elif raw == b"impersonate-group":
                groups.append(value)
            elif raw.startswith(_EXTRA):
                extra.setdefault(unquote(raw[len(_EXTRA) :].decode("latin-1").lower()), []).append(value)
        if not name:
            if groups or extra or uid:
                raise BadRequest(_without_user(groups, extra, uid))
            return user
        wanted = User(name, uid, tuple(groups), tuple((key, tuple(values)) for key, values in sorted(extra.items())))
        return self._act(user, wanted, request)

    def _act(self, user: User, wanted: User, request: Callable[[], Attributes] | None) -> User:
        """Try what worked last for this user first; of two refusals the first is told."""
        mode = _mode_of(wanted) if request is not None else ""
        modes = [mode, _LEGACY] if mode else [_LEGACY]
        if self._last_mode.get(user.name) == _LEGACY:
            modes.reverse()
        refused: Forbidden | None = None
        for one in modes:
            try:
                for asked in _asked_for(user, wanted, one, request):
                    self.check(asked)
            except Forbidden as exc:
                refused = refused or exc
                continue
            if len(self._last_mode) > _REMEMBERED:
                self._last_mode.clear()
            self._last_mode[user.name] = one
            return _completed(wanted, nodes=one == "arbitrary-node")
        assert refused is not None
        raise refused

    # ---- who writes roles may not give away what he does not have ----

    def guard(self, user: User, where: ObjectPath) -> Guard | None:
        """What writes of roles and bindings have to pass, called with (new, live); None when nothing is checked."""
        if self.mode == "allow-all" or MASTERS in user.groups:
            return None
        if (where.plural, where.subresource) == ("certificatesigningrequests", "approval"):
            return lambda new, live: self._check_signer(user, where, live or new)
        if where.group != GROUP:
            return None
        if where.plural in ("roles", "clusterroles"):
            asked = Attributes(user, "escalate", GROUP, where.plural, "", where.namespace, where.name)
            if self.decide(asked)[0]:
                return None
            return lambda new, live: self._check_role(user, where, new, live)
        return lambda new, live: self._check_binding(user, where, new, live)

    def _check_signer(self, user: User, where: ObjectPath, request: Object) -> None:
        """Who approves has to be allowed to approve for that signer, or for all of its domain."""
        signer = str((request.get("spec") or {}).get("signerName") or "")
        names = (signer, f"{signer.partition('/')[0]}/*")
        if not any(self.decide(Attributes(user, "approve", where.group, "signers", "", "", one))[0] for one in names):
            why = f"user not permitted to approve requests with signerName {go_quote(signer)}"
            raise apierrors.forbidden(where.plural, where.group, where.name, why)

    def _check_role(self, user: User, where: ObjectPath, new: Object, live: Object | None) -> None:
        if live is not None and _same_but_owners(new, live):
            return
        name = str(new["metadata"].get("name") or "")
        self._check_held(user, where, name, read_rules(new))
        if where.plural == "clusterroles" and (_aggregates(new) or (live is not None and _aggregates(live))):
            try:
                self._check_held(user, where, name, FULL_AUTHORITY)
            except Forbidden:
                why = "must have cluster-admin privileges to use the aggregationRule"
                raise apierrors.forbidden(where.plural, GROUP, name, why) from None

    def _check_binding(self, user: User, where: ObjectPath, new: Object, live: Object | None) -> None:
        if live is not None and _same_but_owners(new, live):
            return
        reference = new.get("roleRef") or {}
        kind, role = str(reference.get("kind") or ""), str(reference.get("name") or "")
        if kind in ("Role", "ClusterRole"):
            group = str(reference.get("apiGroup") or "")
            if self.decide(Attributes(user, "bind", group, kind.lower() + "s", "", where.namespace, role))[0]:
                return
        rules = self._index.role(kind, role, where.namespace)
        if rules is None:
            raise apierrors.not_found(where.plural, GROUP, role)
        self._check_held(user, where, str(new["metadata"].get("name") or ""), rules)

    def _check_held(self, user: User, where: ObjectPath, name: str, rules: Iterable[Rule]) -> None:
        held, errors = self._index.rules_of(user, where.namespace)
        lacking = missing(held, rules)
        if not lacking:
            return
        lines = "\n".join(sorted({str(rule) for rule in lacking}))
        why = (
            f"user {go_quote(user.name)} (groups={quoted(user.groups)}) is attempting to grant RBAC permissions not"
            f" currently held:\n{lines}"
        )
        if errors:
            why += f"; resolution errors: [{aggregate(errors)}]"
        raise apierrors.forbidden(where.plural, GROUP, name, why)


def attributes_of(user: User, method: str, path: str, where: ObjectPath | None, query: Query) -> Attributes:
    """What a request asks for."""
    if where is None:
        return Attributes(user, method.lower(), path=path, on_path=True)
    namespace, name = where.namespace, where.name
    if where.plural == "namespaces" and not where.group and not namespace:
        namespace = name  # a Namespace is in itself
    verb = _VERBS.get(method, "")
    if not name:
        if verb == "get":
            verb = "watch" if query.flag("watch") else "list"
            if "fieldSelector" in query:
                name = _selected_name(query.text("fieldSelector"))
        elif verb == "delete":
            verb = "deletecollection"
    return Attributes(user, verb, where.group, where.plural, where.subresource, namespace, name)


def _selected_name(selector: str) -> str:
    """The name a field selector asks for, if it does."""
    for term in selector.split(","):
        key, equals, value = term.partition("=")
        if equals and key == "metadata.name":
            return value.removeprefix("=")
    return ""


def _account_of(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name."""
    parts = name.split(":")
    if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"] and parts[2] and parts[3]:
        return parts[2], parts[3]
    return None


def _mode_of(wanted: User) -> str:
    """The mode of constrained impersonation that fits; none for accounts and nodes with more than a name."""
    account, node = _account_of(wanted.name), wanted.name.startswith(_NODE)
    if account is None and not node:
        return "user-info"
    if wanted.groups or wanted.uid or wanted.extra:
        return ""
    return "serviceaccount" if account is not None else "arbitrary-node"


def _asked_for(user: User, wanted: User, mode: str, request: Callable[[], Attributes] | None) -> Iterable[Attributes]:
    if mode == _LEGACY:
        yield from _impersonations(user, wanted, "impersonate", "")
    elif request is not None:
        asked = request()
        yield replace(asked, verb=f"impersonate-on:{mode}:{asked.verb}")
        yield from _impersonations(user, wanted, f"impersonate:{mode}", AUTHENTICATION)


def _completed(wanted: User, *, nodes: bool) -> User:
    """The user with the groups that go without saying."""
    groups, account = wanted.groups, _account_of(wanted.name)
    if nodes:
        groups = ("system:nodes",)
    elif account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if wanted.name == ANONYMOUS.name:
        groups = groups if UNAUTHENTICATED in groups else (*groups, UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return replace(wanted, groups=groups)


def _impersonations(user: User, wanted: User, verb: str, group: str) -> Iterable[Attributes]:
    """What has to be allowed: every part of the wanted user. `group` is the one of users and groups."""
    account = _account_of(wanted.name)
    if account is not None:
        yield Attributes(user, verb, group, "serviceaccounts", "", account[0], account[1])
    elif group and wanted.name.startswith(_NODE):
        yield Attributes(user, verb, group, "nodes", "", "", wanted.name.removeprefix(_NODE))
    else:
        yield Attributes(user, verb, group, "users", "", "", wanted.name)
    if wanted.uid:
        yield Attributes(user, verb, AUTHENTICATION, "uids", "", "", wanted.uid)
    for one in wanted.groups:
        yield Attributes(user, verb, group, "groups", "", "", one)
    for key, values in wanted.extra:
        for value in values:
            yield Attributes(user, verb, AUTHENTICATION, "userextras", key, "", value)


def _without_user(groups: Iterable[str], extra: Mapping[str, Iterable[str]], uid: str) -> str:
    """The API server prints the user in Go's notation."""
    shown_groups = _go_strings(groups) if groups else "[]string(nil)"
    pairs = ", ".join(f"{go_quote(key)}:{_go_strings(values)}" for key, values in sorted(extra.items()))
    shown_extra = f"map[string][]string{{{pairs}}}" if extra else "map[string][]string(nil)"
    shown = f'&user.DefaultInfo{{Name:"", UID:{go_quote(uid)}, Groups:{shown_groups}, Extra:{shown_extra}}}'
    return f"requested {shown} without impersonating a user name"


def _go_strings(values: Iterable[str]) -> str:
    return "[]string{" + ", ".join(go_quote(one) for one in values) + "}"


def _same_but_owners(new: Object, live: Object) -> bool:
    """Only what garbage collection needs has changed."""
    ignored = ("ownerReferences", "finalizers", "managedFields")

    def rest(obj: Object) -> Object:
        return {**obj, "metadata": {key: one for key, one in obj["metadata"].items() if key not in ignored}}

    return rest(new) == rest(live)


def _aggregates(role: Object) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))
