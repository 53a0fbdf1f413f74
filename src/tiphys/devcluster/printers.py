"""Cells of a Table row for the built-in kinds, as `kubectl get` prints them. One function per kind.

A function gets the object and the time and gives the cells after the name, in the order of the recorded columns.

Source: dev-cluster 2 (recorded columns); kubernetes pkg/printers/internalversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tiphys.devcluster import printers_api as api
from tiphys.devcluster.durations import since
from tiphys.devcluster.podprinter import pod_cells

Object = Mapping[str, Any]
Cells = list[Any]
Printer = Callable[[Object, datetime], Cells]

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"


def _at(obj: Object, *path: str) -> Any:
    found: Any = obj
    for part in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def _number(obj: Object, *path: str) -> int:
    found = _at(obj, *path)
    return found if isinstance(found, int) else 0


def _age(obj: Object, now: datetime) -> str:
    return since(_at(obj, "metadata", "creationTimestamp"), now)


def format_labels(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, `<none>` when empty."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


_OPERATORS = {"In": "in", "NotIn": "notin"}


def format_selector(selector: Object | None) -> str:
    """A LabelSelector in kubectl's text form, `<none>` when it selects all or nothing is there."""
    if not selector:
        return NONE
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        operator, key = one.get("operator"), one.get("key")
        if operator in _OPERATORS:
            parts.append(f"{key} {_OPERATORS[operator]} ({','.join(sorted(one.get('values') or ()))})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(sorted(parts)) or NONE


def _containers(template: Object | None) -> Cells:
    containers = _at(template or {}, "spec", "containers") or []
    return [
        ",".join(one.get("name", "") for one in containers),
        ",".join(one.get("image", "") for one in containers),
    ]


def _deployment(obj: Object, now: datetime) -> Cells:
    return [
        f"{_number(obj, 'status', 'readyReplicas')}/{_number(obj, 'spec', 'replicas')}",
        _number(obj, "status", "updatedReplicas"),
        _number(obj, "status", "availableReplicas"),
        _age(obj, now),
        *_containers(_at(obj, "spec", "template")),
        format_selector(_at(obj, "spec", "selector")),
    ]


def _replicaset(obj: Object, now: datetime) -> Cells:
    return [
        _number(obj, "spec", "replicas"),
        _number(obj, "status", "replicas"),
        _number(obj, "status", "readyReplicas"),
        _age(obj, now),
        *_containers(_at(obj, "spec", "template")),
        format_selector(_at(obj, "spec", "selector")),
    ]


def _replication_controller(obj: Object, now: datetime) -> Cells:
    return [*_replicaset(obj, now)[:-1], format_labels(_at(obj, "spec", "selector"))]


def _statefulset(obj: Object, now: datetime) -> Cells:
    ready = f"{_number(obj, 'status', 'readyReplicas')}/{_number(obj, 'spec', 'replicas')}"
    return [ready, _age(obj, now), *_containers(_at(obj, "spec", "template"))]


def _daemonset(obj: Object, now: datetime) -> Cells:
    status = obj.get("status") or {}
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [
        *(_number(status, name) for name in names),
        format_labels(_at(obj, "spec", "template", "spec", "nodeSelector")),
        _age(obj, now),
        *_containers(_at(obj, "spec", "template")),
        format_selector(_at(obj, "spec", "selector")),
    ]


_JOB_STATES = (
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    ("", "Terminating"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)


def _job(obj: Object, now: datetime) -> Cells:
    true = {one.get("type") for one in _at(obj, "status", "conditions") or () if one.get("status") == "True"}
    deleting = bool(_at(obj, "metadata", "deletionTimestamp"))
    state = next((shown for type_, shown in _JOB_STATES if (type_ in true if type_ else deleting)), "Running")
    succeeded = _number(obj, "status", "succeeded")
    parallelism = _number(obj, "spec", "parallelism")
    if (wanted := _at(obj, "spec", "completions")) is not None:
        completions = f"{succeeded}/{wanted}"
    else:
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    start, end = _at(obj, "status", "startTime"), _at(obj, "status", "completionTime")
    duration = ""
    if start:
        from_end = since(start, now)
        duration = from_end if not end else since(start, _moment(end, now))
    return [
        state,
        completions,
        duration,
        _age(obj, now),
        *_containers(_at(obj, "spec", "template")),
        format_selector(_at(obj, "spec", "selector")),
    ]


def _moment(text: str, default: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return default


def _cronjob(obj: Object, now: datetime) -> Cells:
    last = _at(obj, "status", "lastScheduleTime")
    template = _at(obj, "spec", "jobTemplate", "spec") or {}
    return [
        _at(obj, "spec", "schedule") or "",
        _at(obj, "spec", "timeZone") or NONE,
        str(bool(_at(obj, "spec", "suspend"))),
        len(_at(obj, "status", "active") or ()),
        since(last, now) if last else NONE,
        _age(obj, now),
        *_containers(template.get("template")),
        format_selector(template.get("selector")),
    ]


def _service_address(obj: Object) -> str:
    spec = obj.get("spec") or {}
    external = ",".join(spec.get("externalIPs") or ())
    kind = spec.get("type")
    if kind == "ExternalName":
        return spec.get("externalName") or ""
    if kind == "LoadBalancer":
        found = [
            one.get("ip") or one.get("hostname") or "" for one in _at(obj, "status", "loadBalancer", "ingress") or ()
        ]
        shown = ",".join([*found, *([external] if external else [])])
        return shown or "<pending>"
    return external or NONE


def _service(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    ports = []
    for port in spec.get("ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return [
        spec.get("type") or "",
        (spec.get("clusterIPs") or [spec.get("clusterIP") or NONE])[0] or NONE,
        _service_address(obj),
        ",".join(ports) or NONE,
        _age(obj, now),
        format_labels(spec.get("selector")),
    ]


def _limited(found: Sequence[str], limit: int) -> str:
    if not found:
        return NONE
    more = f" + {len(found) - limit} more..." if len(found) > limit else ""
    return ",".join(found[:limit]) + more


def _endpoints(obj: Object, now: datetime) -> Cells:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [one.get("ip", "") for one in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            found += addresses
        for port in ports:
            found += [_host_port(ip, port.get("port")) for ip in addresses]
    return [_limited(found, 3), _age(obj, now)]


def _host_port(host: str, port: object) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _endpoint_slice(obj: Object, now: datetime) -> Cells:
    ports = obj.get("ports")
    if not ports:
        shown = UNSET
    else:
        shown = _limited([str(one["port"]) if one.get("port") is not None else "*" for one in ports], 3)
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [obj.get("addressType") or "", shown, _limited(addresses, 3) if addresses else UNSET, _age(obj, now)]


def _ingress(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    addresses = [
        one.get("ip") or one.get("hostname") or "" for one in _at(obj, "status", "loadBalancer", "ingress") or ()
    ]
    return [
        spec.get("ingressClassName") or NONE,
        _limited(hosts, 3) if hosts else "*",
        ",".join(address for address in addresses if address),
        "80, 443" if spec.get("tls") else "80",
        _age(obj, now),
    ]


def _event(obj: Object, now: datetime) -> Cells:
    new = str(obj.get("apiVersion", "")).startswith("events.k8s.io")
    about = obj.get("regarding" if new else "involvedObject") or {}
    count = obj.get("deprecatedCount" if new else "count") or 0
    first_at = obj.get("deprecatedFirstTimestamp" if new else "firstTimestamp")
    last_at = obj.get("deprecatedLastTimestamp" if new else "lastTimestamp")
    source = obj.get("deprecatedSource" if new else "source") or {}
    first = since(first_at or obj.get("eventTime"), now)
    last = since(last_at, now) if last_at else first
    if series := obj.get("series"):
        last = f"{since(series.get('lastObservedTime'), now)} (x{series.get('count')} over {first})"
    elif count > 1:
        last = f"{last} (x{count} over {first})"
    else:
        count = 1
    component = source.get("component") or obj.get("reportingController" if new else "reportingComponent") or ""
    host = source.get("host")
    if not source and component:
        host = obj.get("reportingInstance")
    kind = str(about.get("kind") or "").lower()
    return [
        last,
        obj.get("type") or "",
        obj.get("reason") or "",
        f"{kind}/{about.get('name')}" if about.get("name") else kind,
        about.get("fieldPath") or "",
        f"{component}, {host}" if host else component,
        str(obj.get("note" if new else "message") or "").strip(),
        first,
        count,
        _at(obj, "metadata", "name"),
    ]


def _namespace(obj: Object, now: datetime) -> Cells:
    return [_at(obj, "status", "phase") or "", _age(obj, now)]


def _config_map(obj: Object, now: datetime) -> Cells:
    return [len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _age(obj, now)]


def _secret(obj: Object, now: datetime) -> Cells:
    return [obj.get("type") or "", len(obj.get("data") or ()), _age(obj, now)]


def _only_age(obj: Object, now: datetime) -> Cells:
    return [_age(obj, now)]


def _created(obj: Object, now: datetime) -> Cells:
    return [_at(obj, "metadata", "creationTimestamp")]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _access_modes(modes: Iterable[str] | None) -> str:
    present = set(modes or ())
    return ",".join(short for long, short in _MODES.items() if long in present)


def _claim(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    phase = _at(obj, "status", "phase") or ""
    volume = spec.get("volumeName") or ""
    return [
        "Terminating" if _at(obj, "metadata", "deletionTimestamp") else phase,
        volume,
        (_at(obj, "status", "capacity", "storage") or "0") if volume else "",
        _access_modes(_at(obj, "status", "accessModes")) if volume else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or UNSET,
        _age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _volume(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    claim = spec.get("claimRef") or {}
    return [
        _at(spec, "capacity", "storage") or "",
        _access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if _at(obj, "metadata", "deletionTimestamp") else _at(obj, "status", "phase") or "",
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or UNSET,
        _at(obj, "status", "reason") or "",
        _age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _node(obj: Object, now: datetime) -> Cells:
    ready = next((one for one in _at(obj, "status", "conditions") or () if one.get("type") == "Ready"), None)
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if _at(obj, "spec", "unschedulable"):
        state += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    labels = _at(obj, "metadata", "labels") or {}
    roles = sorted(key[len(prefix) :] for key in labels if key.startswith(prefix) and len(key) > len(prefix))
    if role := labels.get("kubernetes.io/role"):
        roles = sorted({*roles, role})
    addresses = {one.get("type"): one.get("address") for one in reversed(_at(obj, "status", "addresses") or [])}
    info = _at(obj, "status", "nodeInfo") or {}
    return [
        state,
        ",".join(roles) or NONE,
        _age(obj, now),
        info.get("kubeletVersion") or "",
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _storage_class(obj: Object, now: datetime) -> Cells:
    return [
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        _age(obj, now),
    ]


def _disruption_budget(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        str(least) if least is not None else "N/A",
        str(most) if most is not None else "N/A",
        _number(obj, "status", "disruptionsAllowed"),
        _age(obj, now),
    ]


def _metric_target(metric: Object, current: Object | None) -> str:
    kind = str(metric.get("type") or "")
    source = metric.get(kind[:1].lower() + kind[1:]) or {}
    target = source.get("target") or {}
    now_at = _at(current or {}, kind[:1].lower() + kind[1:], "current") or {}
    name = f"{source.get('name')}: " if kind in ("Resource", "ContainerResource") else ""
    if target.get("averageUtilization") is not None:
        seen = now_at.get("averageUtilization")
        return f"{name}{f'{seen}%' if seen is not None else UNKNOWN}/{target['averageUtilization']}%"
    wanted = target.get("averageValue") or target.get("value") or "<auto>"
    average = " (avg)" if target.get("averageValue") and kind in ("Object", "External") else ""
    return f"{name}{now_at.get('averageValue') or now_at.get('value') or UNKNOWN}/{wanted}{average}"


def _autoscaler(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    reference = spec.get("scaleTargetRef") or {}
    metrics = spec.get("metrics") or []
    if not metrics and spec.get("targetCPUUtilizationPercentage") is not None:
        seen = _at(obj, "status", "currentCPUUtilizationPercentage")
        shown = f"cpu: {f'{seen}%' if seen is not None else UNKNOWN}/{spec['targetCPUUtilizationPercentage']}%"
    else:
        current = _at(obj, "status", "currentMetrics") or []
        targets = [_metric_target(m, current[i] if i < len(current) else None) for i, m in enumerate(metrics)]
        shown = ", ".join(targets[:2]) + (f" + {len(targets) - 2} more..." if len(targets) > 2 else "")
    least = spec.get("minReplicas")
    return [
        f"{reference.get('kind')}/{reference.get('name')}",
        shown or NONE,
        str(least) if least is not None else UNSET,
        _number(spec, "maxReplicas"),
        _number(obj, "status", "currentReplicas"),
        _age(obj, now),
    ]


def _role_binding(obj: Object, now: datetime) -> Cells:
    role = obj.get("roleRef") or {}
    named: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = str(subject.get("name") or "")
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace') or ''}/{name}"
        named.setdefault(str(subject.get("kind")), []).append(name)
    subjects = [", ".join(named[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [f"{role.get('kind')}/{role.get('name')}", _age(obj, now), *subjects]


def _network_policy(obj: Object, now: datetime) -> Cells:
    return [format_selector(_at(obj, "spec", "podSelector")), _age(obj, now)]


def _ingress_class(obj: Object, now: datetime) -> Cells:
    parameters = _at(obj, "spec", "parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        shown = f"{parameters.get('kind')}{group}/{parameters.get('name')}"
    return [_at(obj, "spec", "controller") or "", shown, _age(obj, now)]


def _priority_class(obj: Object, now: datetime) -> Cells:
    policy = obj.get("preemptionPolicy") or ""
    return [_number(obj, "value"), bool(obj.get("globalDefault")), _age(obj, now), policy]


def _lease(obj: Object, now: datetime) -> Cells:
    return [_at(obj, "spec", "holderIdentity") or "", _age(obj, now)]


def _quota(obj: Object, now: datetime) -> Cells:
    hard, used = _at(obj, "status", "hard") or {}, _at(obj, "status", "used") or {}
    requests = [f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard) if not key.startswith("limits.")]
    limits = [f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard) if key.startswith("limits.")]
    return [", ".join(requests), ", ".join(limits), _age(obj, now)]


def _count_of(field: str) -> Printer:
    return lambda obj, now: [len(obj.get(field) or ()), _age(obj, now)]


def _controller_revision(obj: Object, now: datetime) -> Cells:
    owner = next((one for one in _at(obj, "metadata", "ownerReferences") or () if one.get("controller")), None)
    group = str(owner.get("apiVersion", "")).rpartition("/")[0] if owner else ""
    kind = f"{str(owner.get('kind')).lower()}{'.' + group if group else ''}" if owner else ""
    return [f"{kind}/{owner.get('name')}" if owner else NONE, _number(obj, "revision"), _age(obj, now)]


def _pod_template(obj: Object, now: datetime) -> Cells:
    return [*_containers(obj.get("template")), format_labels(_at(obj, "template", "metadata", "labels"))]


def _signing_request(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    types = [one.get("type") for one in _at(obj, "status", "conditions") or ()]
    state = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        state += ",Failed"
    if _at(obj, "status", "certificate"):
        state += ",Issued"
    seconds = spec.get("expirationSeconds")
    return [
        _age(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        f"{seconds}s" if seconds else NONE,
        state,
    ]


def _csi_driver(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    return [
        spec.get("attachRequired") is not False,
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        ",".join(one.get("audience", "") for one in spec.get("tokenRequests") or ()) or UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        _age(obj, now),
    ]


def _attachment(obj: Object, now: datetime) -> Cells:
    spec = obj.get("spec") or {}
    return [
        spec.get("attacher") or "",
        _at(spec, "source", "persistentVolumeName") or "",
        spec.get("nodeName") or "",
        bool(_at(obj, "status", "attached")),
        _age(obj, now),
    ]


def _api_service(obj: Object, now: datetime) -> Cells:
    service = _at(obj, "spec", "service")
    available = next((one for one in _at(obj, "status", "conditions") or () if one.get("type") == "Available"), None)
    state = "Unknown"
    if available is not None:
        state = available.get("status") or ""
        if state != "True" and available.get("reason"):
            state += f" ({available['reason']})"
    return [f"{service.get('namespace')}/{service.get('name')}" if service else "Local", state, _age(obj, now)]


def _policy_binding(obj: Object, now: datetime) -> Cells:
    reference = _at(obj, "spec", "paramRef")
    shown = f"{reference.get('namespace') or '*'}/{reference.get('name') or ''}" if reference else UNSET
    return [_at(obj, "spec", "policyName") or "", shown, _age(obj, now)]


def _policy(field: str) -> Printer:
    def cells(obj: Object, now: datetime) -> Cells:
        kind = _at(obj, "spec", "paramKind")
        shown = f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else UNSET
        return [len(_at(obj, "spec", field) or ()), shown, _age(obj, now)]

    return cells


def _field_then_age(*path: str) -> Printer:
    return lambda obj, now: [_at(obj, *path) or "", _age(obj, now)]


def _csi_node(obj: Object, now: datetime) -> Cells:
    return [len(_at(obj, "spec", "drivers") or ()), _age(obj, now)]


PRINTERS: Mapping[str, Printer] = {
    "pods": pod_cells,
    "deployments.apps": _deployment,
    "replicasets.apps": _replicaset,
    "replicationcontrollers": _replication_controller,
    "statefulsets.apps": _statefulset,
    "daemonsets.apps": _daemonset,
    "controllerrevisions.apps": _controller_revision,
    "jobs.batch": _job,
    "cronjobs.batch": _cronjob,
    "services": _service,
    "endpoints": _endpoints,
    "endpointslices.discovery.k8s.io": _endpoint_slice,
    "ingresses.networking.k8s.io": _ingress,
    "ingressclasses.networking.k8s.io": _ingress_class,
    "networkpolicies.networking.k8s.io": _network_policy,
    "events": _event,
    "namespaces": _namespace,
    "configmaps": _config_map,
    "secrets": _secret,
    "serviceaccounts": _only_age,
    "persistentvolumeclaims": _claim,
    "persistentvolumes": _volume,
    "nodes": _node,
    "podtemplates": _pod_template,
    "resourcequotas": _quota,
    "limitranges": _created,
    "storageclasses.storage.k8s.io": _storage_class,
    "csidrivers.storage.k8s.io": _csi_driver,
    "csinodes.storage.k8s.io": _csi_node,
    "csistoragecapacities.storage.k8s.io": _created,
    "volumeattachments.storage.k8s.io": _attachment,
    "volumeattributesclasses.storage.k8s.io": _field_then_age("driverName"),
    "poddisruptionbudgets.policy": _disruption_budget,
    "horizontalpodautoscalers.autoscaling": _autoscaler,
    "roles.rbac.authorization.k8s.io": _created,
    "clusterroles.rbac.authorization.k8s.io": _created,
    "rolebindings.rbac.authorization.k8s.io": _role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": _role_binding,
    "priorityclasses.scheduling.k8s.io": _priority_class,
    "leases.coordination.k8s.io": _lease,
    "customresourcedefinitions.apiextensions.k8s.io": _created,
    "certificatesigningrequests.certificates.k8s.io": _signing_request,
    "servicecidrs.networking.k8s.io": api.service_cidr,
    "ipaddresses.networking.k8s.io": api.ip_address,
    "flowschemas.flowcontrol.apiserver.k8s.io": api.flow_schema,
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": api.priority_level,
    "resourceclaims.resource.k8s.io": api.resource_claim,
    "resourceslices.resource.k8s.io": api.resource_slice,
    "runtimeclasses.node.k8s.io": _field_then_age("handler"),
    "apiservices.apiregistration.k8s.io": _api_service,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": _count_of("webhooks"),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": _count_of("webhooks"),
    "validatingadmissionpolicies.admissionregistration.k8s.io": _policy("validations"),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": _policy("mutations"),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": _policy_binding,
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": _policy_binding,
}
