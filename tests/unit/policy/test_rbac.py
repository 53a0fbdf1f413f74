"""RBAC: allow and no deny, default role first, groups only with a g line, project roles only in their project."""

from __future__ import annotations

import pytest

from tiphys.model.appproject import AppProject, parse_appproject
from tiphys.policy.rbac import ANONYMOUS, RBAC, PolicyError, Subject, build_rbac, parse_policy

ADMIN = Subject("admin")
BOB = Subject("bob", ("devs",))


def rbac(text: str = "", *, default_role: str = "", match_mode: str = "glob") -> RBAC:
    built, problem = build_rbac(text, default_role=default_role, match_mode=match_mode)
    assert problem == ""
    return built


def test_admin_may_everything_but_invoke_extensions() -> None:
    policy = rbac()
    for resource, action, obj in [
        ("applications", "get", "p/a"),
        ("applications", "delete", "p/ns/a"),
        ("applications", "action/apps/Deployment/restart", "p/a"),
        ("projects", "update", "p"),
        ("exec", "create", "p/a"),
        ("logs", "get", "p/a"),
        ("clusters", "get", "https://x"),
    ]:
        assert policy.enforce(ADMIN, resource, action, obj), (resource, action)
    assert not policy.enforce(ADMIN, "extensions", "invoke", "x")


def test_others_may_nothing_and_the_reason_says_what_was_asked() -> None:
    answer = rbac().enforce(BOB, "applications", "get", "p/a")
    assert answer.reason == "permission denied: applications, get, p/a, sub: bob"


def test_a_deny_wins_whatever_the_order_and_is_named() -> None:
    lines = ["p, bob, applications, *, team/*, allow", "p, bob, applications, delete, team/prod, deny"]
    for text in ("\n".join(lines), "\n".join(reversed(lines))):
        policy = rbac(text)
        assert policy.enforce(BOB, "applications", "sync", "team/prod")
        answer = policy.enforce(BOB, "applications", "delete", "team/prod")
        assert not answer
        assert "p, bob, applications, delete, team/prod, deny" in answer.reason


def test_what_the_default_role_allows_cannot_be_denied() -> None:
    policy = rbac("p, bob, applications, get, */*, deny", default_role="role:readonly")
    assert policy.enforce(BOB, "applications", "get", "p/a")
    assert policy.enforce(ANONYMOUS, "applications", "get", "p/a")
    assert not policy.enforce(ANONYMOUS, "applications", "sync", "p/a")


def test_a_group_counts_only_where_a_g_line_names_it() -> None:
    assert not rbac("p, devs, applications, get, */*, allow").enforce(BOB, "applications", "get", "p/a")
    assert rbac("g, devs, role:readonly").enforce(BOB, "applications", "get", "p/a")


def test_roles_are_inherited_through_roles() -> None:
    policy = rbac("g, devs, role:team\ng, role:team, role:base\np, role:base, applications, sync, team/*, allow")
    assert policy.enforce(BOB, "applications", "sync", "team/a")
    assert not policy.enforce(BOB, "applications", "sync", "other/a")
    assert not rbac("g, devs, a\ng, a, b\ng, b, a").enforce(BOB, "applications", "sync", "x/y")


def test_regex_mode_searches_and_leaves_the_built_in_rules_alone() -> None:
    policy = rbac("p, bob, applications, (get|sync), ^team-[0-9]+/.*$, allow", match_mode="regex")
    assert policy.enforce(BOB, "applications", "sync", "team-1/a")
    assert not policy.enforce(BOB, "applications", "sync", "team-x/a")
    assert policy.enforce(ADMIN, "applications", "sync", "p/a")


@pytest.mark.parametrize("text", ["p, bob, applications, get, */*", "x, a, b", "g, a", "p", 'p, "a, b, c, d, e, f'])
def test_one_bad_line_voids_the_users_policy_but_not_the_built_in(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)
    built, problem = build_rbac(f"p, bob, applications, get, */*, allow\n{text}")
    assert problem.startswith("invalid RBAC policy: ")
    assert not built.enforce(BOB, "applications", "get", "p/a")
    assert built.enforce(ADMIN, "applications", "get", "p/a")


def test_comments_and_blank_lines_are_skipped() -> None:
    assert rbac("# x\n\n  # y\n p, bob, applications, get, */*, allow ").enforce(BOB, "applications", "get", "p/a")


def project(name: str = "team") -> AppProject:
    return parse_appproject(
        {
            "metadata": {"name": name},
            "spec": {
                "roles": [
                    {
                        "name": "ci",
                        "policies": [f"p, proj:{name}:ci, applications, sync, {name}/*, allow"],
                        "groups": ["devs"],
                    }
                ]
            },
        }
    )


def test_project_roles_count_only_with_their_project() -> None:
    policy = rbac()
    assert policy.enforce(BOB, "applications", "sync", "team/a", project=project())
    assert policy.enforce(BOB, "projects", "get", "team", project=project())
    assert not policy.enforce(BOB, "applications", "sync", "team/a")
    assert not policy.enforce(BOB, "applications", "delete", "team/a", project=project())


def test_a_project_token_reaches_nothing_outside_its_project() -> None:
    policy = rbac("p, proj:team:ci, applications, *, */*, allow")
    token = Subject("proj:team:ci")
    assert policy.enforce(token, "applications", "sync", "team/a", project=project())
    assert not policy.enforce(token, "applications", "sync", "other/a", project=project("other"))


def test_permissions_answer_for_many_objects() -> None:
    permissions = rbac("p, bob, applications, get, team/*, allow").permissions(BOB, "applications", "get")
    assert [bool(permissions.of(obj)) for obj in ("team/a", "other/a")] == [True, False]


def test_a_whole_project_is_known_to_be_covered_only_without_denies() -> None:
    assert rbac().permissions(ADMIN, "applications", "get").covers_project("team")
    own = rbac("p, bob, applications, get, team/*, allow").permissions(BOB, "applications", "get")
    assert (own.covers_project("team"), own.covers_project("other")) == (True, False)
    denied = rbac("p, bob, applications, get, team/*, allow\np, bob, applications, get, team/x, deny")
    assert not denied.permissions(BOB, "applications", "get").covers_project("team")
