"""Which workloads are legal: Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tiphys.apimachinery.apierrors import FieldCause, forbidden_value, invalid_value, not_supported, required
from tiphys.devcluster.validation_jobs import check_indexes, check_pod_policies, shown_failure_policy
from tiphys.devcluster.validation_names import (
    IMMUTABLE,
    Causes,
    check,
    check_annotations,
    check_choice,
    check_count_or_percent,
    check_labels,
    check_not_negative,
    check_selector,
    dns_label,
    invalid_struct,
    selects,
    shown_selector,
    unsupported_struct,
)
from tiphys.devcluster.validation_pods import check_pod_spec

MISMATCH: Final = "`selector` does not match template `labels`"
STATEFUL_SET_FROZEN: Final = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_STATEFUL_SET_OPEN: Final = frozenset(
    {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
)

Json = Mapping[str, Any]


def check_deployment(causes: Causes, obj: Json, old: Json | None) -> None:
    """A Deployment. Source: pkg/apis/apps/validation."""
    spec = obj["spec"]
    check_not_negative(causes, "spec.replicas", spec.get("replicas"))
    _check_selector(causes, spec, "deployment")
    _check_template(causes, spec, "spec.template", selector=spec.get("selector"))
    _check_strategy(causes, spec["strategy"])
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        check_not_negative(causes, f"spec.{field}", spec.get(field))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        causes.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    _frozen_selector(causes, spec, old)


def check_replica_set(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ReplicaSet."""
    spec = obj["spec"]
    check_not_negative(causes, "spec.replicas", spec.get("replicas"))
    check_not_negative(causes, "spec.minReadySeconds", spec.get("minReadySeconds"))
    _check_selector(causes, spec, "deployment")
    _check_template(causes, spec, "spec.template", selector=spec.get("selector"))
    _frozen_selector(causes, spec, old)


