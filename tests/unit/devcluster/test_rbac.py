"""Rules, bindings and the gate: who may do what, and what nobody may give away."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tiphys.apimachinery.apierrors import BadRequest, Forbidden
from tiphys.devcluster.auth import ADMIN, ANONYMOUS, User
from tiphys.devcluster.negotiation import Query
from tiphys.devcluster.rbac import Attributes, Rule, missing
from tiphys.devcluster.rbac_gate import ALLOW_ALL_REASON, Gate, attributes_of
from tiphys.devcluster.rbac_index import BINDINGS, CLUSTER_BINDINGS, CLUSTER_ROLES, ROLES
from tiphys.devcluster.routes import parse_object_path
from tiphys.devcluster.store import Store

ALICE = User("alice", "", ("devs", "system:authenticated"))
ROBOT = User("system:serviceaccount:a:robot", "", ("system:serviceaccounts", "system:authenticated"))
PODS = [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]


def put(store: Store, bucket: str, namespace: str, name: str, **rest: Any) -> None:
    store.put(bucket, f"{namespace}/{name}", {"metadata": {"name": name, "namespace": namespace}, **rest})


def bind(store: Store, namespace: str, name: str, kind: str, role: str, *subjects: dict[str, str]) -> None:
    bucket = BINDINGS if namespace else CLUSTER_BINDINGS
    put(store, bucket, namespace, name, roleRef={"kind": kind, "name": role}, subjects=list(subjects))


def gate(store: Store) -> Gate:
    made = Gate(store)
    made.start()
    return made


def asks(user: User, verb: str = "get", namespace: str = "a", **more: Any) -> Attributes:
    return Attributes(user, verb, resource="pods", namespace=namespace, **more)


def test_a_binding_in_a_namespace_allows_only_there() -> None:
    store = Store()
    put(store, ROLES, "a", "reader", rules=PODS)
    bind(store, "a", "b", "Role", "reader", {"kind": "User", "name": "alice"})
    judge = gate(store)

    assert judge.decide(asks(ALICE)) == (True, 'RBAC: allowed by RoleBinding "b/a" of Role "reader" to User "alice"')
    assert judge.decide(asks(ALICE, namespace="b")) == (False, "")
    assert judge.decide(asks(ALICE, namespace="")) == (False, "")
    assert judge.decide(asks(ALICE, "delete")) == (False, "")
    assert judge.decide(asks(ROBOT)) == (False, "")


def test_changes_of_roles_and_bindings_count_at_once() -> None:
    store = Store()
    judge = gate(store)
    bind(store, "", "b", "ClusterRole", "reader", {"kind": "Group", "name": "devs"})
    assert judge.decide(asks(ALICE)) == (
        False,
        'RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found',
    )
    put(store, CLUSTER_ROLES, "", "reader", rules=PODS)
    assert judge.decide(asks(ALICE))[0]
    put(store, CLUSTER_ROLES, "", "reader", rules=[])
    assert not judge.decide(asks(ALICE))[0]
    put(store, CLUSTER_ROLES, "", "reader", rules=PODS)
    bind(store, "", "b", "ClusterRole", "reader", {"kind": "User", "name": "bob"})
    assert judge.decide(asks(ALICE)) == (False, "")
    bind(store, "", "b", "ClusterRole", "reader", {"kind": "Group", "name": "devs"})
    store.remove(CLUSTER_BINDINGS, "/b")
    assert judge.decide(asks(ALICE)) == (False, "")


def test_service_accounts_of_a_role_binding_are_those_of_its_namespace_unless_it_says_another() -> None:
    store = Store()
    put(store, CLUSTER_ROLES, "", "reader", rules=PODS)
    bind(store, "a", "here", "ClusterRole", "reader", {"kind": "ServiceAccount", "name": "robot"})
    bind(store, "b", "there", "ClusterRole", "reader", {"kind": "ServiceAccount", "name": "robot", "namespace": "a"})
    bind(store, "", "nobody", "ClusterRole", "reader", {"kind": "ServiceAccount", "name": "robot"})
    judge = gate(store)

    assert judge.decide(asks(ROBOT))[1].endswith('to ServiceAccount "robot/a"')
    assert judge.decide(asks(ROBOT, namespace="b"))[0]
    assert not judge.decide(asks(ROBOT, namespace="c"))[0]


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        (Rule(["get"], [""], ["pods"]), asks(ALICE), True),
        (Rule(["get"], [""], ["pods"]), asks(ALICE, subresource="log"), False),
        (Rule(["get"], [""], ["pods/log"]), asks(ALICE, subresource="log"), True),
        (Rule(["get"], [""], ["*/log"]), asks(ALICE, subresource="log"), True),
        (Rule(["get"], [""], ["*/log"]), asks(ALICE), False),
        (Rule(["get"], [""], ["*"]), asks(ALICE, subresource="log"), True),
        (Rule(["*"], ["*"], ["*"]), asks(ALICE, "impersonate", group="x"), True),
        (Rule(["get"], ["apps"], ["pods"]), asks(ALICE), False),
        (Rule(["get"], [""], ["pods"], ["x"]), asks(ALICE, name="x"), True),
        (Rule(["get"], [""], ["pods"], ["x"]), asks(ALICE, name="y"), False),
        (Rule(["get"], [""], ["pods"], ["x"]), asks(ALICE), False),
        (Rule(["*"], ["*"], ["*"]), Attributes(ALICE, "get", path="/x", on_path=True), False),
        (Rule(["get"], urls=["/x/*"]), Attributes(ALICE, "get", path="/x/y", on_path=True), True),
        (Rule(["get"], urls=["/x/*"]), Attributes(ALICE, "get", path="/x", on_path=True), False),
        (Rule(["get"], urls=["*"]), Attributes(ALICE, "get", path="/x", on_path=True), True),
    ],
)
def test_what_a_rule_allows(rule: Rule, asked: Attributes, allowed: bool) -> None:
    assert rule.allows(asked, asked.combined) is allowed


def test_what_is_missing_is_told_thing_by_thing() -> None:
    held = [Rule(["get", "list"], [""], ["pods"]), Rule(["*"], ["apps"], ["*/scale"]), Rule(["get"], urls=["/x*"])]
    wanted = [
        Rule(["get", "delete", "patch"], ["", "apps"], ["pods", "deployments/scale"]),
        Rule(["get", "post"], urls=["/x/y"]),
        Rule(["get"], [""], ["pods"], ["one"]),
    ]
    assert sorted(str(one) for one in missing(held, wanted)) == [
        '{APIGroups:[""], Resources:["deployments/scale"], Verbs:["get" "delete" "patch"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "patch"]}',
        '{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "delete" "patch"]}',
        '{NonResourceURLs:["/x/y"], Verbs:["post"]}',
    ]


def test_a_refusal_names_user_verb_thing_and_place() -> None:
    judge = gate(Store())
    with pytest.raises(Forbidden) as caught:
        judge.check(asks(ALICE, "list"))
    assert caught.value.message == (
        'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "a"'
    )
    with pytest.raises(Forbidden, match=r'^forbidden: User "system:anonymous" cannot get path "/api"$'):
        judge.check(Attributes(ANONYMOUS, "get", path="/api", on_path=True))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "pods", "", "", "")),
        ("GET", "/api/v1/pods?watch=true", ("watch", "", "pods", "", "", "")),
        ("GET", "/api/v1/pods?fieldSelector=a=b,metadata.name%3D%3Dx", ("list", "", "pods", "", "", "x")),
        ("HEAD", "/api/v1/namespaces/a/pods/x/log", ("get", "", "pods", "log", "a", "x")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", ("deletecollection", "apps", "deployments", "", "a", "")),
        ("PATCH", "/api/v1/namespaces/a", ("patch", "", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "namespaces", "finalize", "a", "a")),
        ("POST", "/api/v1/namespaces", ("create", "", "namespaces", "", "", "")),
    ],
)
def test_requests_ask_for_what_the_api_server_says_they_do(method: str, path: str, expected: tuple[str, ...]) -> None:
    path, _, query = path.partition("?")
    found = attributes_of(ALICE, method, path, parse_object_path(path), Query(query.encode()))
    assert (found.verb, found.group, found.resource, found.subresource, found.namespace, found.name) == expected


def test_impersonation_is_judged_part_by_part() -> None:
    store = Store()
    rules = [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"]}]
    put(store, CLUSTER_ROLES, "", "actor", rules=rules)
    bind(store, "", "b", "ClusterRole", "actor", {"kind": "User", "name": "alice"})
    judge = gate(store)
    bob = (b"impersonate-user", b"bob")

    assert judge.act_as(ALICE, [bob]) == User("bob", "", ("system:authenticated",))
    with pytest.raises(Forbidden, match='groups "x" is forbidden'):
        judge.act_as(ALICE, [bob, (b"impersonate-group", b"x")])
    with pytest.raises(BadRequest, match="without impersonating a user name"):
        judge.act_as(ADMIN, [(b"impersonate-group", b"x")])
    extra = [bob, (b"impersonate-extra-a%2fb", b"1"), (b"impersonate-extra-a%2fb", b"2"), (b"impersonate-uid", b"u")]
    assert judge.act_as(ADMIN, extra) == User("bob", "u", ("system:authenticated",), (("a/b", ("1", "2")),))
    account = judge.act_as(ADMIN, [(b"impersonate-user", b"system:serviceaccount:a:robot")])
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")
    assert judge.act_as(ADMIN, [(b"impersonate-user", b"system:anonymous")]).groups == ("system:unauthenticated",)


def test_a_role_may_not_hold_more_than_its_writer_has() -> None:
    store = Store()
    put(store, CLUSTER_ROLES, "", "reader", rules=PODS)
    bind(store, "", "b", "ClusterRole", "reader", {"kind": "User", "name": "alice"})
    judge = gate(store)
    where = parse_object_path("/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles")
    assert where is not None
    guard = judge.guard(ALICE, where)
    assert guard is not None
    guard({"metadata": {"name": "r"}, "rules": PODS}, None)
    more = {"metadata": {"name": "r"}, "rules": [{**PODS[0], "verbs": ["get", "delete"]}]}
    with pytest.raises(Forbidden) as caught:
        guard(more, None)
    assert caught.value.message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "alice" (groups=["devs" "system:authenticated"])'
        " is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}'
    )
    guard({**more, "metadata": {"name": "r", "finalizers": []}}, more)
    assert judge.guard(ADMIN, where) is None


def test_allow_all_says_so_and_asks_nobody() -> None:
    judge = Gate(Store(), "allow-all")
    assert judge.decide(asks(ANONYMOUS)) == (True, ALLOW_ALL_REASON)
    assert not judge.admits_anonymous


def test_a_question_costs_microseconds_however_many_bindings_there_are() -> None:
    store = Store()
    put(store, CLUSTER_ROLES, "", "reader", rules=PODS)
    for index in range(2000):
        bind(store, f"n{index}", "b", "ClusterRole", "reader", {"kind": "User", "name": f"user-{index}"})
    judge = gate(store)
    user = User("user-1000", "", ("system:authenticated",))
    start = time.perf_counter()
    for _ in range(2000):
        assert judge.decide(asks(user, namespace="n1000"))[0]
    assert (time.perf_counter() - start) / 2000 < 500e-6
