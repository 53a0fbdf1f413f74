"""Settings are read once, completely, with every problem named."""

from __future__ import annotations

import base64
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from tiphys.settings.keys import KEYS, SCALARS
from tiphys.settings.load import load_settings, secret_data
from tiphys.settings.values import Settings


def cm(**data: str) -> dict[str, Any]:
    return {"data": {key.replace("__", "."): value for key, value in data.items()}}


def secret(data: dict[str, str]) -> dict[str, Any]:
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}


def test_nothing_configured_gives_the_defaults_of_the_table() -> None:
    loaded = load_settings({})
    assert loaded.problems == ()
    for key in SCALARS:
        assert getattr(loaded.settings, key.attribute) == key.default, key.name
    assert loaded.settings.admin.can("login")


def test_every_field_of_settings_is_a_row_or_is_read_by_its_own_function() -> None:
    rows = {key.attribute for key in SCALARS}
    own = {
        "exclusions",
        "inclusions",
        "overrides",
        "accounts",
        "rbac_policy",
        "rbac_scopes",
        "signing_key",
        "webhook_secrets",
        "tls_certificate",
        "tls_key",
    }
    assert {f.name for f in dataclasses.fields(Settings)} == rows | own
    assert len({(key.object, key.name) for key in KEYS}) == len(KEYS)


def test_values_are_parsed() -> None:
    loaded = load_settings(
        {
            "argocd-cm": {
                "data": {
                    "timeout.reconciliation": "3m",
                    "application.resourceTrackingMethod": "annotation+label",
                    "admin.enabled": "false",
                    "resource.exclusions": "- apiGroups: ['*.example.com']\n  kinds: ['*']\n  clusters: ['https://a*']\n",
                    "resource.customizations.health.argoproj.io_Application": "return {}",
                    "resource.customizations.ignoreDifferences.all": "jsonPointers: [/spec/replicas]",
                    "resource.customizations.ignoreDifferences.ConfigMap": "jqPathExpressions: ['.data.x']",
                    "resource.customizations": "cert-manager.io/Certificate:\n  health.lua: return 1\n'*.x.io/*':\n"
                    "  ignoreDifferences: |\n    jsonPointers: [/a]\n",
                }
            },
            "argocd-cmd-params-cm": {
                "data": {"controller.sync.wave.delay.seconds": "2", "application.namespaces": "a, b*"}
            },
            "argocd-rbac-cm": {
                "data": {"policy.b.csv": "b", "policy.a.csv": "a", "policy.csv": "first", "scopes": "[groups, email]"}
            },
        }
    )
    assert loaded.problems == ()
    settings = loaded.settings
    assert settings.reconciliation_timeout == timedelta(minutes=3)
    assert settings.tracking_method == "annotation+label"
    assert not settings.admin.enabled
    assert settings.exclusions[0].clusters == ("https://a*",)
    assert settings.overrides["argoproj.io/Application"].health_lua == "return {}"
    assert settings.overrides["*/*"].ignore_differences.json_pointers == ("/spec/replicas",)
    assert settings.overrides["ConfigMap"].ignore_differences.jq_path_expressions == (".data.x",)
    assert settings.overrides["cert-manager.io/Certificate"].health_lua == "return 1"
    assert settings.overrides["*.x.io/*"].ignore_differences.json_pointers == ("/a",)
    assert settings.sync_wave_delay_s == 2
    assert settings.application_namespaces == ("a", "b*")
    assert settings.rbac_policy == "first\na\nb"
    assert settings.rbac_scopes == ("groups", "email")


def test_every_problem_is_reported_and_the_rest_still_holds() -> None:
    loaded = load_settings(
        {
            "argocd-cm": {
                "data": {
                    "timeout.reconciliation": "1d",
                    "timeout.reconciliation.jitter": "-5s",
                    "application.resourceTrackingMethod": "magic",
                    "admin.enabled": "yes",
                    "users.session.duration": "1h",
                    "resource.exclusions": "{a: 1}",
                    "resource.inclusions": "- kinds: Pod",
                    "resource.customizations.health.a_b_c": "x",
                    "resource.customizations.ignoreDifferences.apps_Deployment": "[1",
                    "accounts.bob": "login, fly",
                    "accounts.bob.enabled": "perhaps",
                }
            },
            "argocd-secret": {"data": {"admin.password": "%%%"}, "stringData": {"accounts.bob.passwordMtime": "today"}},
        }
    )
    assert [(p.object, p.key) for p in loaded.problems] == [
        ("argocd-secret", "admin.password"),
        ("argocd-cm", "timeout.reconciliation"),
        ("argocd-cm", "timeout.reconciliation.jitter"),
        ("argocd-cm", "application.resourceTrackingMethod"),
        ("argocd-cm", "admin.enabled"),
        ("argocd-cm", "resource.exclusions"),
        ("argocd-cm", "resource.inclusions"),
        ("argocd-cm", "resource.customizations.health.a_b_c"),
        ("argocd-cm", "resource.customizations.ignoreDifferences.apps_Deployment"),
        ("argocd-cm", "accounts.bob"),
        ("argocd-cm", "accounts.bob.enabled"),
        ("argocd-secret", "accounts.bob.passwordMtime"),
    ]
    assert loaded.settings.reconciliation_timeout == timedelta(seconds=120)
    assert loaded.settings.session_duration == timedelta(hours=1)
    assert loaded.settings.accounts["bob"].capabilities == {"login"}


def test_accounts_take_passwords_and_tokens_from_the_secret_and_never_show_them() -> None:
    loaded = load_settings(
        {
            "argocd-cm": {"data": {"accounts.ci": "apiKey"}},
            "argocd-secret": secret(
                {
                    "admin.password": "$2a$hash\n",
                    "admin.passwordMtime": "2024-05-06T07:08:09Z",
                    "accounts.ci.tokens": '[{"id":"a","iat":5}]',
                    "server.secretkey": "canary",
                }
            ),
        }
    )
    assert loaded.settings.admin.password_hash.reveal() == "$2a$hash"
    assert loaded.settings.admin.password_mtime == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert loaded.settings.accounts["ci"].tokens[0].iat == 5
    assert "canary" not in repr(loaded)
    assert "$2a$" not in repr(loaded)


def test_string_data_wins_over_data() -> None:
    assert secret_data({"data": {"a": "eA=="}, "stringData": {"a": "y"}}) == {"a": "y"}
