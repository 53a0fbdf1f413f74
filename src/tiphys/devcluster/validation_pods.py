"""Which pod specs are legal: containers, their ports, environment, probes, resources, and the volumes they mount."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery.apierrors import (
    duplicate,
    forbidden_value,
    invalid_value,
    not_supported,
    required,
    value_not_found,
)
from tiphys.apimachinery.quantity import parse
from tiphys.devcluster.validation_affinity import check_node_selector
from tiphys.devcluster.validation_names import (
    NOT_NEGATIVE,
    Causes,
    check,
    check_labels,
    check_not_negative,
    check_selector,
    config_key,
    dns_label,
    dns_subdomain,
    environment_name,
    port_name,
    port_name_or_number,
    port_number,
    qualified_name,
)

RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
MAX_INT32: Final = (1 << 31) - 1
NO_ADDRESS: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"

_COMPUTE: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_FIELD_PATHS: Final = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.labels",
        "metadata.annotations",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_RESOURCE_FIELDS: Final = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SOURCES_OF_VALUES: Final = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")

_REQUIRED_TERMS: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def check_pod_spec(causes: Causes, spec: Mapping[str, Any], field: str) -> None:
    """A pod spec, of a Pod or a template.

    Source: dev-cluster 2 (recorded refusals); pkg/apis/core/validation ValidatePodSpec.
    Differs: rarely used parts (security contexts, affinity terms, most volume sources) are not checked.
    """
    volumes = _check_volumes(causes, spec.get("volumes") or [], f"{field}.volumes")
    _check_containers(causes, spec, field, volumes)
    policy = spec.get("restartPolicy", "")
    if policy not in RESTART_POLICIES:
        causes.append(_choice(f"{field}.restartPolicy", policy, RESTART_POLICIES))
    dns = spec.get("dnsPolicy", "")
    if dns not in DNS_POLICIES:
        causes.append(_choice(f"{field}.dnsPolicy", dns, DNS_POLICIES))
    elif dns == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        where = "dnsConfig" if spec.get("dnsConfig") is None else "dnsConfig.nameservers"
        detail = "must provide `dnsConfig` when `dnsPolicy` is None"
        if where != "dnsConfig":
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        causes.append(required(f"{field}.{where}", detail))
    check_labels(causes, spec.get("nodeSelector"), f"{field}.nodeSelector")
    for name, rule in (("serviceAccountName", dns_subdomain), ("nodeName", dns_subdomain)):
        if spec.get(name):
            check(causes, f"{field}.{name}", spec[name], rule(spec[name]))
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            check(causes, f"{field}.{name}", spec[name], dns_label(spec[name]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= MAX_INT32:
        detail = f"must be between 1 and {MAX_INT32}, inclusive"
        causes.append(invalid_value(f"{field}.activeDeadlineSeconds", deadline, detail))
    _check_tolerations(causes, spec.get("tolerations") or [], f"{field}.tolerations")
    needed = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED_TERMS)
    if needed is not None:
        check_node_selector(causes, needed, f"{field}.affinity.nodeAffinity.{_REQUIRED_TERMS}")
    _check_spread(causes, spec.get("topologySpreadConstraints") or [], f"{field}.topologySpreadConstraints")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        path = f"{field}.hostAliases[{index}]"
        if not is_address(alias.get("ip", "")):
            causes.append(invalid_value(f"{path}.ip", alias.get("ip", ""), NO_ADDRESS))
        for number, name in enumerate(alias.get("hostnames") or ()):
            check(causes, f"{path}.hostnames[{number}]", name, dns_subdomain(name))


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _choice(field: str, value: str, allowed: Sequence[str]) -> Any:
    return not_supported(field, value, allowed) if value else required(field)


# ---- containers ----


def _check_containers(causes: Causes, spec: Mapping[str, Any], field: str, volumes: set[str]) -> None:
    names: set[str] = set()
    containers = spec.get("containers") or []
    if not containers:
        causes.append(required(f"{field}.containers"))
    for group in ("containers", "initContainers", "ephemeralContainers"):
        host_ports: set[str] = set()
        for index, container in enumerate(spec.get(group) or ()):
            path = f"{field}.{group}[{index}]"
            name = container.get("name", "")
            if not name:
                causes.append(required(f"{path}.name"))
            else:
                check(causes, f"{path}.name", name, dns_label(name))
                if name in names:
                    causes.append(duplicate(f"{path}.name", name))
            names.add(name)
            _check_container(causes, container, path, volumes)
            _check_host_ports(causes, container, path, host_ports)


def _check_container(causes: Causes, container: Mapping[str, Any], field: str, volumes: set[str]) -> None:
    image = container.get("image", "")
    if not image:
        causes.append(required(f"{field}.image"))
    elif image != image.strip():
        causes.append(invalid_value(f"{field}.image", image, "must not have leading or trailing whitespace"))
    for name, allowed in (
        ("imagePullPolicy", ("Always", "IfNotPresent", "Never")),
        ("terminationMessagePolicy", ("File", "FallbackToLogsOnError")),
    ):
        if container.get(name, "") not in allowed:
            causes.append(_choice(f"{field}.{name}", container.get(name, ""), allowed))
    _check_ports(causes, container.get("ports") or [], f"{field}.ports")
    for index, variable in enumerate(container.get("env") or ()):
        _check_variable(causes, variable, f"{field}.env[{index}]")
    for index, source in enumerate(container.get("envFrom") or ()):
        _check_variables_from(causes, source, f"{field}.envFrom", index)
    _check_mounts(causes, container.get("volumeMounts") or [], f"{field}.volumeMounts", volumes)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _check_probe(causes, container[name], f"{field}.{name}", once=name != "readinessProbe")
    for name, handler in (container.get("lifecycle") or {}).items():
        if isinstance(handler, Mapping):
            _check_handler(causes, handler, f"{field}.lifecycle.{name}")
    check_resources(causes, container.get("resources") or {}, f"{field}.resources")


def _check_ports(causes: Causes, ports: Sequence[Mapping[str, Any]], field: str) -> None:
    names: set[str] = set()
    for index, port in enumerate(ports):
        path = f"{field}[{index}]"
        name = port.get("name", "")
        if name:
            problems = port_name(name)
            check(causes, f"{path}.name", name, problems)
            if not problems and name in names:
                causes.append(duplicate(f"{path}.name", name))
            names.add(name)
        number = port.get("containerPort", 0)
        if number:
            check(causes, f"{path}.containerPort", number, port_number(number))
        else:
            causes.append(required(f"{path}.containerPort"))
        if port.get("hostPort"):
            check(causes, f"{path}.hostPort", port["hostPort"], port_number(port["hostPort"]))
        if port.get("protocol", "") not in PROTOCOLS:
            causes.append(_choice(f"{path}.protocol", port.get("protocol", ""), PROTOCOLS))


def _check_host_ports(causes: Causes, container: Mapping[str, Any], field: str, taken: set[str]) -> None:
    for index, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in taken:
                causes.append(duplicate(f"{field}.ports[{index}].hostPort", key))
            taken.add(key)


def _check_variable(causes: Causes, variable: Mapping[str, Any], field: str) -> None:
    name = variable.get("name", "")
    if not name:
        causes.append(required(f"{field}.name"))
    else:
        check(causes, f"{field}.name", name, environment_name(name))
    source = variable.get("valueFrom")
    if source is None:
        return
    field += ".valueFrom"
    given = [one for one in _SOURCES_OF_VALUES if one in source]
    if not given:
        names = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        causes.append(invalid_value(field, "", f"must specify one of: {names}"))
    elif variable.get("value"):
        causes.append(invalid_value(field, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        causes.append(invalid_value(field, "", "may not have more than one field specified at a time"))
    if "fieldRef" in source:
        _check_field_path(causes, source["fieldRef"].get("fieldPath", ""), f"{field}.fieldRef.fieldPath")
    if "resourceFieldRef" in source:
        resource = source["resourceFieldRef"].get("resource", "")
        path = f"{field}.resourceFieldRef.resource"
        if not resource:
            causes.append(required(path))
        elif resource not in _RESOURCE_FIELDS and not resource.partition(".")[2].startswith("hugepages-"):
            causes.append(not_supported(path, resource, _RESOURCE_FIELDS))
    for one in ("configMapKeyRef", "secretKeyRef"):
        if one in source:
            _check_key_reference(causes, source[one], f"{field}.{one}")


def _check_field_path(causes: Causes, path: str, field: str) -> None:
    if not path:
        causes.append(required(field))
        return
    bare = path.partition("[")[0]
    subscripted = path.endswith("]") and bare in ("metadata.labels", "metadata.annotations")
    if path not in _FIELD_PATHS and not subscripted:
        causes.append(invalid_value(field, path, f"error converting fieldPath: field label not supported: {path}"))
    elif path in ("metadata.labels", "metadata.annotations"):
        names = sorted(_FIELD_PATHS - {"metadata.labels", "metadata.annotations"})
        causes.append(not_supported(field, path, names))


def _check_key_reference(causes: Causes, reference: Mapping[str, Any], field: str) -> None:
    check(causes, f"{field}.name", reference.get("name", ""), dns_subdomain(reference.get("name", "")))
    if not reference.get("key"):
        causes.append(required(f"{field}.key"))
    else:
        check(causes, f"{field}.key", reference["key"], config_key(reference["key"]))


def _check_variables_from(causes: Causes, source: Mapping[str, Any], field: str, index: int) -> None:
    path = f"{field}[{index}]"
    if source.get("prefix"):
        check(causes, f"{path}.prefix", source["prefix"], environment_name(source["prefix"]))
    given = [one for one in ("configMapRef", "secretRef") if one in source]
    if not given:
        causes.append(invalid_value(field, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(given) > 1:
        causes.append(invalid_value(field, "", "may not have more than one field specified at a time"))
    for one in given:
        name = source[one].get("name", "")
        if not name:
            causes.append(required(f"{path}.{one}.name"))
        else:
            check(causes, f"{path}.{one}.name", name, dns_subdomain(name))


def _check_mounts(causes: Causes, mounts: Sequence[Mapping[str, Any]], field: str, volumes: set[str]) -> None:
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{field}[{index}]"
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            causes.append(required(f"{here}.name"))
        if name not in volumes:
            causes.append(value_not_found(f"{here}.name", name))
        if not path:
            causes.append(required(f"{here}.mountPath"))
        elif path in paths:
            causes.append(invalid_value(f"{here}.mountPath", path, "must be unique"))
        paths.add(path)
        if mount.get("subPath"):
            _check_relative(causes, mount["subPath"], f"{field}.subPath")


def _check_relative(causes: Causes, path: str, field: str) -> None:
    if path.startswith("/"):
        causes.append(invalid_value(field, path, "must be a relative path"))
    if ".." in path.split("/"):
        causes.append(invalid_value(field, path, "must not contain '..'"))


def _check_probe(causes: Causes, probe: Mapping[str, Any], field: str, *, once: bool) -> None:
    _check_handler(causes, probe, field)
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        check_not_negative(causes, f"{field}.{name}", probe.get(name))
    if once and probe.get("successThreshold", 1) != 1:
        causes.append(invalid_value(f"{field}.successThreshold", probe["successThreshold"], "must be 1"))


def _check_handler(causes: Causes, handler: Mapping[str, Any], field: str) -> None:
    given = [one for one in _HANDLERS if handler.get(one) is not None]
    if not given:
        causes.append(required(field, "must specify a handler type"))
    causes += [forbidden_value(f"{field}.{one}", "may not specify more than 1 handler type") for one in given[1:]]
    if given[:1] == ["exec"] and not handler["exec"].get("command"):
        causes.append(required(f"{field}.exec.command"))
    if given[:1] == ["httpGet"]:
        request = handler["httpGet"]
        if not request.get("path"):
            causes.append(required(f"{field}.httpGet.path"))
        check(causes, f"{field}.httpGet.port", request["port"], port_name_or_number(request["port"]))
        if request.get("scheme") not in ("HTTP", "HTTPS"):
            causes.append(not_supported(f"{field}.httpGet.scheme", request.get("scheme", ""), ("HTTP", "HTTPS")))
    if given[:1] == ["tcpSocket"]:
        port = handler["tcpSocket"]["port"]
        check(causes, f"{field}.tcpSocket.port", port, port_name_or_number(port))
    if given[:1] == ["grpc"]:
        check(causes, f"{field}.grpc.port", handler["grpc"]["port"], port_number(handler["grpc"]["port"]))


def check_resources(causes: Causes, resources: Mapping[str, Any], field: str) -> None:
    """Limits and requests: known names, no negative amounts, requests within limits."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, amount in limits.items():
        _check_amount(causes, name, amount, f"{field}.limits[{name}]")
    for name, amount in requests.items():
        _check_amount(causes, name, amount, f"{field}.requests[{name}]")
        if name in limits and amount != limits[name] and parse(amount) > parse(limits[name]):
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(invalid_value(f"{field}.requests", amount, detail))