def check_replication_controller(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ReplicationController."""
    spec = obj["spec"]
    check_not_negative(causes, "spec.replicas", spec.get("replicas"))
    selector = spec.get("selector") or {}
    if not selector:
        causes.append(required("spec.selector"))
    if spec.get("template") is None:
        causes.append(required("spec.template"))
        return
    _check_template(causes, spec, "spec.template", selector={"matchLabels": selector} if selector else None)


def check_stateful_set(causes: Causes, obj: Json, old: Json | None) -> None:
    """A StatefulSet."""
    spec = obj["spec"]
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        causes.append(invalid_value("spec.podManagementPolicy", policy, detail))
    _check_stateful_strategy(causes, spec["updateStrategy"])
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for part in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{part}"
        check_choice(causes, path, retention.get(part), ("Retain", "Delete"))
    check_not_negative(causes, "spec.replicas", spec.get("replicas"))
    check_not_negative(causes, "spec.minReadySeconds", spec.get("minReadySeconds"))
    check_not_negative(causes, "spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    if old is None and spec.get("serviceName"):
        check(causes, "spec.serviceName", spec["serviceName"], dns_label(spec["serviceName"]))
    _check_selector(causes, spec, "statefulset")
    _check_template(causes, _with_claims_mounted(spec), "spec.template", selector=spec.get("selector"))
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or () if old is None else ()):
        path = f"spec.volumeClaimTemplates[{index}].spec"
        if not claim["spec"].get("accessModes"):
            causes.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
        if "storage" not in (claim["spec"].get("resources", {}).get("requests") or {}):
            causes.append(required(f"{path}.resources[storage]"))
    if old is not None:
        before, after = _closed(old["spec"]), _closed(spec)
        if before != after:
            causes.append(forbidden_value("spec", STATEFUL_SET_FROZEN))


def _check_stateful_strategy(causes: Causes, strategy: Json) -> None:
    kind, rolling, path = strategy.get("type", ""), strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        if rolling is not None:
            shown = {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}
            causes.append(invalid_struct(path, shown, "only allowed for updateStrategy 'RollingUpdate'"))
    elif kind == "RollingUpdate":
        check_not_negative(causes, f"{path}.partition", (rolling or {}).get("partition"))
        check_count_or_percent(causes, f"{path}.maxUnavailable", (rolling or {}).get("maxUnavailable"))
    else:
        shown = {"Type": kind, "RollingUpdate": rolling}
        causes.append(invalid_struct("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'"))


def _with_claims_mounted(spec: Json) -> Json:
    """The spec with a volume in its template for each claim template: containers may mount those by name."""
    claims = sorted({claim["metadata"].get("name") or "" for claim in spec.get("volumeClaimTemplates") or ()})
    template = spec.get("template") or {}
    pod = template.get("spec")
    if not claims or not pod:
        return spec
    added = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
    return {**spec, "template": {**template, "spec": {**pod, "volumes": added + own}}}


def _closed(spec: Json) -> dict[str, Any]:
    return {field: value for field, value in spec.items() if field not in _STATEFUL_SET_OPEN}


def check_daemon_set(causes: Causes, obj: Json, old: Json | None) -> None:
    """A DaemonSet."""
    spec = obj["spec"]
    selector = spec.get("selector")
    check_selector(causes, selector, "spec.selector")
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(invalid_value("spec.selector", selector, "empty selector is invalid for daemonset"))
    _check_template(causes, spec, "spec.template", selector=selector)
    for field in ("minReadySeconds", "revisionHistoryLimit"):
        check_not_negative(causes, f"spec.{field}", spec.get(field))
    strategy = spec["updateStrategy"]
    if strategy.get("type") == "RollingUpdate":
        rolling, path = strategy.get("rollingUpdate") or {}, "spec.updateStrategy.rollingUpdate"
        unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        check_count_or_percent(causes, f"{path}.maxUnavailable", unavailable)
        check_count_or_percent(causes, f"{path}.maxSurge", surge)
        if _is_zero(unavailable) and _is_zero(surge):
            causes.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
        elif not _is_zero(unavailable) and not _is_zero(surge):
            shown = {"MaxUnavailable": unavailable, "MaxSurge": surge}
            causes.append(invalid_struct(path, shown, "may not be set when maxUnavailable is non-zero"))
    elif strategy.get("type") != "OnDelete":
        shown = {"Type": strategy.get("type", ""), "RollingUpdate": strategy.get("rollingUpdate")}
        causes.append(unsupported_struct("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete")))
    _frozen_selector(causes, spec, old)


def check_job(causes: Causes, obj: Json, old: Json | None) -> None:
    """A Job whose selector and labels admission has filled in."""
    spec = obj["spec"]
    for _ in range(1 if old is None else 2):  # an update is judged as a new object besides
        if spec.get("selector") is None:
            causes.append(required("spec.selector"))
        else:
            check_selector(causes, spec["selector"], "spec.selector")
        _check_job_spec(causes, spec, "spec", selector=spec.get("selector"))
    if not spec.get("manualSelector") and spec.get("selector") is not None:
        uid = obj["metadata"].get("uid", "")
        generated = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        legacy = {"matchLabels": {"controller-uid": uid}}
        _check_generated_labels(causes, spec["template"]["metadata"].get("labels") or {}, uid, obj["metadata"])
        if spec["selector"] not in (generated, legacy):
            causes.append(
                invalid_struct("spec.selector", shown_selector(spec["selector"]), "`selector` not auto-generated")
            )
    if old is not None:
        _check_job_update(causes, spec, old["spec"])


def _is_time_zone(name: str) -> bool:
    """Whether the machine knows the zone; one that knows none at all lets every name pass."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return not available_timezones()
    return True


def check_cron_job(causes: Causes, obj: Json, old: Json | None) -> None:
    """A CronJob."""
    name = obj["metadata"].get("name", "")
    if old is None and len(name) > 52:  # room for the eleven characters its Jobs' names add
        causes.append(invalid_value("metadata.name", name, "must be no more than 52 characters"))
    spec = obj["spec"]
    schedule = spec.get("schedule", "")
    if not schedule:
        causes.append(required("spec.schedule"))
    elif re.search("(?:CRON_)?TZ=", schedule):
        detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        causes.append(invalid_value("spec.schedule", schedule, detail))
    else:
        problem = schedule_problem(schedule)
        if problem:
            causes.append(invalid_value("spec.schedule", schedule, problem))
    if spec.get("timeZone") == "":
        causes.append(invalid_value("spec.timeZone", "", "timeZone must be nil or non-empty string"))
    elif spec.get("timeZone") and not _is_time_zone(spec["timeZone"]):
        causes.append(invalid_value("spec.timeZone", spec["timeZone"], f"unknown time zone {spec['timeZone']}"))
    check_not_negative(causes, "spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    policies = ("Allow", "Forbid", "Replace")
    if spec.get("concurrencyPolicy") not in policies:
        causes.append(not_supported("spec.concurrencyPolicy", spec.get("concurrencyPolicy", ""), policies))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        check_not_negative(causes, f"spec.{field}", spec.get(field))
    _check_job_spec(causes, spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", selector=None, selected=False)


def _check_job_spec(causes: Causes, spec: Json, field: str, *, selector: Json | None, selected: bool = True) -> None:
    for name in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"):
        check_not_negative(causes, f"{field}.{name}", spec.get(name))
    modes = ("NonIndexed", "Indexed")
    if spec.get("completionMode") not in (None, *modes):
        causes.append(not_supported(f"{field}.completionMode", spec["completionMode"], modes))
    elif spec.get("completionMode") == "Indexed" and spec.get("completions") is None:
        detail = "when completion mode is Indexed"
        causes.append(required(f"{field}.completions", detail))
    check_indexes(causes, spec, field)
    check_pod_policies(causes, spec, field)
    template = spec["template"]
    _check_pod_template(causes, template, f"{field}.template")
    labels = template["metadata"].get("labels") or {}
    if selected and selector is not None and not selects(selector, labels):
        causes.append(invalid_value(f"{field}.template.metadata.labels", labels, MISMATCH))
    elif selected and selector is None:
        causes.append(invalid_value(f"{field}.template.metadata.labels", labels or None, MISMATCH))
    policy = template["spec"].get("restartPolicy")
    if policy in (None, "", "Always"):
        causes.append(required(f"{field}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        choices = ("OnFailure", "Never")
        causes.append(not_supported(f"{field}.template.spec.restartPolicy", policy, choices))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        causes.append(invalid_value(f"{field}.template.spec.restartPolicy", policy, detail))


def _check_generated_labels(causes: Causes, labels: Json, uid: str, metadata: Json) -> None:
    for prefix in ("", "batch.kubernetes.io/"):
        for name, value in (("controller-uid", uid), ("job-name", metadata.get("name", ""))):
            path, found = f"spec.template.metadata.labels[{prefix}{name}]", labels.get(prefix + name)
            if found is None:
                causes.append(required(path, f"must be '{value}'"))
            elif found != value:
                causes.append(invalid_value(path, labels, f"must be '{value}'"))


_SCHEDULING: Final = ("nodeSelector", "affinity", "tolerations", "schedulingGates", "resources")


def _check_job_update(causes: Causes, spec: Json, before: Json) -> None:
    """What of a Job stays as it is; a suspended one's scheduling may change.

    Differs: the template is shown as it was sent, not as Go prints its internal form.
    """
    indexed, completions = spec.get("completionMode") == "Indexed", spec.get("completions")
    if completions != before.get("completions") and not indexed:
        causes.append(invalid_value("spec.completions", completions, IMMUTABLE))
    elif completions not in (None, before.get("completions"), spec.get("parallelism")):
        detail = "can only be modified in tandem with spec.parallelism"
        causes.append(invalid_value("spec.completions", completions, detail))
    if spec.get("selector") != before.get("selector"):
        causes.append(_immutable_selector(spec))
    template, old_template = spec["template"], before["template"]
    if not before.get("suspend"):
        if template != old_template:
            causes.append(invalid_value("spec.template", template, IMMUTABLE))
    else:
        pods = [
            {field: one for field, one in part["spec"].items() if field not in _SCHEDULING}
            for part in (template, old_template)
        ]
        if pods[0] != pods[1]:
            causes.append(invalid_value("spec.template.spec", template["spec"], IMMUTABLE))
    for field in ("completionMode", "backoffLimitPerIndex", "podFailurePolicy", "managedBy", "successPolicy"):
        if spec.get(field) != before.get(field):
            shown = shown_failure_policy(spec.get(field)) if field == "podFailurePolicy" else spec.get(field)
            causes.append(invalid_struct(f"spec.{field}", shown, IMMUTABLE))


# ---- parts they share ----


def _check_selector(causes: Causes, spec: Json, what: str) -> None:
    selector = spec.get("selector")
    if selector is None:
        causes.append(required("spec.selector"))
        return
    if not check_selector(causes, selector, "spec.selector"):
        detail = "invalid label selector" if what == "deployment" else ""
        causes.append(invalid_struct("spec.selector", shown_selector(selector), detail))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(invalid_value("spec.selector", selector, f"empty selector is invalid for {what}"))


def _check_template(causes: Causes, spec: Json, field: str, *, selector: Json | None) -> None:
    template = spec["template"]
    labels = template["metadata"].get("labels")
    empty = selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions")
    if not check_selector([], selector, ""):
        return  # without a selector that can be read the Pods are not judged
    if not empty and not selects(selector, labels or {}):
        causes.append(invalid_value(f"{field}.metadata.labels", labels, MISMATCH))
    _check_pod_template(causes, template, field)
    policy = template["spec"].get("restartPolicy")
    if policy != "Always":
        causes.append(not_supported(f"{field}.spec.restartPolicy", policy, ("Always",)))
    if template["spec"].get("activeDeadlineSeconds") is not None:
        detail = "activeDeadlineSeconds in ReplicaSet is not Supported"
        causes.append(forbidden_value(f"{field}.spec.activeDeadlineSeconds", detail))


def _check_pod_template(causes: Causes, template: Json, field: str) -> None:
    check_labels(causes, template["metadata"].get("labels"), f"{field}.labels")
    check_annotations(causes, template["metadata"].get("annotations"), f"{field}.annotations")
    check_pod_spec(causes, template["spec"], f"{field}.spec")


def _check_strategy(causes: Causes, strategy: Json) -> None:
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    path = "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            causes.append(forbidden_value(path, "may not be specified when strategy `type` is 'Recreate'"))
        return
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": rolling}
        causes.append(unsupported_struct("spec.strategy", shown, ("Recreate", "RollingUpdate")))
        return
    if rolling is None:
        causes.append(required(path, "this should be defaulted and never be nil"))
        return
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    sound = check_count_or_percent(causes, f"{path}.maxUnavailable", unavailable)
    sound = check_count_or_percent(causes, f"{path}.maxSurge", surge) and sound
    if sound and _is_zero(unavailable) and _is_zero(surge):
        causes.append(invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    if isinstance(unavailable, str) and unavailable[:-1].isdecimal() and int(unavailable[:-1]) > 100:
        causes.append(invalid_value(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%"))


def _is_zero(value: int | str | None) -> bool:
    return value in (None, 0, "0%") or (isinstance(value, str) and value.strip("0") == "%")


def _immutable_selector(spec: Json) -> FieldCause:
    selector = spec.get("selector")
    return invalid_struct("spec.selector", None if selector is None else shown_selector(selector), IMMUTABLE)


def _frozen_selector(causes: Causes, spec: Json, old: Json | None) -> None:
    if old is not None and spec.get("selector") != old["spec"].get("selector"):
        causes.append(_immutable_selector(spec))


# ---- schedules ----

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final[tuple[tuple[int, int, Mapping[str, int]], ...]] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number + 1 for number, name in enumerate(_MONTHS)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS: Final = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")


def schedule_problem(schedule: str) -> str:
    """What robfig/cron says about a schedule; empty when it is one."""
    if schedule.startswith("@"):
        if schedule in _DESCRIPTORS:
            return ""
        if schedule.startswith("@every "):
            duration = schedule[len("@every ") :]
            good = re.fullmatch(r"[-+]?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+", duration)
            return "" if good else f'failed to parse duration {schedule}: time: invalid duration "{duration}"'
        return f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for text, (low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            problem = _range_problem(part, low, high, names)
            if problem:
                return problem
    return ""


def _range_problem(text: str, low: int, high: int, names: Mapping[str, int]) -> str:
    parts = text.split("/")
    bounds = parts[0].split("-")
    if len(parts) > 2:
        return f"too many slashes: {text}"
    if bounds[0] in ("*", "?"):
        start, end = low, high
    elif len(bounds) > 2:
        return f"too many hyphens: {text}"
    else:
        numbers = []
        for one in bounds:
            number, problem = _number(one, names)
            if problem:
                return problem
            numbers.append(number)
        start, end = numbers[0], numbers[-1]
    step = 1
    if len(parts) == 2:
        step, problem = _number(parts[1], {})
        if problem:
            return problem
        end = high if len(bounds) == 1 else end
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {text}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {text}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {text}"
    return f"step of range should be a positive number: {text}" if step == 0 else ""


def _number(text: str, names: Mapping[str, int]) -> tuple[int, str]:
    if text.lower() in names:
        return names[text.lower()], ""
    if not re.fullmatch(r"[-+]?[0-9]+", text):
        return 0, f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
    number = int(text)
    return number, f"negative number ({number}) not allowed: {text}" if number < 0 else ""
