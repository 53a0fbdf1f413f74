"""What methods of the client send."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.client.api import Api

RESOURCE = {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "name": "x", "uid": "1"}
NAMED = {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "resourceName": "x"}


class _Transport:
    """Answers with what it is given and keeps what it was asked."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def request(self, method: str, path: str, *, query: Any = None, body: Any = None, timeout_s: Any = None) -> Any:
        self.asked.append((method, path, query, body))
        return self._answer


@pytest.mark.parametrize(
    ("method", "arguments", "asked"),
    [
        (
            "patch_application",
            ("a", "ns", "{}", "merge"),
            (
                *("PATCH", "/api/v1/applications/a", {"appNamespace": "ns"}),
                {"name": "a", "patch": "{}", "patchType": "merge", "appNamespace": "ns"},
            ),
        ),
        (
            "get_resource",
            ("a", "", RESOURCE),
            ("GET", "/api/v1/applications/a/resource", NAMED, None),
        ),
        (
            "patch_resource",
            ("a", "", RESOURCE, "{}", "application/merge-patch+json"),
            (
                *("POST", "/api/v1/applications/a/resource"),
                *({"patchType": "application/merge-patch+json", **NAMED}, "{}"),
            ),
        ),
        (
            "delete_resource",
            ("a", "", RESOURCE),
            ("DELETE", "/api/v1/applications/a/resource", {**NAMED, "force": "false", "orphan": "false"}, None),
        ),
        (
            "run_resource_action",
            ("a", "", RESOURCE, "restart"),
            ("POST", "/api/v1/applications/a/resource/actions/v2", {}, {**NAMED, "name": "a", "action": "restart"}),
        ),
        (
            "update_application_spec",
            ("a", "", {"project": "p"}),
            ("PUT", "/api/v1/applications/a/spec", {"validate": "true"}, {"project": "p"}),
        ),
        (
            "delete_account_token",
            ("ci", "a/b"),
            ("DELETE", "/api/v1/account/ci/token/a%2Fb", None, None),
        ),
        (
            "update_project",
            ({"metadata": {"name": "p"}},),
            ("PUT", "/api/v1/projects/p", None, {"project": {"metadata": {"name": "p"}}}),
        ),
    ],
)
def test_requests_are_argo_cd_s(method: str, arguments: tuple[Any, ...], asked: tuple[Any, ...]) -> None:
    """Path, query and body."""
    transport: Any = _Transport({})
    getattr(Api(transport), method)(*arguments)
    assert transport.asked == [asked]


def test_manifests_at_revisions_of_sources() -> None:
    """Positions are numbers in a query."""
    transport: Any = _Transport({"manifests": ["{}"]})
    assert Api(transport).manifests("a", revisions=("v1", "v2"), source_positions=(1, 2)) == ["{}"]
    query = {"revisions": ["v1", "v2"], "sourcePositions": ["1", "2"]}
    assert transport.asked == [("GET", "/api/v1/applications/a/manifests", query, None)]


def test_a_token_never_expires_with_0_and_is_a_secret() -> None:
    """Its text does not appear in a repr."""
    transport: Any = _Transport({"token": "t0ken"})
    token = Api(transport).create_account_token("ci")
    assert token.reveal() == "t0ken"
    assert "t0ken" not in repr(token)
    assert transport.asked[0][3] == {"name": "ci", "expiresIn": 0}