def _check_amount(causes: Causes, name: str, amount: str, field: str) -> None:
    check(causes, field, name, qualified_name(name))
    standard = name in _COMPUTE or name.startswith("hugepages-")
    if "/" not in name and not standard and not qualified_name(name):
        causes.append(invalid_value(field, name, "must be a standard resource type or fully qualified"))
        causes.append(invalid_value(field, name, "must be a standard resource for containers"))
    if amount.startswith("-"):
        causes.append(invalid_value(field, amount, NOT_NEGATIVE))
    if "/" in name and parse(amount).value.denominator != 1:
        causes.append(invalid_value(field, amount, "must be an integer"))


# ---- volumes and the rest ----


def _check_volumes(causes: Causes, volumes: Sequence[Mapping[str, Any]], field: str) -> set[str]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        path = f"{field}[{index}]"
        name = volume.get("name", "")
        before = len(causes)
        if not name:
            causes.append(required(f"{path}.name"))
        else:
            check(causes, f"{path}.name", name, dns_label(name))
        if name in names:
            causes.append(duplicate(f"{path}.name", name))
        _check_source(causes, volume, path)
        if len(causes) == before:
            names.add(name)
    # A volume that is wrong itself still counts for the mounts: one complaint about it is enough.
    return names | {str(volume.get("name", "")) for volume in volumes if volume.get("name")}


