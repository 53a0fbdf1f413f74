"""/api/v1/settings and /api/version: what clients need to know of the installation.

Source: compat 13.2.
"""

from __future__ import annotations

from typing import Any

from tiphys.model.codec import encode
from tiphys.server.context import Context
from tiphys.server.http import Response, json_response
from tiphys.settings.values import ResourceOverride

# The Argo CD release whose API this is; clients compare it with their own.
COMPATIBLE_VERSION = "v3.6.0"


async def get_settings(context: Context) -> Response:
    """GET /settings: a reduced set for everybody, more with a session."""
    settings = context.services.settings()
    shown: dict[str, Any] = {
        "url": settings.url,
        "appLabelKey": settings.instance_label_key,
        "trackingMethod": settings.tracking_method,
        "installationID": settings.installation_id,
        "googleAnalytics": {},
        "help": {},
        "userLoginsDisabled": not any(
            account.enabled and account.can("login") for account in settings.accounts.values()
        ),
        "appsInAnyNamespaceEnabled": bool(settings.application_namespaces),
        "syncWithReplaceAllowed": settings.replace_allowed,
        "passwordPattern": settings.password_pattern,
    }
    if context.principal is not None or settings.anonymous_enabled:
        shown["controllerNamespace"] = context.services.namespace
        shown["resourceOverrides"] = {kind: _override(override) for kind, override in settings.overrides.items()}
    return json_response({name: value for name, value in shown.items() if value not in ("", False, None)})


async def get_plugins(context: Context) -> Response:
    """GET /settings/plugins: there are no config management plugins."""
    return json_response({"plugins": []})


async def get_version(context: Context) -> Response:
    """GET /api/version: the version alone without a session."""
    services = context.services
    shown = {"Version": f"{COMPATIBLE_VERSION}+tiphys.{services.version}"}
    if context.principal is not None:
        shown |= services.version_details
    return json_response(shown)


def _override(override: ResourceOverride) -> dict[str, Any]:
    """Argo CD's ResourceOverride."""
    shown: dict[str, Any] = {
        "healthLua": override.health_lua,
        "useOpenLibs": override.use_open_libs,
        "actions": override.actions,
        "ignoreDifferences": encode(override.ignore_differences),
        "ignoreResourceUpdates": encode(override.ignore_resource_updates),
        "knownTypeFields": [encode(field) for field in override.known_type_fields],
    }
    return {name: value for name, value in shown.items() if value}
