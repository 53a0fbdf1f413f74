"""Settings and its parts: what argocd-cm and its kin say, parsed and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiphys.model.codec import EMPTY, Wire
from tiphys.runtime.secret import Secret

ADMIN = "admin"
CAPABILITY_LOGIN = "login"
CAPABILITY_API_KEY = "apiKey"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSelector(Wire):
    """Some kinds of some clusters; group and cluster are globs, a kind is exact or `*`. An empty list is any."""

    api_groups: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoredFields(Wire):
    """Fields left out of comparison, named in three ways."""

    json_pointers: tuple[str, ...] = ()
    jq_path_expressions: tuple[str, ...] = ()
    managed_fields_managers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTypeField(Wire):
    """A field of a custom resource that has the type of a built-in one."""

    field: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceOverride:
    """What is customized for one kind."""

    health_lua: str = ""
    use_open_libs: bool = False
    actions: str = ""
    ignore_differences: IgnoredFields = field(default_factory=IgnoredFields)
    ignore_resource_updates: IgnoredFields = field(default_factory=IgnoredFields)
    known_type_fields: tuple[KnownTypeField, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken(Wire):
    """An issued API token of an account; times are Unix seconds, exp 0 is never."""

    id: str = ""
    iat: int = 0
    exp: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A local account."""

    name: str
    capabilities: frozenset[str] = frozenset()
    enabled: bool = True
    password_hash: Secret = field(default_factory=lambda: Secret(""))
    password_mtime: datetime | None = None
    tokens: tuple[ApiToken, ...] = ()

    def can(self, capability: str) -> bool:
        """Whether the account has a capability: login or apiKey."""
        return capability in self.capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is configured, defaults filled in. Field defaults are those of the table in `keys`."""

    reconciliation_timeout: timedelta = timedelta(seconds=120)
    reconciliation_jitter: timedelta = timedelta(seconds=60)
    hard_reconciliation_timeout: timedelta = timedelta()
    sync_wave_delay_s: int = 0
    sync_timeout_s: int = 0
    self_heal_timeout_s: int = 0
    persist_resource_health: bool = False
    server_side_diff: bool = False
    eager_status: bool = False
    server_side_apply: bool = False
    application_namespaces: tuple[str, ...] = ()
    kustomize_build_options: str = ""
    kustomize_enabled: bool = True
    helm_enabled: bool = True
    tracking_method: str = "annotation"
    instance_label_key: str = "app.kubernetes.io/instance"
    installation_id: str = ""
    ignore_aggregated_roles: bool = False
    ignore_status_field: str = "all"
    ignore_differences_on_updates: bool = True
    ignore_resource_updates: bool = True
    respect_rbac: str = ""
    masked_annotations: tuple[str, ...] = ()
    url: str = ""
    admin_enabled: bool = True
    anonymous_enabled: bool = False
    session_duration: timedelta = timedelta(hours=24)
    password_pattern: str = "^.{8,32}$"  # noqa: S105 - a pattern
    fine_grained_rbac: bool = True
    rollback_enforced: bool = False
    rollback_holds: bool = True
    replace_allowed: bool = True
    server_insecure: bool = False
    webhook_max_payload_mb: int = 50
    rbac_default_role: str = ""
    rbac_match_mode: str = "glob"

    exclusions: tuple[ResourceSelector, ...] = ()
    inclusions: tuple[ResourceSelector, ...] = ()
    overrides: Mapping[str, ResourceOverride] = EMPTY  # `group/Kind`, or `Kind` in the core group; may have wildcards
    accounts: Mapping[str, Account] = EMPTY
    rbac_policy: str = ""  # policy.csv and its additions, one after the other
    rbac_scopes: tuple[str, ...] = ("groups",)
    signing_key: Secret = field(default_factory=lambda: Secret(""))
    webhook_secrets: Mapping[str, Secret] = EMPTY  # `github`, `gitlab`, ..., without the `.secret` of the key
    tls_certificate: str = ""
    tls_key: Secret = field(default_factory=lambda: Secret(""))

    @property
    def admin(self) -> Account:
        """The built-in account; there even when argocd-cm says nothing of it."""
        return self.accounts.get(ADMIN) or Account(name=ADMIN, capabilities=frozenset((CAPABILITY_LOGIN,)))
