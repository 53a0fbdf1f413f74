"""The same questions of the same users to the embedded cluster and to a real kube-apiserver: the answers are the same.

Refusals are compared to the letter; of what is allowed, the code (reviews: the whole answer). Users come by impersonation, by
tokens of service accounts, by tokens in Secrets, by client certificates, and without credentials.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.realcluster import build
from tests.realcluster.cluster import running
from tests.support.embedded import embedded

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"

Rules = list[dict[str, Any]]


@dataclass
class Server:
    """One of the two, as its administrator; `sign` makes a client certificate (name, groups) and returns its files."""

    host: str
    authority: str
    token: str
    admin_chain: tuple[str, str] | None
    sign: Callable[[str, Sequence[str]], tuple[str, str]]
    tokens: dict[str, str] = field(default_factory=dict)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        chain: tuple[str, str] | None = None,
        token: str | None = None,
        anonymous: bool = False,
        kind: str = "application/json",
    ) -> tuple[int, Any]:
        """(code, body) of one request on a connection of its own."""
        context = ssl.create_default_context(cafile=self.authority)
        credentials: list[tuple[str, str]] = []
        if chain is not None:
            context.load_cert_chain(*chain)
        elif token is not None:
            credentials = [("Authorization", f"Bearer {token}")]
        elif not anonymous and self.admin_chain is not None:
            context.load_cert_chain(*self.admin_chain)
        elif not anonymous:
            credentials = [("Authorization", f"Bearer {self.token}")]
        connection = http.client.HTTPSConnection(self.host, context=context, timeout=30)
        sent = None if body is None else json.dumps(body).encode()
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        connection.putrequest(method, path)
        for name, value in [("Accept", "application/json"), *credentials, *pairs]:
            connection.putheader(name, value)
        if sent is not None:
            connection.putheader("Content-Type", kind)
            connection.putheader("Content-Length", str(len(sent)))
        connection.endheaders(sent)
        try:
            answer = connection.getresponse()
            text = answer.read().decode()
            if "json" in (answer.headers.get("Content-Type") or ""):
                return answer.status, text if "watch=" in path and answer.status == 200 else json.loads(text)
            return answer.status, text
        finally:
            connection.close()


@dataclass(frozen=True)
class Who:
    """A user, by impersonation."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Impersonate headers."""
        return [("Impersonate-User", self.name), *(("Impersonate-Group", one) for one in self.groups)]

    @property
    def all_groups(self) -> list[str]:
        """Groups as an access review of the user names them."""
        return [*self.groups, "system:authenticated"]


def rule(groups: str, resources: str, verbs: str, names: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiGroups": groups.split(","),
        "resources": resources.split(","),
        "verbs": verbs.split(","),
    }
    return {**made, "resourceNames": names.split(",")} if names else made


def urls(paths: str, verbs: str = "get") -> dict[str, Any]:
    return {"nonResourceURLs": paths.split(","), "verbs": verbs.split(",")}


def role(name: str, rules: Rules, namespace: str = "", **more: Any) -> tuple[str, dict[str, Any]]:
    path = f"{RBAC}/namespaces/{namespace}/roles" if namespace else f"{RBAC}/clusterroles"
    labels = more.pop("labels", None)
    metadata = {"name": name, "labels": labels} if labels else {"name": name}
    kind = "Role" if namespace else "ClusterRole"
    return path, {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "rules": rules, **more}


def binding(
    name: str, of: str, to: Sequence[tuple[str, str]], namespace: str = "", kind: str = "ClusterRole"
) -> tuple[str, dict[str, Any]]:
    path = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
    subjects = []
    for what, who in to:
        if what == "ServiceAccount":
            where, _, account = who.rpartition("/")
            subjects.append({"kind": what, "name": account, **({"namespace": where} if where else {})})
        else:
            subjects.append({"kind": what, "name": who, "apiGroup": GROUP})
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": of},
        "subjects": subjects,
    }
    return path, body


