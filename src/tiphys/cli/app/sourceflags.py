"""Options that describe an Application's source, destination and sync policy, and what they make of a spec.

Source: api-ui Appendix B "SRC"; compat 1.2-1.8. Options set the fields they stand for; whether the engine acts on a field is
for the server to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import click

from tiphys.cli.arguments import flag
from tiphys.cli.failure import CommandFailed, not_as_asked

Spec = dict[str, Any]
Given = Mapping[str, Any]

_HELM = {
    "values": ("valueFiles", list),
    "release_name": ("releaseName", str),
    "helm_version": ("version", str),
    "helm_namespace": ("namespace", str),
    "helm_kube_version": ("kubeVersion", str),
    "helm_api_versions": ("apiVersions", list),
    "helm_pass_credentials": ("passCredentials", bool),
    "helm_skip_crds": ("skipCrds", bool),
    "helm_skip_tests": ("skipTests", bool),
    "helm_skip_schema_validation": ("skipSchemaValidation", bool),
    "ignore_missing_value_files": ("ignoreMissingValueFiles", bool),
}
_KUSTOMIZE = {
    "nameprefix": ("namePrefix", str),
    "namesuffix": ("nameSuffix", str),
    "kustomize_version": ("version", str),
    "kustomize_namespace": ("namespace", str),
    "kustomize_kube_version": ("kubeVersion", str),
    "kustomize_api_versions": ("apiVersions", list),
    "kustomize_force_common_label": ("forceCommonLabels", bool),
    "kustomize_force_common_annotation": ("forceCommonAnnotations", bool),
    "kustomize_label_without_selector": ("labelWithoutSelector", bool),
    "kustomize_label_include_templates": ("labelIncludeTemplates", bool),
    "ignore_missing_components": ("ignoreMissingComponents", bool),
}
_SOURCE = {
    "repo": ("repoURL", str),
    "path": ("path", str),
    "helm_chart": ("chart", str),
    "revision": ("targetRevision", str),
    "ref": ("ref", str),
    "source_name": ("name", str),
    "tag_prefix": ("tagPrefix", str),
}
_DESTINATION = {"dest_server": "server", "dest_name": "name", "dest_namespace": "namespace"}


def _text(name: str, help: str, *more: str, **options: Any) -> Callable[[Any], Any]:
    return click.option(name, *more, default=None, help=help, **options)


def _many(name: str, help: str, *more: str, metavar: str = "TEXT") -> Callable[[Any], Any]:
    return click.option(name, *more, multiple=True, metavar=metavar, help=f"{help}; repeatable.")


def _switch(name: str, help: str) -> Callable[[Any], Any]:
    return flag(name, default=None, help=help)


OPTIONS: tuple[Callable[[Any], Any], ...] = (
    _text("--repo", "URL of the repository."),
    _text("--path", "Folder in the repository."),
    _text("--revision", "Branch, tag or commit. [default: HEAD]"),
    _text("--helm-chart", "Chart in a chart repository, instead of --path."),
    _text("--ref", "Name under which other sources use this one's files."),
    _text("--source-name", "Name of the source."),
    _text("--tag-prefix", "Prefix of tags that a version constraint is matched with."),
    _text("--project", "Project of the application. [default: default]"),
    _text("--dest-server", "URL of the cluster."),
    _text("--dest-name", "Name of the cluster, instead of its URL."),
    _text("--dest-namespace", "Namespace of resources that name none."),
    _text("--sync-policy", "When to sync: manual (none) or automated (auto).", metavar="POLICY"),
    _switch("--auto-prune", "Automated sync deletes what is no longer in Git."),
    _switch("--self-heal", "Automated sync undoes changes in the cluster."),
    _switch("--allow-empty", "Automated sync may delete everything."),
    _many("--sync-option", "Sync option such as CreateNamespace=true; `!NAME=VALUE` removes one"),
    _text("--sync-retry-limit", "Retries of a failed sync; negative means without end.", type=int),
    _text("--sync-retry-backoff-duration", "First wait between retries. [default: 5s]"),
    _text("--sync-retry-backoff-max-duration", "Longest wait between retries. [default: 3m0s]"),
    _text("--sync-retry-backoff-factor", "What each wait grows by. [default: 2]", type=int),
    _switch("--sync-retry-refresh", "Retries take the newest revision."),
    _text("--revision-history-limit", "How many deployments to remember. [default: 10]", type=int),
    _many("--parameter", "Helm parameter", "-p", metavar="NAME=VALUE"),
    _many("--values", "Helm values file in the repository"),
    _text("--values-literal-file", "Local file with Helm values to write into the application."),
    _text("--release-name", "Helm release name. [default: the application's name]"),
    _many("--helm-set", "Helm parameter", metavar="NAME=VALUE"),
    _many("--helm-set-string", "Helm parameter that is a string", metavar="NAME=VALUE"),
    _many("--helm-set-file", "Helm parameter from a file in the repository", metavar="NAME=PATH"),
    _text("--helm-version", "Helm version."),
    _text("--helm-namespace", "Namespace Helm renders with."),
    _text("--helm-kube-version", "Kubernetes version Helm renders for."),
    _many("--helm-api-versions", "API version Helm is told of"),
    _switch("--helm-pass-credentials", "Pass credentials to all domains."),
    _switch("--helm-skip-crds", "Leave the chart's CRDs out."),
    _switch("--helm-skip-tests", "Leave the chart's tests out."),
    _switch("--helm-skip-schema-validation", "Do not validate values."),
    _switch("--ignore-missing-value-files", "Missing values files are no error."),
    _text("--nameprefix", "Kustomize name prefix."),
    _text("--namesuffix", "Kustomize name suffix."),
    _many("--kustomize-image", "Kustomize image override", metavar="IMAGE"),
    _many("--kustomize-replica", "Kustomize replica count", metavar="NAME=COUNT"),
    _many("--kustomize-common-label", "Kustomize label", metavar="NAME=VALUE"),
    _many("--kustomize-common-annotation", "Kustomize annotation", metavar="NAME=VALUE"),
    _switch("--kustomize-force-common-label", "Overwrite labels."),
    _switch("--kustomize-force-common-annotation", "Overwrite annotations."),
    _switch("--kustomize-label-without-selector", "Leave selectors alone."),
    _switch("--kustomize-label-include-templates", "Label templates too."),
    _text("--kustomize-version", "Kustomize version."),
    _text("--kustomize-namespace", "Kustomize namespace."),
    _text("--kustomize-kube-version", "Kubernetes version kustomize renders for."),
    _many("--kustomize-api-versions", "API version kustomize is told of"),
    _switch("--ignore-missing-components", "Missing kustomize components are no error."),
    _switch("--directory-recurse", "Read folders below the path too."),
    _text("--directory-include", "Glob of files to read."),
    _text("--directory-exclude", "Glob of files to leave out."),
    _switch("--directory-disable-extension-filter", "Read files of any extension."),
    _many("--jsonnet-tla-str", "Jsonnet top-level argument", metavar="NAME=VALUE"),
    _many("--jsonnet-tla-code", "The same as code", metavar="NAME=CODE"),
    _many("--jsonnet-ext-var-str", "Jsonnet external variable", metavar="NAME=VALUE"),
    _many("--jsonnet-ext-var-code", "The same as code", metavar="NAME=CODE"),
    _many("--jsonnet-libs", "Jsonnet library folder"),
    _text("--config-management-plugin", "Name of the config management plugin."),
    _many("--plugin-env", "Variable for the plugin", metavar="NAME=VALUE"),
    _text("--dry-source-repo", "Source hydrator: repository of the dry manifests."),
    _text("--dry-source-revision", "Source hydrator: revision of the dry manifests."),
    _text("--dry-source-path", "Source hydrator: folder of the dry manifests."),
    _text("--sync-source-branch", "Source hydrator: branch to sync from."),
    _text("--sync-source-path", "Source hydrator: folder to sync from."),
    _text("--hydrate-to-branch", "Source hydrator: branch to push hydrated manifests to."),
    click.option("--env", hidden=True, help="Accepted; it means nothing any more."),
)


def source_options(function: Any) -> Any:
    """All of these options on a command; it gets them as keyword arguments."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def set_spec(spec: Spec, given: Given, *, position: int = 0) -> None:
    """Put what was given into a spec; into which of several sources says `position`, from 1. Raises CommandFailed."""
    if given["project"] is not None:
        spec["project"] = given["project"]
    destination = spec.setdefault("destination", {})
    for option, key in _DESTINATION.items():
        if given[option] is not None:
            destination[key] = given[option]
    if given["revision_history_limit"] is not None:
        spec["revisionHistoryLimit"] = given["revision_history_limit"]
    _set_policy(spec, given)
    _set_hydrator(spec, given)
    if spec.get("sources"):
        if position:
            set_source(spec["sources"][position - 1], given)
    elif not spec.get("sourceHydrator"):
        set_source(spec.setdefault("source", {}), given)