def _check_source(causes: Causes, volume: Mapping[str, Any], field: str) -> None:
    order = [one for one in _SOURCE_ORDER if one in volume] + [
        one for one in volume if one != "name" and one not in _SOURCE_ORDER
    ]
    causes += [forbidden_value(f"{field}.{one}", "may not specify more than 1 volume type") for one in order[1:]]
    if not order:
        return
    kind = order[0]
    source, path = volume[kind], f"{field}.{kind}"
    for name in _NEEDED.get(kind, ()):
        if not source.get(name):
            causes.append(required(f"{path}.{name}"))
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= 0o777:
        detail = "must be a number between 0 and 0777 (octal), both inclusive"
        causes.append(invalid_value(f"{path}.defaultMode", mode, detail))
    for index, item in enumerate(source.get("items") or () if kind in ("configMap", "secret") else ()):
        _check_item(causes, item, f"{path}.items[{index}]")
    if kind == "nfs" and not source.get("path", "").startswith("/"):
        causes.append(invalid_value(f"{path}.path", source.get("path", ""), "must be an absolute path"))
    if kind == "emptyDir" and "sizeLimit" in source and parse(source["sizeLimit"]) < 0:
        causes.append(forbidden_value(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


_SOURCE_ORDER: Final = ("emptyDir", "hostPath", "gitRepo", "secret", "nfs", "persistentVolumeClaim", "configMap")
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "hostPath": ("path",),
    "secret": ("secretName",),
    "configMap": ("name",),
    "persistentVolumeClaim": ("claimName",),
    "nfs": ("server", "path"),
    "csi": ("driver",),
}


def _check_item(causes: Causes, item: Mapping[str, Any], field: str) -> None:
    if not item.get("key"):
        causes.append(required(f"{field}.key"))
    if not item.get("path"):
        causes.append(required(f"{field}.path"))
    else:
        _check_relative(causes, item["path"], f"{field}.path")


def _check_tolerations(causes: Causes, tolerations: Iterable[Mapping[str, Any]], field: str) -> None:
    for index, one in enumerate(tolerations):
        path = f"{field}[{index}]"
        key, operator, effect = one.get("key", ""), one.get("operator", ""), one.get("effect", "")
        if key:
            check(causes, f"{path}.key", key, qualified_name(key))
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            causes.append(invalid_value(f"{path}.operator", operator, detail))
        if one.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            causes.append(invalid_value(f"{path}.effect", effect, detail))
        if operator == "Exists" and one.get("value"):
            detail = "value must be empty when `operator` is 'Exists'"
            causes.append(invalid_value(f"{path}.operator", one["value"], detail))
        elif operator not in ("", "Equal", "Exists"):
            causes.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
        if effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
            effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
            causes.append(not_supported(f"{path}.effect", effect, effects))


def _check_spread(causes: Causes, constraints: Iterable[Mapping[str, Any]], field: str) -> None:
    for index, one in enumerate(constraints):
        path = f"{field}[{index}]"
        if one.get("maxSkew", 0) <= 0:
            causes.append(invalid_value(f"{path}.maxSkew", one.get("maxSkew", 0), "must be greater than zero"))
        if not one.get("topologyKey"):
            causes.append(required(f"{path}.topologyKey", "can not be empty"))
        action = one.get("whenUnsatisfiable", "")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            actions = ("DoNotSchedule", "ScheduleAnyway")
            causes.append(not_supported(f"{path}.whenUnsatisfiable", action, actions))
        check_selector(causes, one.get("labelSelector"), f"{path}.labelSelector")