WORLD: list[tuple[str, dict[str, Any]]] = [
    *(("/api/v1/namespaces", {"metadata": {"name": name}}) for name in ("a", "b")),
    ("/api/v1/namespaces/a/serviceaccounts", {"metadata": {"name": "robot"}}),
    ("/api/v1/namespaces/a/configmaps", {"metadata": {"name": "one"}}),
    ("/api/v1/namespaces/a/configmaps", {"metadata": {"name": "two"}}),
    role("pods", [rule("", "pods,pods/log", "get,list,watch")], "a"),
    binding("alice", "pods", [("User", "alice")], "a", "Role"),
    binding("bob", "view", [("User", "bob")]),
    binding("carol", "edit", [("User", "carol")], "a"),
    role("one", [rule("", "configmaps", "get,update,list,watch,delete", "one")], "a"),
    binding("dave", "one", [("User", "dave")], "a", "Role"),
    binding("devs", "admin", [("Group", "devs")], "b"),
    role("urls", [urls("/healthz/*,/metrics,/logs*"), urls("/api", "*")]),
    binding("frank", "urls", [("User", "frank")]),
    binding("robot", "pods", [("ServiceAccount", "robot")], "a", "Role"),
    binding("robots", "view", [("Group", "system:serviceaccounts:a")], "b"),
    role("scales", [rule("*", "*/scale", "get,update"), rule("apps", "deployments/status", "patch")]),
    binding("grace", "scales", [("User", "grace")]),
    role("most", [rule("*", "*", "get"), rule("apps", "*", "*")]),
    binding("heidi", "most", [("User", "heidi")]),
    binding("gone", "no-such-role", [("User", "ivan")]),
    binding("gone-too", "no-such-role-either", [("User", "ivan")], "a", "Role"),
    role(
        "granter",
        [
            rule(
                GROUP,
                "roles,rolebindings,clusterroles,clusterrolebindings",
                "*".replace("*", "create,update,patch,get"),
            ),
            rule(GROUP, "clusterroles", "bind", "view"),
            rule("", "configmaps", "get"),
        ],
    ),
    binding("judy", "granter", [("User", "judy")]),
    role("escalator", [rule(GROUP, "roles,clusterroles", "create,update,escalate")]),
    binding("kim", "escalator", [("User", "kim")]),
    role(
        "impersonator",
        [
            rule("", "users", "impersonate", "alice"),
            rule("", "groups", "impersonate", "devs"),
            rule("", "serviceaccounts", "impersonate"),
            rule("authentication.k8s.io", "userextras/scopes", "impersonate", "view"),
        ],
    ),
    binding("leo", "impersonator", [("User", "leo")]),
    role(
        "acts-for-reading",
        [
            rule("authentication.k8s.io", "users", "impersonate:user-info", "alice,bob"),
            rule("authentication.k8s.io", "groups", "impersonate:user-info", "devs"),
            rule("authentication.k8s.io", "serviceaccounts", "impersonate:serviceaccount"),
            rule("authentication.k8s.io", "nodes", "impersonate:arbitrary-node"),
            rule("", "pods", "impersonate-on:user-info:list,impersonate-on:arbitrary-node:list"),
            rule("", "secrets", "impersonate-on:serviceaccount:list"),
        ],
    ),
    binding("nina", "acts-for-reading", [("User", "nina")]),
    role("part-1", [rule("", "secrets", "list")], labels={"gather": "yes"}),
    role("part-2", [rule("batch", "jobs", "list")], labels={"gather": "yes"}),
    role("whole", [], aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"gather": "yes"}}]}),
    binding("mia", "whole", [("User", "mia")]),
]

USERS = [
    Who("alice"),
    Who("bob"),
    Who("carol"),
    Who("dave"),
    Who("eve", ("devs",)),
    Who("frank"),
    Who("grace"),
    Who("heidi"),
    Who("ivan"),
    Who("mia"),
    Who("nobody"),
    Who("root", ("system:masters",)),
    Who("system:serviceaccount:a:robot"),
    Who("system:serviceaccount:b:robot"),
    Who("system:anonymous"),
]

