"""Context: one request with who asks, what it is about and what handlers may use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiphys.identity.tokens import Principal, TokenError
from tiphys.model.appproject import AppProject
from tiphys.policy.answer import Answer
from tiphys.policy.project import is_namespace_served
from tiphys.policy.rbac import ANONYMOUS, Permissions, Subject
from tiphys.server.errors import permission_denied
from tiphys.server.http import Request

if TYPE_CHECKING:
    from tiphys.server.cache import StoredApplication
    from tiphys.server.ports import Services


@dataclass(slots=True)
class Context:
    """What a handler works with. `app` is set by access checks of routes about one Application."""

    request: Request
    services: Services
    principal: Principal | None = None
    token_error: TokenError | None = None  # why the token that was sent does not count
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    app: StoredApplication | None = None

    @property
    def subject(self) -> Subject:
        """Who asks, for RBAC."""
        return self.principal.subject if self.principal is not None else ANONYMOUS

    @property
    def username(self) -> str:
        """Who asks, for records."""
        return self.principal.name if self.principal is not None else ""

    @property
    def application(self) -> StoredApplication:
        """The Application the route is about."""
        assert self.app is not None, "the route's access check did not load an Application"
        return self.app

    def serves(self, namespace: str) -> bool:
        """Whether Applications of a namespace are ours to show."""
        services = self.services
        return is_namespace_served(namespace, services.namespace, services.settings().application_namespaces)

    def ask(self, resource: str, action: str, obj: str, project: str = "") -> Answer:
        """RBAC's answer; `project` names the AppProject whose roles count too."""
        return self.permissions(resource, action, project).of(obj)

    def permissions(self, resource: str, action: str, project: str = "") -> Permissions:
        """RBAC's answers for many objects of one project."""
        found = self.services.projects().get(project) if project else None
        return self.services.rbac().permissions(self.subject, resource, action, project=found or _named(project))

    def enforce(self, resource: str, action: str, obj: str, project: str = "") -> None:
        """Raises RequestError when RBAC says no."""
        answer = self.ask(resource, action, obj, project)
        if not answer:
            raise permission_denied(answer.reason)


def _named(project: str) -> AppProject | None:
    """A project without roles, so that tokens of other projects are refused even where the project is gone."""
    return AppProject(metadata={"name": project}) if project else None
