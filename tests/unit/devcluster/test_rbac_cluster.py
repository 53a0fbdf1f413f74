"""What a cluster does with roles and token Secrets by itself."""

from __future__ import annotations

import base64
from typing import Any

import jwt
from tests.support.incluster import Client, incluster, quiet

from tiphys.devcluster.rbac_bootstrap import create_roles
from tiphys.devcluster.store import Store
from tiphys.devcluster.writes import WriteOptions

RBAC = "/apis/rbac.authorization.k8s.io/v1"
SECRETS = "/api/v1/namespaces/default/secrets"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
TYPE = "kubernetes.io/service-account-token"


def rule(resource: str) -> dict[str, Any]:
    return {"verbs": ["get"], "apiGroups": [""], "resources": [resource]}


def secret(name: str, account: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
        "type": TYPE,
    }


async def test_the_default_roles_are_there_and_the_gathered_ones_have_rules() -> None:
    async with incluster() as client:
        roles = {one["metadata"]["name"]: one for one in (await client.get(f"{RBAC}/clusterroles"))["items"]}
        assert len(roles) == 69
        assert rule_of(roles["edit"], "secrets")
        assert not rule_of(roles["view"], "secrets")
        managers = {one["manager"]: one["operation"] for one in roles["view"]["metadata"]["managedFields"]}
        assert managers == {"kube-apiserver": "Update", "clusterrole-aggregation-controller": "Apply"}


def rule_of(role: dict[str, Any], resource: str) -> bool:
    return any(resource in one.get("resources", ()) for one in role["rules"])


async def test_a_gathered_role_follows_what_it_gathers() -> None:
    async with incluster() as client:
        selector = {"matchLabels": {"gather": "yes"}}
        whole = {"metadata": {"name": "whole"}, "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": []}
        await client.create(f"{RBAC}/clusterroles", whole)
        for name in ("b", "a"):
            part = {"metadata": {"name": name, "labels": {"gather": "yes"}}, "rules": [rule(name), rule("both")]}
            await client.create(f"{RBAC}/clusterroles", part)
        await quiet(client.core)
        found = await client.get(f"{RBAC}/clusterroles/whole")
        assert found["rules"] == [rule("a"), rule("both"), rule("b")]
        await client.patch(f"{RBAC}/clusterroles/a", {"metadata": {"labels": {"gather": None}}})
        await quiet(client.core)
        assert (await client.get(f"{RBAC}/clusterroles/whole"))["rules"] == [rule("b"), rule("both")]


async def test_a_start_adds_what_is_missing_and_takes_nothing_away() -> None:
    async with incluster() as client:
        mine = {"rules": [rule("mine")]}
        await client.patch(f"{RBAC}/clusterroles/system:discovery", mine)
        off = {"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, **mine}
        await client.patch(f"{RBAC}/clusterroles/system:basic-user", off)
        await client.patch(f"{RBAC}/clusterrolebindings/system:discovery", {"subjects": []})
        await client.request("DELETE", f"{RBAC}/clusterroles/system:node")
        core = client.core
        create_roles(core.writer, core.registry, WriteOptions(manager="kube-apiserver"))

        rules = (await client.get(f"{RBAC}/clusterroles/system:discovery"))["rules"]
        assert rules[0] == rule("mine")
        assert {"nonResourceURLs": ["/api"], "verbs": ["get"]} in rules
        assert (await client.get(f"{RBAC}/clusterroles/system:basic-user"))["rules"] == [rule("mine")]
        subjects = (await client.get(f"{RBAC}/clusterrolebindings/system:discovery"))["subjects"]
        assert [one["name"] for one in subjects] == ["system:authenticated"]
        assert (await client.get(f"{RBAC}/clusterroles/system:node"))["rules"]


async def test_a_token_secret_is_filled_and_is_a_login_until_it_goes() -> None:
    async with incluster() as client:
        account = await client.create(ACCOUNTS, {"metadata": {"name": "bot"}})
        await client.create(SECRETS, secret("bot-token", "bot"))
        await quiet(client.core)
        found = await client.get(f"{SECRETS}/bot-token")
        token = base64.b64decode(found["data"]["token"]).decode()
        bot = Client(client.core, client.app, client.clock, token)

        assert base64.b64decode(found["data"]["namespace"]) == b"default"
        assert base64.b64decode(found["data"]["ca.crt"]).startswith(b"-----BEGIN CERTIFICATE-----")
        assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
        claims = jwt.decode(token, options={"verify_signature": False})
        assert (claims["iss"], "exp" in claims) == ("kubernetes/serviceaccount", False)
        whoami = await bot.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        assert whoami["status"]["userInfo"]["username"] == "system:serviceaccount:default:bot"
        assert (await bot.request("GET", SECRETS)).code == 403

        await client.request("DELETE", f"{SECRETS}/bot-token")
        assert (await bot.request("GET", SECRETS)).code == 401


async def test_token_secrets_go_with_their_account_and_do_not_outlive_its_name() -> None:
    async with incluster() as client:
        await client.create(SECRETS, secret("lost", "nobody"))
        await client.create(ACCOUNTS, {"metadata": {"name": "bot"}})
        await client.create(SECRETS, secret("bot-token", "bot"))
        await quiet(client.core)
        assert (await client.request("GET", f"{SECRETS}/lost")).code == 404
        await client.request("DELETE", f"{ACCOUNTS}/bot")
        await client.create(ACCOUNTS, {"metadata": {"name": "bot"}})
        await quiet(client.core)
        assert (await client.request("GET", f"{SECRETS}/bot-token")).code == 404


async def test_roles_and_bindings_count_after_a_restart() -> None:
    store = Store()
    view = {
        "metadata": {"name": "bob"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    review = {"spec": {"user": "bob", "resourceAttributes": {"verb": "list", "resource": "pods"}}}
    where = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    async with incluster(store) as client:
        await client.create(f"{RBAC}/clusterrolebindings", view)
    async with incluster(store) as client:
        status = (await client.create(where, review))["status"]
        assert status == {
            "allowed": True,
            "reason": 'RBAC: allowed by ClusterRoleBinding "bob" of ClusterRole "view" to User "bob"',
        }