def set_source(source: Spec, given: Given) -> None:
    """Put what was given into one source. Raises CommandFailed."""
    _fill(source, _SOURCE, given)
    _set_helm(source, given)
    _set_kustomize(source, given)
    _set_directory(source, given)
    _set_plugin(source, given)


def names_source(given: Given) -> bool:
    """Whether anything was given that belongs to one of several sources."""
    probe: Spec = {}
    set_source(probe, given)
    return bool(probe)


def source_at(spec: Spec, position: int | None, name: str | None, *, needed: bool) -> int:
    """Position, from 1, of the source that is meant; 0 without several sources, or when none is needed.

    Raises CommandFailed when it cannot be told which.
    """
    several = spec.get("sources") or []
    if name:
        found = [index for index, source in enumerate(several, 1) if source.get("name") == name]
        if not found:
            raise CommandFailed(f"Source name '{name}' not found")
        return found[0]
    if not several:
        if position is not None and position > 1:
            raise CommandFailed("source position should be less than the number of sources in the application")
        return 0
    if position is None and not needed:
        return 0
    if position is None or position <= 0:
        raise CommandFailed(
            "source position should be specified and must be greater than 0 for applications with multiple sources",
            hint=f"Give --source-position 1 to {len(several)}.",
        )
    if position > len(several):
        raise CommandFailed("source position should be less than the number of sources in the application")
    return position


