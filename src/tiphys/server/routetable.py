"""Routes of Applications, projects and accounts, each with its access check.

Source: api-ui Appendix A.
"""

from __future__ import annotations

from tiphys.server import (
    account,
    applications,
    applist,
    logs,
    manifests,
    projects,
    projecttokens,
    resources,
    rollback,
    stream,
    sync,
    syncwindows,
    trees,
)
from tiphys.server.authz import (
    SIGNED_IN,
    action_access,
    application_access,
    enforce,
    logs_access,
    resource_access,
)
from tiphys.server.context import Context
from tiphys.server.routing import Access, Route


async def _in_body(_context: Context) -> None:
    """The handler asks: what is to be created, and where, is in the body."""


_GET = application_access("get")
_UPDATE = application_access("update")


def application_routes(v1: str) -> list[Route]:
    """/applications and its streams."""
    apps = f"{v1}/applications"
    app = f"{apps}/{{name}}"
    revision = f"{app}/revisions/{{revision}}"
    streams = f"{v1}/stream/applications"
    create = Access("applications, create, {project}/{name} of the body", _in_body)
    return [
        Route("GET", apps, applist.list_applications, SIGNED_IN),
        Route("POST", apps, applications.create_application, create),
        Route("GET", app, applications.get_application, _GET),
        Route("PUT", app, applications.update_application, _UPDATE),
        Route("PATCH", app, applications.patch_application, _UPDATE),
        Route("DELETE", app, applications.delete_application, application_access("delete")),
        Route("PUT", f"{app}/spec", applications.update_spec, _UPDATE),
        Route("POST", f"{app}/sync", sync.sync_application, _GET),
        Route("POST", f"{app}/rollback", rollback.rollback_application, _GET),
        Route("DELETE", f"{app}/hold", rollback.release_hold, _GET),
        Route("DELETE", f"{app}/operation", sync.terminate_operation, _GET),
        Route("GET", f"{app}/resource-tree", trees.resource_tree, _GET),
        Route("GET", f"{app}/managed-resources", trees.managed_resources, _GET),
        Route("GET", f"{app}/links", trees.application_links, _GET),
        Route("GET", f"{app}/manifests", manifests.get_manifests, _GET),
        Route("GET", f"{app}/server-side-diff", manifests.server_side_diff, _GET),
        Route("GET", f"{app}/syncwindows", syncwindows.application_windows, _GET),
        Route("GET", f"{app}/events", resources.list_events, _GET),
        Route("GET", f"{app}/logs", logs.pod_logs, logs_access()),
        Route("GET", f"{app}/pods/{{podName}}/logs", logs.pod_logs, logs_access()),
        Route("GET", f"{app}/resource", resources.get_resource, _GET),
        Route("POST", f"{app}/resource", resources.patch_resource, resource_access("update")),
        Route("DELETE", f"{app}/resource", resources.delete_resource, resource_access("delete")),
        Route("GET", f"{app}/resource/links", resources.resource_links, _GET),
        Route("GET", f"{app}/resource/actions", resources.list_actions, _GET),
        Route("POST", f"{app}/resource/actions", resources.run_action, action_access()),
        Route("POST", f"{app}/resource/actions/v2", resources.run_action_v2, action_access()),
        Route("GET", f"{revision}/metadata", manifests.revision_metadata, _GET),
        Route("GET", f"{revision}/chartdetails", manifests.chart_details, _GET),
        Route("GET", f"{revision}/ocimetadata", manifests.oci_metadata, _GET),
        Route("GET", streams, stream.stream_applications, SIGNED_IN),
        Route("GET", f"{streams}/{{name}}/resource-tree", stream.stream_resource_tree, _GET),
    ]


def project_routes(v1: str) -> list[Route]:
    """/projects and what is below."""
    project = f"{v1}/projects/{{name}}"
    token = f"{project}/roles/{{role}}/token"
    get, update, delete = (
        enforce("projects", action, "name", in_project=True) for action in ("get", "update", "delete")
    )
    create = Access("projects, create, {name} of the body", _in_body)
    return [
        Route("GET", f"{v1}/projects", projects.list_projects, SIGNED_IN),
        Route("POST", f"{v1}/projects", projects.create_project, create),
        Route("GET", project, projects.get_project, get),
        Route("PUT", project, projects.update_project, update),
        Route("DELETE", project, projects.delete_project, delete),
        Route("GET", f"{project}/detailed", projects.get_detailed, get),
        Route("GET", f"{project}/globalprojects", projects.global_projects, get),
        Route("GET", f"{project}/events", projects.project_events, get),
        Route("GET", f"{project}/links", projects.project_links, get),
        Route("GET", f"{project}/syncwindows", syncwindows.project_windows, get),
        Route("POST", token, projecttokens.create_token, update),
        Route("DELETE", f"{token}/{{iat}}", projecttokens.delete_token, update),
    ]


def account_routes(v1: str) -> list[Route]:
    """/account and what is below."""
    accounts = f"{v1}/account"
    return [
        Route("GET", accounts, account.list_accounts, SIGNED_IN),
        Route("PUT", f"{accounts}/password", account.update_password, SIGNED_IN),
        Route("GET", f"{accounts}/can-i/{{resource}}/{{action}}/{{subresource=**}}", account.can_i, SIGNED_IN),
        Route("GET", f"{accounts}/{{name}}", account.get_account, SIGNED_IN),
        Route("POST", f"{accounts}/{{name}}/token", account.create_token, account.OWN_ACCOUNT),
        Route("DELETE", f"{accounts}/{{name}}/token/{{id}}", account.delete_token, account.OWN_ACCOUNT),
    ]
