"""One row per key: name, type, unit, default, meaning, source; docs are generated from it.

A row with an `attribute` is one field of `Settings`; the others are read by their own functions in `load`. Names with
`<...>` are families of keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

CM = "argocd-cm"
PARAMS_CM = "argocd-cmd-params-cm"
RBAC_CM = "argocd-rbac-cm"
SECRET = "argocd-secret"  # noqa: S105 - the name of an object

KeyType = Literal[
    "bool", "int", "duration", "string", "csv", "choice", "yaml", "csv policy", "bcrypt hash", "time", "pem", "json"
]


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `default` is what holds without it; None in a row without `attribute` means nothing."""

    object: str
    name: str
    type: KeyType
    default: str | int | bool | timedelta | tuple[str, ...] | None
    meaning: str
    source: str
    attribute: str = ""
    unit: str = ""
    choices: tuple[str, ...] = ()
    secret: bool = False


KEYS: tuple[Key, ...] = (
    # Reconciliation
    Key(
        CM,
        "timeout.reconciliation",
        "duration",
        timedelta(seconds=120),
        "How long a repository that cannot notify us goes unasked, and how old a fresh revision may be in an Application's "
        "status; 0 turns asking off.",
        "compat 2.9",
        attribute="reconciliation_timeout",
        unit="Go duration",
    ),
    Key(
        CM,
        "timeout.reconciliation.jitter",
        "duration",
        timedelta(seconds=60),
        "Up to this much is added to the reconciliation timeout, so that Applications do not refresh together.",
        "compat 2.9",
        attribute="reconciliation_jitter",
        unit="Go duration",
    ),
    Key(
        CM,
        "timeout.hard.reconciliation",
        "duration",
        timedelta(),
        "How often everything is rendered anew whatever the inputs; 0 is never.",
        "compat 2.9",
        attribute="hard_reconciliation_timeout",
        unit="Go duration",
    ),
    Key(
        PARAMS_CM,
        "controller.sync.wave.delay.seconds",
        "int",
        0,
        "Pause between waves. Waves advance on the event that makes them healthy, so the default is none.",
        "compat 2.1 (there: 2)",
        attribute="sync_wave_delay_s",
        unit="s",
    ),
    Key(
        PARAMS_CM,
        "controller.sync.timeout.seconds",
        "int",
        0,
        "A sync that runs longer, retries included, is terminated; 0 is never.",
        "compat 2.6",
        attribute="sync_timeout_s",
        unit="s",
    ),
    Key(
        PARAMS_CM,
        "controller.self.heal.timeout.seconds",
        "int",
        0,
        "Least time between the end of a sync and a self-heal of the same revision, beside the back-off.",
        "compat 2.6",
        attribute="self_heal_timeout_s",
        unit="s",
    ),
    Key(
        PARAMS_CM,
        "controller.resource.health.persist",
        "bool",
        False,
        "Write the health of every resource into the Application's status.",
        "compat 1.10",
        attribute="persist_resource_health",
    ),
    Key(
        PARAMS_CM,
        "controller.diff.server.side",
        "bool",
        False,
        "Compare by a server-side dry run wherever an Application does not say otherwise.",
        "compat 3.6",
        attribute="server_side_diff",
    ),
    Key(
        PARAMS_CM,
        "tiphys.status.eager",
        "bool",
        False,
        "Write sync.revision and reconciledAt for every commit, also where it does not touch the Application, as Argo CD "
        "does. Off: they are fresh in the API at once and written in batches.",
        "own",
        attribute="eager_status",
    ),
    Key(
        PARAMS_CM,
        "tiphys.apply.serverSide",
        "bool",
        False,
        "Apply server-side wherever neither resource nor Application says otherwise.",
        "own",
        attribute="server_side_apply",
    ),
    Key(
        PARAMS_CM,
        "application.namespaces",
        "csv",
        (),
        "Namespaces besides our own whose Applications are looked after; globs, or a regular expression between slashes.",
        "compat 1.1",
        attribute="application_namespaces",
    ),
    # Rendering
    Key(
        CM,
        "kustomize.buildOptions",
        "string",
        "",
        "Options added to every Kustomize build.",
        "compat 1.5",
        attribute="kustomize_build_options",
    ),
    Key(
        CM,
        "kustomize.enable",
        "bool",
        True,
        "Whether folders with a kustomization are built; false reads them as plain directories.",
        "compat 1.2",
        attribute="kustomize_enabled",
    ),
    Key(
        CM,
        "helm.enable",
        "bool",
        True,
        "Whether charts are rendered; false reads their folders as plain directories.",
        "compat 1.2",
        attribute="helm_enabled",
    ),
    # Tracking
    Key(
        CM,
        "application.resourceTrackingMethod",
        "choice",
        "annotation",
        "How objects are marked as belonging to an Application. An unknown word counts as annotation.",
        "compat 3.1",
        attribute="tracking_method",
        choices=("annotation", "annotation+label", "label"),
    ),
    Key(
        CM,
        "application.instanceLabelKey",
        "string",
        "app.kubernetes.io/instance",
        "Label that carries the Application's name where labels are used for tracking.",
        "compat 3.1",
        attribute="instance_label_key",
    ),
    Key(
        CM,
        "installationID",
        "string",
        "",
        "Tells installations that share a cluster apart: an object is ours only if it carries the same id.",
        "compat 3.1",
        attribute="installation_id",
    ),
    # Comparing
    Key(
        CM,
        "resource.compareoptions.ignoreAggregatedRoles",
        "bool",
        False,
        "Leave the rules of aggregated ClusterRoles out of comparison.",
        "compat 3.4",
        attribute="ignore_aggregated_roles",
    ),
    Key(
        CM,
        "resource.compareoptions.ignoreResourceStatusField",
        "choice",
        "all",
        "For which kinds `status` is left out of comparison.",
        "compat 3.4",
        attribute="ignore_status_field",
        choices=("all", "crd", "none", "off", "false"),
    ),
    Key(
        CM,
        "resource.compareoptions.ignoreDifferencesOnResourceUpdates",
        "bool",
        True,
        "Changes that ignoreDifferences ignores do not wake an Application either.",
        "compat 3.4",
        attribute="ignore_differences_on_updates",
    ),
    Key(
        CM,
        "resource.ignoreResourceUpdatesEnabled",
        "bool",
        True,
        "Use the ignoreResourceUpdates customizations.",
        "compat 3.4",
        attribute="ignore_resource_updates",
    ),
    Key(
        CM,
        "resource.exclusions",
        "yaml",
        None,
        "Kinds that do not exist for us: a list of {apiGroups, kinds, clusters}. Events and Leases are always left out.",
        "compat 3.4",
    ),
    Key(CM, "resource.inclusions", "yaml", None, "If given, only these kinds exist for us.", "compat 3.4"),
    Key(
        CM,
        "resource.respectRBAC",
        "choice",
        "",
        "Watch only what our own identity may list.",
        "compat 3.4",
        attribute="respect_rbac",
        choices=("", "normal", "strict"),
    ),
    Key(
        CM,
        "resource.sensitive.mask.annotations",
        "csv",
        (),
        "Annotations of Secrets whose values are masked when shown.",
        "compat 3.4",
        attribute="masked_annotations",
    ),
    Key(
        CM, "resource.customizations", "yaml", None, "Customizations by `group/Kind`, wildcards allowed.", "compat 3.3"
    ),
    Key(
        CM,
        "resource.customizations.<what>.<group>_<Kind>",
        "yaml",
        None,
        "One customization of one kind; <what> is health, useOpenLibs, actions, ignoreDifferences, ignoreResourceUpdates or "
        "knownTypeFields; `all` in place of the kind means every kind. Wins over `resource.customizations`.",
        "compat 3.3",
    ),
    # Server
    Key(CM, "url", "string", "", "Address users reach us at.", "compat 17.1", attribute="url"),
    Key(
        CM,
        "admin.enabled",
        "bool",
        True,
        "Whether the built-in admin may log in.",
        "compat 17.1",
        attribute="admin_enabled",
    ),
    Key(
        CM,
        "users.anonymous.enabled",
        "bool",
        False,
        "Whether requests without a session get the default role.",
        "compat 6.1",
        attribute="anonymous_enabled",
    ),
    Key(
        CM,
        "users.session.duration",
        "duration",
        timedelta(hours=24),
        "How long a login lasts.",
        "compat 6.4",
        attribute="session_duration",
        unit="Go duration",
    ),
    Key(
        CM,
        "passwordPattern",
        "string",
        "^.{8,32}$",
        "Regular expression that new passwords must match.",
        "compat 6.4",
        attribute="password_pattern",
    ),
    Key(CM, "accounts.<name>", "csv", None, "A local account and what it may do: apiKey, login.", "compat 6.4"),
    Key(CM, "accounts.<name>.enabled", "bool", None, "Whether the account works; true without it.", "compat 6.4"),
    Key(
        CM,
        "server.rbac.disableApplicationFineGrainedRBACInheritance",
        "bool",
        True,
        "The right to update or delete an Application does not cover the resources in it.",
        "compat 6.1",
        attribute="fine_grained_rbac",
    ),
    Key(
        PARAMS_CM,
        "server.rbac.rollback.enforce.enable",
        "bool",
        False,
        "Rollback needs the action rollback rather than sync.",
        "compat 6.1",
        attribute="rollback_enforced",
    ),
    Key(
        PARAMS_CM,
        "server.rollback.hold",
        "bool",
        True,
        "A rollback of an Application with automated sync holds it there; false refuses such rollbacks, as Argo CD does.",
        "own",
        attribute="rollback_holds",
    ),
    Key(
        PARAMS_CM,
        "server.sync.replace.allowed",
        "bool",
        True,
        "Whether the API takes syncs with Replace=true.",
        "compat 2.4",
        attribute="replace_allowed",
    ),
    Key(
        PARAMS_CM,
        "server.insecure",
        "bool",
        False,
        "Serve plain HTTP.",
        "own, as Argo CD's",
        attribute="server_insecure",
    ),
    Key(
        CM,
        "webhook.maxPayloadSizeMB",
        "int",
        50,
        "Largest payload of a webhook.",
        "compat 8.5",
        attribute="webhook_max_payload_mb",
        unit="MiB",
    ),
    # RBAC
    Key(RBAC_CM, "policy.csv", "csv policy", None, "Policy and group lines.", "compat 6.1"),
    Key(RBAC_CM, "policy.<name>.csv", "csv policy", None, "More lines, added in the order of the keys.", "compat 6.1"),
    Key(RBAC_CM, "policy.default", "string", "", "Role everybody has.", "compat 6.1", attribute="rbac_default_role"),
    Key(
        RBAC_CM,
        "policy.matchMode",
        "choice",
        "glob",
        "How objects and actions are matched.",
        "compat 6.1",
        attribute="rbac_match_mode",
        choices=("glob", "regex"),
    ),
    Key(RBAC_CM, "scopes", "yaml", None, "Claims that name groups; [groups] without it.", "compat 6.1"),
    # Secrets
    Key(SECRET, "webhook.github.secret", "string", None, "Signs GitHub's webhooks.", "compat 8.5", secret=True),
    Key(SECRET, "webhook.gitlab.secret", "string", None, "Token of GitLab's webhooks.", "compat 8.5", secret=True),
    Key(SECRET, "webhook.gogs.secret", "string", None, "Signs webhooks of Gogs and Gitea.", "compat 8.5", secret=True),
    Key(
        SECRET,
        "webhook.bitbucket.uuid",
        "string",
        None,
        "UUID of Bitbucket Cloud's webhook.",
        "compat 8.5",
        secret=True,
    ),
    Key(
        SECRET,
        "webhook.bitbucketserver.secret",
        "string",
        None,
        "Signs Bitbucket Server's webhooks.",
        "compat 8.5",
        secret=True,
    ),
    Key(
        SECRET,
        "webhook.azuredevops.username",
        "string",
        None,
        "User of Azure DevOps' webhooks.",
        "compat 8.5",
        secret=True,
    ),
    Key(
        SECRET,
        "webhook.azuredevops.password",
        "string",
        None,
        "Password of Azure DevOps' webhooks.",
        "compat 8.5",
        secret=True,
    ),
    Key(SECRET, "server.secretkey", "string", None, "Signs sessions and tokens.", "compat 6.4", secret=True),
    Key(SECRET, "admin.password", "bcrypt hash", None, "Password of admin.", "compat 6.4", secret=True),
    Key(SECRET, "admin.passwordMtime", "time", None, "Sessions of admin issued before are void.", "compat 6.4"),
    Key(SECRET, "admin.tokens", "json", None, "Issued API tokens of admin.", "compat 6.4", secret=True),
    Key(SECRET, "accounts.<name>.password", "bcrypt hash", None, "Password of an account.", "compat 6.4", secret=True),
    Key(SECRET, "accounts.<name>.passwordMtime", "time", None, "Sessions issued before are void.", "compat 6.4"),
    Key(SECRET, "accounts.<name>.tokens", "json", None, "Issued API tokens of an account.", "compat 6.4", secret=True),
    Key(SECRET, "tls.crt", "pem", None, "Certificate served, unless argocd-server-tls has one.", "compat 17.2"),
    Key(SECRET, "tls.key", "pem", None, "Its key.", "compat 17.2", secret=True),
)

SCALARS: tuple[Key, ...] = tuple(key for key in KEYS if key.attribute)
