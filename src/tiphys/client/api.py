"""The HTTP API as methods. Objects are JSON as the server gives it; errors are ApiFailure.

Source: api-ui 2.2, 2.3; compat 13.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.client.transport import Query, Stream, Transport, segment
from tiphys.runtime.secret import Secret

V1 = "/api/v1"
REFRESH_WITHIN_S = 320.0  # the server gives up after 300 s and says so

Object = dict[str, Any]
Resource = Mapping[str, Any]  # a live object by `group`, `version`, `kind`, `namespace`, `name`


class Api:
    """One server's API. `namespace` arguments are of the Application itself, empty for the control plane's."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def close(self) -> None:
        """Close the connection."""
        self.transport.close()

    # Session and account

    def version(self) -> Object:
        """Version of the server."""
        return self._object("GET", "/api/version")

    def settings(self) -> Object:
        """What clients need to know of the installation."""
        return self._object("GET", f"{V1}/settings")

    def create_session(self, username: str, password: Secret) -> Secret:
        """A token for user name and password."""
        body = {"username": username, "password": password.reveal()}
        return Secret(str(self._object("POST", f"{V1}/session", body=body).get("token") or ""))

    def delete_session(self) -> None:
        """End the session."""
        self._object("DELETE", f"{V1}/session")

    def user_info(self) -> Object:
        """Who is asking: `loggedIn`, `username`, `iss`, `groups`."""
        return self._object("GET", f"{V1}/session/userinfo")

    def update_password(self, name: str, current: Secret, new: Secret) -> None:
        """Change a password; `current` is of whoever asks."""
        body = {"name": name, "currentPassword": current.reveal(), "newPassword": new.reveal()}
        self._object("PUT", f"{V1}/account/password", body=body)

    def can_i(self, action: str, resource: str, subresource: str) -> bool:
        """Whether the caller may do this."""
        path = f"{V1}/account/can-i/{segment(resource)}/{segment(action)}/{segment(subresource)}"
        return self._object("GET", path).get("value") == "yes"

    def list_accounts(self) -> list[Object]:
        """Accounts the caller may see."""
        return _items(self._object("GET", f"{V1}/account"))

    def get_account(self, name: str) -> Object:
        """One account."""
        return self._object("GET", f"{V1}/account/{segment(name)}")

    def create_account_token(self, name: str, *, token_id: str = "", expires_in_s: int = 0) -> Secret:
        """A new API key of an account; it never expires with 0."""
        body = {"name": name, "expiresIn": expires_in_s, **({"id": token_id} if token_id else {})}
        return Secret(str(self._object("POST", f"{V1}/account/{segment(name)}/token", body=body).get("token") or ""))

    def delete_account_token(self, name: str, token_id: str) -> None:
        """Revoke an API key."""
        self._object("DELETE", f"{V1}/account/{segment(name)}/token/{segment(token_id)}")

    # Projects

    def list_projects(self) -> list[Object]:
        """Projects the caller may see."""
        return _items(self._object("GET", f"{V1}/projects"))

    def get_project(self, name: str) -> Object:
        """One project."""
        return self._object("GET", f"{V1}/projects/{segment(name)}")

    def create_project(self, obj: Object, *, upsert: bool = False) -> Object:
        """Create a project; one that is there already must be equal unless `upsert`."""
        return self._object("POST", f"{V1}/projects", body={"project": obj, "upsert": upsert})

    def update_project(self, obj: Object) -> Object:
        """Replace a project; its resourceVersion must be the current one."""
        name = str((obj.get("metadata") or {}).get("name") or "")
        return self._object("PUT", f"{V1}/projects/{segment(name)}", body={"project": obj})

    def delete_project(self, name: str) -> None:
        """Delete a project that no Application is in."""
        self._object("DELETE", f"{V1}/projects/{segment(name)}")

    def create_role_token(self, project: str, role: str, *, token_id: str = "", expires_in_s: int = 0) -> Secret:
        """A new token of a project's role; it never expires with 0."""
        body = {"project": project, "role": role, "expiresIn": expires_in_s, **({"id": token_id} if token_id else {})}
        path = f"{V1}/projects/{segment(project)}/roles/{segment(role)}/token"
        return Secret(str(self._object("POST", path, body=body).get("token") or ""))

    def delete_role_token(self, project: str, role: str, issued_at: int) -> None:
        """Revoke a token of a project's role."""
        self._object("DELETE", f"{V1}/projects/{segment(project)}/roles/{segment(role)}/token/{issued_at}")

    # Applications

    def list_applications(
        self,
        *,
        selector: str = "",
        projects: Sequence[str] = (),
        repo: str = "",
        namespace: str = "",
        fields: str = "",
    ) -> list[Object]:
        """Applications the caller may see, sorted by name; with `fields` only these paths of them."""
        query = _query(selector=selector, projects=list(projects), repo=repo, appNamespace=namespace, fields=fields)
        return _items(self._object("GET", f"{V1}/applications", query=query))

    def get_application(
        self, name: str, namespace: str = "", *, refresh: str = "", project: str = "", timeout_s: float | None = None
    ) -> Object:
        """One Application; `refresh` (`normal` or `hard`) waits until it was looked at again."""
        if refresh and timeout_s is None:
            timeout_s = REFRESH_WITHIN_S
        query = _query(appNamespace=namespace, refresh=refresh, project=project)
        return self._object("GET", _application(name), query=query, timeout_s=timeout_s)

    def create_application(self, obj: Object, *, upsert: bool = False, validate: bool = True) -> Object:
        """Create an Application; one that is there already must be equal unless `upsert`."""
        query = {"upsert": _bool(upsert), "validate": _bool(validate)}
        return self._object("POST", f"{V1}/applications", query=query, body=obj)

    def update_application_spec(self, name: str, namespace: str, spec: Object, *, validate: bool = True) -> Object:
        """Replace an Application's spec; the spec as it is then."""
        query = {**_query(appNamespace=namespace), "validate": _bool(validate)}
        return self._object("PUT", f"{_application(name)}/spec", query=query, body=spec)

    def patch_application(self, name: str, namespace: str, patch: str, patch_type: str) -> Object:
        """Patch spec, labels, annotations and finalizers; `patch_type` is `merge` or `json`."""
        body = {"name": name, "patch": patch, "patchType": patch_type}
        if namespace:
            body["appNamespace"] = namespace
        return self._object("PATCH", _application(name), query=_query(appNamespace=namespace), body=body)

    def delete_application(
        self, name: str, namespace: str = "", *, cascade: bool | None = None, propagation: str = ""
    ) -> None:
        """Ask for its deletion; with its resources unless `cascade` is false."""
        query = _query(
            appNamespace=namespace,
            cascade="" if cascade is None else _bool(cascade),
            propagationPolicy=propagation,
        )
        self._object("DELETE", _application(name), query=query)

    def sync_application(self, name: str, namespace: str, request: Object) -> Object:
        """Ask for a sync; the Application with its operation."""
        body = {"name": name, **({"appNamespace": namespace} if namespace else {}), **request}
        return self._object("POST", f"{_application(name)}/sync", query=_query(appNamespace=namespace), body=body)

    def rollback_application(self, name: str, namespace: str, request: Object) -> Object:
        """Ask for a rollback to a history entry."""
        body = {"name": name, **({"appNamespace": namespace} if namespace else {}), **request}
        return self._object("POST", f"{_application(name)}/rollback", query=_query(appNamespace=namespace), body=body)

    def release_hold(self, name: str, namespace: str = "") -> None:
        """Let automation go on after a rollback."""
        self._object("DELETE", f"{_application(name)}/hold", query=_query(appNamespace=namespace))

    def terminate_operation(self, name: str, namespace: str = "") -> None:
        """Ask for the end of the running operation."""
        self._object("DELETE", f"{_application(name)}/operation", query=_query(appNamespace=namespace))

    def sync_windows(self, name: str, namespace: str = "") -> Object:
        """Sync windows about an Application: `activeWindows`, `assignedWindows`, `canSync` by hand."""
        return self._object("GET", f"{_application(name)}/syncwindows", query=_query(appNamespace=namespace))

    def resource_tree(self, name: str, namespace: str = "") -> Object:
        """Live resources and what they own."""
        return self._object("GET", f"{_application(name)}/resource-tree", query=_query(appNamespace=namespace))

    def managed_resources(self, name: str, namespace: str = "") -> list[Object]:
        """Each managed resource with its target and live state as JSON texts."""
        query = _query(appNamespace=namespace)
        return _items(self._object("GET", f"{_application(name)}/managed-resources", query=query))

    def manifests(
        self,
        name: str,
        namespace: str = "",
        *,
        revision: str = "",
        revisions: Sequence[str] = (),
        source_positions: Sequence[int] = (),
    ) -> list[str]:
        """What Git declares at a revision: a JSON text for each object."""
        query = _query(
            appNamespace=namespace,
            revision=revision,
            revisions=list(revisions),
            sourcePositions=[str(position) for position in source_positions],
        )
        answer = self._object("GET", f"{_application(name)}/manifests", query=query, timeout_s=REFRESH_WITHIN_S)
        return [str(text) for text in answer.get("manifests") or ()]

    def get_resource(self, name: str, namespace: str, resource: Resource) -> str:
        """A live object as JSON text; values of Secrets are masked."""
        query = _query(appNamespace=namespace, **_reference(resource))
        return str(self._object("GET", f"{_application(name)}/resource", query=query).get("manifest") or "null")

    def patch_resource(self, name: str, namespace: str, resource: Resource, patch: str, patch_type: str) -> str:
        """Patch a live object; it as JSON text. `patch_type` is a Kubernetes patch media type."""
        query = _query(appNamespace=namespace, patchType=patch_type, **_reference(resource))
        path = f"{_application(name)}/resource"
        return str(self._object("POST", path, query=query, body=patch).get("manifest") or "null")

    def delete_resource(
        self, name: str, namespace: str, resource: Resource, *, force: bool = False, orphan: bool = False
    ) -> None:
        """Delete a live object: at once with `force`, without what it owns with `orphan`."""
        query = _query(appNamespace=namespace, **_reference(resource))
        query = {**query, "force": _bool(force), "orphan": _bool(orphan)}
        self._object("DELETE", f"{_application(name)}/resource", query=query)

    def list_resource_actions(self, name: str, namespace: str, resource: Resource) -> list[Object]:
        """Actions of a live object: `name`, `disabled`, `displayName`."""
        query = _query(appNamespace=namespace, **_reference(resource))
        answer = self._object("GET", f"{_application(name)}/resource/actions", query=query)
        return [item for item in answer.get("actions") or () if isinstance(item, dict)]

    def run_resource_action(self, name: str, namespace: str, resource: Resource, action: str) -> None:
        """Run an action on a live object."""
        body = {**_reference(resource), "name": name, "action": action}
        if namespace:
            body["appNamespace"] = namespace
        query = _query(appNamespace=namespace)
        self._object("POST", f"{_application(name)}/resource/actions/v2", query=query, body=body)

    def logs(self, name: str, namespace: str, query: Query) -> Stream:
        """Log entries: `{"content", "timeStampStr", "podName", "last"}`."""
        return self.transport.stream(
            f"{_application(name)}/logs", query={**_query(appNamespace=namespace), **query} or None
        )

    def watch_application(self, name: str, namespace: str = "") -> Stream:
        """The Application as it is, then its changes: `{"type": ..., "application": ...}`."""
        return self.transport.stream(
            f"{V1}/stream/applications", query=_query(name=name, appNamespace=namespace) or None
        )

    def watch_applications(
        self, *, selector: str = "", projects: Sequence[str] = (), repo: str = "", namespace: str = ""
    ) -> Stream:
        """All Applications asked for as they are, then their changes."""
        query = _query(selector=selector, projects=list(projects), repo=repo, appNamespace=namespace)
        return self.transport.stream(f"{V1}/stream/applications", query=query or None)

    def _object(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        timeout_s: float | None = None,
    ) -> Object:
        answer = self.transport.request(method, path, query=query, body=body, timeout_s=timeout_s)
        return answer if isinstance(answer, dict) else {}


def _reference(resource: Resource) -> dict[str, str]:
    keys = {
        "group": "group",
        "version": "version",
        "kind": "kind",
        "namespace": "namespace",
        "resourceName": "name",
    }
    return {key: str(resource.get(field) or "") for key, field in keys.items()}


def _application(name: str) -> str:
    return f"{V1}/applications/{segment(name)}"


def _query(**values: str | list[str]) -> Query:
    return {name: value for name, value in values.items() if value}


def _items(answer: Object) -> list[Object]:
    return [item for item in answer.get("items") or () if isinstance(item, dict)]


def _bool(value: bool) -> str:
    return "true" if value else "false"