REQUESTS = [
    ("GET", "/api/v1/pods"),
    ("GET", "/api/v1/namespaces/a/pods"),
    ("GET", "/api/v1/namespaces/b/pods"),
    ("GET", "/api/v1/namespaces/a/pods/x"),
    ("GET", "/api/v1/namespaces/a/pods/x/log"),
    ("GET", "/api/v1/namespaces/a/pods?watch=1&timeoutSeconds=1"),
    ("DELETE", "/api/v1/namespaces/a/pods?labelSelector=none=none"),
    ("DELETE", "/api/v1/namespaces/a/pods/x"),
    ("GET", "/api/v1/namespaces/a/secrets"),
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/namespaces/a/configmaps/one"),
    ("GET", "/api/v1/namespaces/a/configmaps/two"),
    ("GET", "/api/v1/namespaces/a/configmaps"),
    ("GET", "/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name%3Done"),
    ("GET", "/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name%3Dtwo"),
    ("DELETE", "/api/v1/namespaces/a/configmaps/three"),
    ("GET", "/api/v1/namespaces"),
    ("GET", "/api/v1/namespaces/a"),
    ("GET", "/api/v1/namespaces/b"),
    ("GET", "/api/v1/nodes"),
    ("GET", "/apis/apps/v1/namespaces/b/deployments"),
    ("GET", "/apis/apps/v1/namespaces/a/deployments/x/scale"),
    ("GET", "/apis/batch/v1/jobs"),
    ("GET", f"{RBAC}/clusterroles/view"),
    ("GET", f"{RBAC}/namespaces/b/rolebindings"),
    ("GET", "/apis/no.such.group/v1/things"),
    ("GET", "/apis/no.such.group/v1/namespaces/a/things/<x>"),
    ("GET", "/api/v1/namespaces/a/nothings/x/y"),
    ("GET", "/api"),
    ("GET", "/apis"),
    ("GET", "/apis/apps/v1"),
    ("GET", "/openapi/v3"),
    ("GET", "/logs"),
    ("GET", "/nothing/here"),
    ("POST", "/api"),
]

QUESTIONS = [
    {"verb": "get", "resource": "pods", "namespace": "a"},
    {"verb": "get", "resource": "pods"},
    {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "a", "name": "x"},
    {"verb": "create", "resource": "pods", "subresource": "exec", "namespace": "b"},
    {"verb": "update", "group": "apps", "resource": "deployments", "subresource": "scale", "namespace": "b"},
    {"verb": "patch", "group": "apps", "resource": "deployments", "subresource": "status"},
    {"verb": "delete", "resource": "configmaps", "namespace": "a", "name": "one"},
    {"verb": "delete", "resource": "configmaps", "namespace": "a", "name": "two"},
    {"verb": "*", "resource": "*", "group": "*"},
    {"verb": "list", "resource": "secrets"},
    {"verb": "impersonate", "resource": "users", "name": "alice"},
    {"verb": "create", "group": GROUP, "resource": "rolebindings", "namespace": "b"},
    {"verb": "list", "group": "no.such", "resource": "things", "version": "v9"},
]
PATHS = [
    {"verb": "get", "path": "/healthz/etcd"},
    {"verb": "get", "path": "/metrics"},
    {"verb": "post", "path": "/api"},
]

UIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def plain(value: Any) -> Any:
    """The answer without what differs by nature."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in ("resourceVersion", "managedFields", "uid")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str):
        value = re.sub(r"X509SHA256=\w+", "X509SHA256=...", value)
        return TIMES.sub("TIME", UIDS.sub("UID", value))
    return value


def authority_of(folder: Path, name: str) -> Callable[[str, Sequence[str]], tuple[str, str]]:
    """Signs client certificates with the authority in a folder of keys."""

    def sign(user: str, groups: Sequence[str]) -> tuple[str, str]:
        authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        signer = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in groups]
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(parts))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
        )
        chain, private = folder / f"client-{name}-{user}.crt", folder / f"client-{name}-{user}.key"
        chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(chain), str(private)

    return sign


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    try:
        build.ensure()
    except (build.WrongGoError, build.BuildError) as error:
        pytest.skip(f"no real API server: {error}")
    home = tmp_path_factory.mktemp("embedded")
    with running(tmp_path_factory.mktemp("real")) as real, embedded(home, "--in-memory", "--no-simulation") as ours:
        keys = real.directory / "pki"
        admin = authority_of(keys, "test")("admin", ["system:masters"])
        first = Server(
            real.url.removeprefix("https://"),
            str(real.certificate_authority),
            "",
            admin,
            authority_of(keys, "test"),
        )
        second = Server(
            ours.url.removeprefix("https://"),
            str(home / "pki" / "ca.crt"),
            (home / "pki" / "admin.token").read_text().strip(),
            None,
            authority_of(home / "pki", "test"),
        )
        for server in (first, second):
            for path, body in WORLD:
                code, answer = server.send("POST", path, body)
                assert code == 201, (path, answer)
            until_gathered(server)
        yield first, second


def until_gathered(server: Server, within_s: float = 20.0) -> None:
    """Until the aggregated role has its rules and caches have seen them, which takes the real server a moment."""
    deadline = time.monotonic() + within_s
    review = {"spec": {"user": "mia", "resourceAttributes": {"verb": "list", "resource": "jobs", "group": "batch"}}}
    while True:
        _, answer = server.send("POST", f"{REVIEWS}/subjectaccessreviews", review)
        if answer["status"]["allowed"]:
            return
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)


class Differences:
    """What was not the same."""

    def __init__(self) -> None:
        self.count = 0
        self.found: list[str] = []

    def compare(self, what: str, expected: tuple[int, Any], got: tuple[int, Any], *, whole: bool = False) -> None:
        """Codes, and bodies of refusals (`whole`: of all answers)."""
        self.count += 1
        bodies = whole or expected[0] >= 400
        if expected[0] != got[0] or (bodies and plain(expected[1]) != plain(got[1])):
            show = [f"{code} {json.dumps(plain(body), sort_keys=True)[:900]}" for code, body in (expected, got)]
            self.found.append(f"{what}\n  real     {show[0]}\n  embedded {show[1]}")

    def fail(self) -> None:
        """Fail with all of them."""
        print(f"{self.count} answers compared")
        assert not self.found, f"{len(self.found)} of {self.count} differ:\n" + "\n".join(self.found)


Servers = tuple[Server, Server]


def test_every_user_gets_the_same_answer_to_every_request(servers: Servers) -> None:
    real, ours = servers
    differences = Differences()
    for who in USERS:
        for method, path in REQUESTS:
            if who.groups == ("system:masters",) and (method == "DELETE" or path.startswith(("/logs", "/openapi"))):
                continue
            path = path.replace("<", "%3C").replace(">", "%3E")
            answers = [one.send(method, path, headers=who.headers) for one in (real, ours)]
            differences.compare(f"{who.name}: {method} {path}", *answers)
    assert differences.count > 400
    differences.fail()


def test_access_reviews_say_the_same(servers: Servers) -> None:
    real, ours = servers
    differences = Differences()
    for who in USERS:
        asked = [{"resourceAttributes": one} for one in QUESTIONS] + [{"nonResourceAttributes": one} for one in PATHS]
        for one in asked:
            review = {"spec": {"user": who.name, "groups": who.all_groups, **one}}
            answers = [server.send("POST", f"{REVIEWS}/subjectaccessreviews", review) for server in (real, ours)]
            differences.compare(f"{who.name}: {one}", *answers, whole=True)
            mine = [
                server.send("POST", f"{REVIEWS}/selfsubjectaccessreviews", {"spec": one}, who.headers)
                for server in (real, ours)
            ]
            differences.compare(f"{who.name} itself: {one}", *mine, whole=True)
    differences.fail()


def test_reviews_that_cannot_be_answered_are_refused_alike(servers: Servers) -> None:
    real, ours = servers
    differences = Differences()
    pods = {"verb": "get", "resource": "pods", "namespace": "a"}
    path = {"verb": "get", "path": "/x"}
    local = f"{REVIEWS}/namespaces/a/localsubjectaccessreviews"
    for where, body in (
        (f"{REVIEWS}/subjectaccessreviews", {"spec": {}}),
        (f"{REVIEWS}/subjectaccessreviews", {"spec": {"resourceAttributes": pods}}),
        (f"{REVIEWS}/selfsubjectaccessreviews", {"spec": {}}),
        (f"{REVIEWS}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": pods, "nonResourceAttributes": path}}),
        (local, {"spec": {"user": "alice", "resourceAttributes": pods}}),
        (local, {"metadata": {"namespace": "a"}, "spec": {"user": "alice", "resourceAttributes": pods}}),
        (local, {"metadata": {"namespace": "b"}, "spec": {"user": "alice", "resourceAttributes": pods}}),
        (
            local,
            {"metadata": {"namespace": "a"}, "spec": {"user": "x", "resourceAttributes": {**pods, "namespace": "b"}}},
        ),
        (local, {"metadata": {"namespace": "a"}, "spec": {"user": "x", "nonResourceAttributes": path}}),
        (f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {}}),
    ):
        answers = [server.send("POST", where, body) for server in (real, ours)]
        differences.compare(f"{where} {body}", *answers, whole=True)
    differences.fail()


def test_rules_reviews_hold_the_same_rules(servers: Servers) -> None:
    real, ours = servers
    wrong = []
    for who in USERS:
        for namespace in ("a", "b"):
            rules = []
            for server in (real, ours):
                code, answer = server.send(
                    "POST", f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": namespace}}, who.headers
                )
                if code != 201:
                    rules.append((code, answer))
                    continue
                status = answer.pop("status")
                # The order of bindings is random on the real server.
                shown = {
                    key: sorted(json.dumps(one) for one in status[key]) for key in ("resourceRules", "nonResourceRules")
                }
                rules.append((answer, shown))
            if rules[0] != rules[1]:
                wrong.append((who, namespace, rules))
    assert not wrong


def test_nobody_gives_away_what_he_does_not_have(servers: Servers) -> None:
    real, ours = servers
    differences = Differences()
    secrets, maps = [rule("", "secrets", "get,list")], [rule("", "configmaps", "get", "one,two")]
    mixed = [rule(",apps", "secrets,deployments", "get,list"), urls("/x,/y", "get,post"), *maps]
    steps: list[tuple[str, str, str, Any]] = []
    for who in ("judy", "kim", "alice"):
        for index, (path, body) in enumerate(
            [
                role("r1", maps, "a"),
                role("r2", secrets, "a"),
                role("c1", maps),
                role("c2", secrets),
                role("c3", mixed),
                role("c4", [], aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}),
                role("c5", [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]),
                binding("b1", "view", [("User", "x")], "a"),
                binding("b2", "edit", [("User", "x")], "a"),
                binding("b3", "pods", [("User", "x")], "a", "Role"),
                binding("b4", "no-such", [("User", "x")], "a", "Role"),
                binding("b5", "view", [("User", "x")]),
                binding("b6", "cluster-admin", [("User", "x")]),
                binding("b7", "no-such", [("User", "x")]),
            ]
        ):
            name = f"{who}-{index}"
            steps.append((who, "POST", path, {**body, "metadata": {"name": name}}))
            steps.append((who, "PUT", f"{path}/put-{name}", {**body, "metadata": {"name": f"put-{name}"}}))
    steps += [
        ("judy", "PUT", f"{RBAC}/namespaces/a/roles/pods", role("pods", secrets, "a")[1]),
        ("judy", "PATCH", f"{RBAC}/clusterroles/view", {"metadata": {"labels": {"a": "b"}}}),
        ("judy", "PATCH", f"{RBAC}/clusterroles/scales", {"metadata": {"finalizers": ["a.b/c"]}}),
        ("judy", "PATCH", f"{RBAC}/clusterroles/scales", {"metadata": {"finalizers": None}}),
        ("judy", "PATCH", f"{RBAC}/clusterroles/scales", {"metadata": {"labels": {"a": "b"}}}),
        ("judy", "PATCH", f"{RBAC}/namespaces/a/rolebindings/alice", {"subjects": []}),
        ("judy", "PATCH", f"{RBAC}/clusterrolebindings/bob", {"subjects": []}),
    ]
    for who, method, path, body in steps:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answers = [one.send(method, path, body, Who(who).headers, kind=kind) for one in (real, ours)]
        differences.compare(f"{who}: {method} {path} {json.dumps(body)[:200]}", *answers)
    differences.fail()


def test_impersonation_needs_permission_for_every_part(servers: Servers) -> None:
    real, ours = servers
    differences = Differences()
    leo = [server.sign("leo", ["team"]) for server in (real, ours)]
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    for headers in (
        [],
        [("Impersonate-User", "alice")],
        [("Impersonate-User", "bob")],
        [("Impersonate-User", "alice"), ("Impersonate-Group", "devs")],
        [("Impersonate-User", "alice"), ("Impersonate-Group", "devs"), ("Impersonate-Group", "ops")],
        [("Impersonate-User", "alice"), ("Impersonate-Group", "devs"), ("Impersonate-Group", "system:masters")],
        [("Impersonate-User", "system:serviceaccount:a:robot")],
        [("Impersonate-User", "system:serviceaccount:a:robot"), ("Impersonate-Group", "devs")],
        [("Impersonate-User", "alice"), ("Impersonate-Extra-Scopes", "view")],
        [("Impersonate-User", "alice"), ("Impersonate-Extra-Scopes", "edit")],
        [("Impersonate-User", "alice"), ("Impersonate-Uid", "u-1")],
        [("Impersonate-User", "system:anonymous")],
        [("Impersonate-Group", "devs")],
        [("Impersonate-Uid", "u-1"), ("Impersonate-Extra-Scopes", "view"), ("Impersonate-Extra-Scopes", "edit")],
    ):
        for method, path, body in (
            ("POST", whoami, {}),
            ("GET", "/api/v1/namespaces/a/pods", None),
        ):
            answers = [
                server.send(method, path, body, headers, chain=chain)
                for server, chain in zip((real, ours), leo, strict=True)
            ]
            differences.compare(f"leo as {headers}: {path}", *answers, whole=path == whoami)
            if headers:
                admin = [server.send(method, path, body, headers) for server in (real, ours)]
                differences.compare(f"admin as {headers}: {path}", *admin, whole=path == whoami)
    differences.fail()


def test_constrained_impersonation_is_for_some_requests_only(servers: Servers) -> None:
    real, ours = servers
    differences = Differences()
    nina = [server.sign("nina", []) for server in (real, ours)]
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    for headers in (
        [("Impersonate-User", "alice")],
        [("Impersonate-User", "carol")],
        [("Impersonate-User", "bob"), ("Impersonate-Group", "devs")],
        [("Impersonate-User", "bob"), ("Impersonate-Group", "ops")],
        [("Impersonate-User", "system:serviceaccount:a:robot")],
        [("Impersonate-User", "system:serviceaccount:a:robot"), ("Impersonate-Group", "devs")],
        [("Impersonate-User", "system:node:n1")],
    ):
        # The Node authorizer, which the embedded cluster has not, speaks about the Pods of nodes.
        pods = [] if ("Impersonate-User", "system:node:n1") in headers else ["/api/v1/namespaces/a/pods"]
        for path in (*pods, "/api/v1/namespaces/a/secrets", "/api"):
            answers = [
                server.send("GET", path, None, headers, chain=chain)
                for server, chain in zip((real, ours), nina, strict=True)
            ]
            differences.compare(f"nina as {headers}: {path}", *answers)
        admin = [server.send("POST", whoami, {}, headers) for server in (real, ours)]
        differences.compare(f"admin as {headers}", *admin, whole=True)
    differences.fail()


def test_credentials_of_every_sort_are_who_they_say(servers: Servers) -> None:
    real, ours = servers
    differences = Differences()
    whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    secret = {
        "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}},
        "type": "kubernetes.io/service-account-token",
    }
    for server in (real, ours):
        code, answer = server.send("POST", "/api/v1/namespaces/a/serviceaccounts/robot/token", {"spec": {}})
        assert code == 201, answer
        server.tokens["request"] = answer["status"]["token"]
        code, answer = server.send("POST", "/api/v1/namespaces/a/secrets", secret)
        assert code == 201, answer
        server.tokens["secret"] = until_filled(server)
    for sort in ("request", "secret"):
        for method, path, body in (
            ("POST", whoami, {}),
            ("GET", "/api/v1/namespaces/a/pods", None),
            ("GET", "/api/v1/namespaces/a/secrets", None),
            ("GET", "/api/v1/namespaces/b/configmaps", None),
        ):
            answers = [one.send(method, path, body, token=one.tokens[sort]) for one in (real, ours)]
            differences.compare(f"{sort}: {path}", *answers, whole=path == whoami)
    for chain in ([one.sign("eve", ["devs", "ops"]) for one in (real, ours)],):
        for method, path, body in (("POST", whoami, {}), ("GET", "/api/v1/namespaces/b/secrets", None)):
            answers = [one.send(method, path, body, chain=mine) for one, mine in zip((real, ours), chain, strict=True)]
            differences.compare(f"certificate: {path}", *answers, whole=path == whoami)
    for path in ("/api/v1/pods", "/api", "/version", "/healthz", "/nothing"):
        answers = [one.send("GET", path, anonymous=True) for one in (real, ours)]
        differences.compare(f"nobody: {path}", *answers)
    for header in ("Bearer nonsense", "Bearer ", "Bearer", "Basic eDp5", "bearer a.b.c"):
        answers = [
            one.send("GET", "/api/v1/pods", headers={"Authorization": header}, anonymous=True) for one in (real, ours)
        ]
        differences.compare(header, *answers)
    for server in (real, ours):
        assert server.send("DELETE", "/api/v1/namespaces/a/secrets/robot-token")[0] == 200
    # The real server believes a token for some seconds after its Secret is gone.
    assert ours.send("GET", "/api/v1/namespaces/a/pods", token=ours.tokens["secret"])[0] == 401
    differences.fail()


def until_filled(server: Server, within_s: float = 20.0) -> str:
    """Until the Secret of a service account has its token; the token."""
    deadline = time.monotonic() + within_s
    while True:
        _, answer = server.send("GET", "/api/v1/namespaces/a/secrets/robot-token")
        data = answer.get("data") or {}
        if data.get("token"):
            assert sorted(data) == ["ca.crt", "namespace", "token"]
            assert "kubernetes.io/service-account.uid" in answer["metadata"]["annotations"]
            return base64.b64decode(data["token"]).decode()
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


def test_a_token_secret_without_an_account_goes_away(servers: Servers) -> None:
    body = {
        "metadata": {"name": "lost", "annotations": {"kubernetes.io/service-account.name": "no-such"}},
        "type": "kubernetes.io/service-account-token",
    }
    for server in servers:
        assert server.send("POST", "/api/v1/namespaces/a/secrets", body)[0] == 201
        deadline = time.monotonic() + 30
        while server.send("GET", "/api/v1/namespaces/a/secrets/lost")[0] != 404:
            assert time.monotonic() < deadline, "the Secret is still there"
            time.sleep(0.1)