def pairs(texts: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    """`NAME=VALUE` texts as pairs. Raises CommandFailed."""
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandFailed(f"{option}: expected NAME=VALUE, but instead got: {text}")
        found.append((name, value))
    return found


def _fill(block: MutableMapping[str, Any], table: Mapping[str, tuple[str, type]], given: Given) -> None:
    for option, (key, kind) in table.items():
        value = given[option]
        if value is not None and value != ():
            block[key] = list(value) if kind is list else value


def _put(source: Spec, name: str, block: Spec) -> None:
    if block:
        source[name] = block


def _set_helm(source: Spec, given: Given) -> None:
    helm = dict(source.get("helm") or {})
    _fill(helm, _HELM, given)
    if given["values_literal_file"] is not None:
        try:
            helm["values"] = Path(given["values_literal_file"]).read_text()
        except OSError as error:
            raise CommandFailed(f"open {given['values_literal_file']}: {(error.strerror or '').lower()}") from error
    parameters = [*pairs(given["parameter"], "--parameter"), *pairs(given["helm_set"], "--helm-set")]
    found: list[Spec] = [{"name": name, "value": value} for name, value in parameters]
    strings = pairs(given["helm_set_string"], "--helm-set-string")
    found += [{"name": name, "value": value, "forceString": True} for name, value in strings]
    for parameter in found:
        _replace(helm.setdefault("parameters", []), parameter)
    for name, path in pairs(given["helm_set_file"], "--helm-set-file"):
        _replace(helm.setdefault("fileParameters", []), {"name": name, "path": path})
    _put(source, "helm", helm)


def _set_kustomize(source: Spec, given: Given) -> None:
    block = dict(source.get("kustomize") or {})
    _fill(block, _KUSTOMIZE, given)
    for image in given["kustomize_image"]:
        kept = [item for item in block.get("images") or () if image_name(item) != image_name(image)]
        block["images"] = [*kept, image]
    for name, count in pairs(given["kustomize_replica"], "--kustomize-replica"):
        if not count.isdecimal():
            raise CommandFailed(f"--kustomize-replica: {count!r} is no number")
        _replace(block.setdefault("replicas", []), {"name": name, "count": int(count)})
    for option, key in (
        ("kustomize_common_label", "commonLabels"),
        ("kustomize_common_annotation", "commonAnnotations"),
    ):
        found = dict(pairs(given[option], f"--{option.replace('_', '-')}"))
        if found:
            block[key] = {**(block.get(key) or {}), **found}
    _put(source, "kustomize", block)


def _set_directory(source: Spec, given: Given) -> None:
    block = dict(source.get("directory") or {})
    names = {
        "directory_recurse": "recurse",
        "directory_include": "include",
        "directory_exclude": "exclude",
        "directory_disable_extension_filter": "disableExtensionFilter",
    }
    for option, key in names.items():
        if given[option] is not None:
            block[key] = given[option]
    jsonnet = dict(block.get("jsonnet") or {})
    for option, key, is_code in (
        ("jsonnet_tla_str", "tlas", False),
        ("jsonnet_tla_code", "tlas", True),
        ("jsonnet_ext_var_str", "extVars", False),
        ("jsonnet_ext_var_code", "extVars", True),
    ):
        for name, value in pairs(given[option], f"--{option.replace('_', '-')}"):
            _replace(jsonnet.setdefault(key, []), {"name": name, "value": value, **({"code": True} if is_code else {})})
    if given["jsonnet_libs"]:
        jsonnet["libs"] = [*(jsonnet.get("libs") or ()), *given["jsonnet_libs"]]
    _put(block, "jsonnet", jsonnet)
    _put(source, "directory", block)


def _set_plugin(source: Spec, given: Given) -> None:
    block = dict(source.get("plugin") or {})
    if given["config_management_plugin"] is not None:
        block["name"] = given["config_management_plugin"]
    for name, value in pairs(given["plugin_env"], "--plugin-env"):
        _replace(block.setdefault("env", []), {"name": name, "value": value})
    _put(source, "plugin", block)


def _set_hydrator(spec: Spec, given: Given) -> None:
    block = dict(spec.get("sourceHydrator") or {})
    for option, part, key in (
        ("dry_source_repo", "drySource", "repoURL"),
        ("dry_source_revision", "drySource", "targetRevision"),
        ("dry_source_path", "drySource", "path"),
        ("sync_source_branch", "syncSource", "targetBranch"),
        ("sync_source_path", "syncSource", "path"),
        ("hydrate_to_branch", "hydrateTo", "targetBranch"),
    ):
        if given[option] is not None:
            block[part] = {**(block.get(part) or {}), key: given[option]}
    _put(spec, "sourceHydrator", block)


def _set_policy(spec: Spec, given: Given) -> None:
    policy = dict(spec.get("syncPolicy") or {})
    asked = given["sync_policy"]
    if asked is not None:
        if asked in ("none", "manual", ""):
            policy.pop("automated", None)
        elif asked in ("automated", "automatic", "auto"):
            policy["automated"] = dict(policy.get("automated") or {})
        else:
            raise not_as_asked(f"Invalid sync-policy: {asked}")
    for option, key in (("auto_prune", "prune"), ("self_heal", "selfHeal"), ("allow_empty", "allowEmpty")):
        if given[option] is None:
            continue
        if policy.get("automated") is None:
            name = option.replace("_", "-")
            raise not_as_asked(f"Cannot set --{name}: application not configured with automatic sync")
        policy["automated"] = {**policy["automated"], key: given[option]}
    if given["sync_option"]:
        policy["syncOptions"] = _sync_options(policy.get("syncOptions") or [], given["sync_option"])
    _set_retry(policy, given)
    if policy:
        spec["syncPolicy"] = policy
    else:
        spec.pop("syncPolicy", None)


def _sync_options(options: list[str], given: tuple[str, ...]) -> list[str]:
    found = list(options)
    for option in given:
        if option.startswith("!"):
            found = [item for item in found if item != option[1:]]
        elif option not in found:
            found.append(option)
    return found


def _set_retry(policy: Spec, given: Given) -> None:
    limit = given["sync_retry_limit"]
    retry = dict(policy.get("retry") or {})
    if limit is not None:
        if limit == 0:
            policy.pop("retry", None)
            return
        backoff = {"duration": "5s", "maxDuration": "3m0s", "factor": 2, **(retry.get("backoff") or {})}
        retry = {**retry, "limit": limit, "backoff": backoff}
    keys = {
        "sync_retry_backoff_duration": "duration",
        "sync_retry_backoff_max_duration": "maxDuration",
        "sync_retry_backoff_factor": "factor",
    }
    changed = {key: given[option] for option, key in keys.items() if given[option] is not None}
    if changed and retry:
        retry["backoff"] = {**(retry.get("backoff") or {}), **changed}
    if given["sync_retry_refresh"] is not None and retry:
        retry["refresh"] = given["sync_retry_refresh"]
    _put(policy, "retry", retry)


def image_name(image: str) -> str:
    """What an image override is about: `name=new` renames, otherwise the image without tag and digest."""
    name, equals, _ = image.partition("=")
    if equals:
        return name
    name = image.split("@", 1)[0]
    before, colon, tag = name.rpartition(":")
    return before if colon and "/" not in tag else name


def _replace(items: list[Spec], item: Spec) -> None:
    for index, found in enumerate(items):
        if found.get("name") == item["name"]:
            items[index] = item
            return
    items.append(item)
