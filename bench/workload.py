"""What is deployed: applications of three objects each, from one repository, in four flavours that make equal objects.

One application is a ServiceAccount, a Service and a ConfigMap with 2,048 bytes of text and a `version`, which commits
change. Application i lives in the namespace `bench-NNN` with nine others. Everything is a function of the number, so
that every engine and every run get the same bytes.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]
Files = dict[str, str]

FLAVOURS = ("plain", "helm", "kustomize")
"""What one application can be. A repository of flavour `mixed` has a third of each."""

_ALPHABET = string.ascii_letters + string.digits
_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9./-]*\Z")
_BASE = "app"


@dataclass(frozen=True, slots=True)
class App:
    """An application as every engine is told of it. `repo` names a repository of the run, `path` a folder of it."""

    name: str
    namespace: str
    repo: str
    path: str
    flavour: str = "plain"
    value_files: tuple[str, ...] = ()
    automated: bool = True
    options: tuple[str, ...] = ()
    after: str = ""  # the application that has to be ready before, for engines that have waves between applications


def app_name(number: int) -> str:
    """Name of an application, of its objects and of its folder."""
    return f"app-{number:04d}"


def namespace_of(number: int) -> str:
    """Ten applications share a namespace."""
    return f"bench-{number // 10:03d}"


def flavour_of(number: int, flavour: str) -> str:
    """What an application of a repository is."""
    return FLAVOURS[number % 3] if flavour == "mixed" else flavour


def text(seed: int, size: int) -> str:
    """Letters and digits that do not compress well."""
    return "".join(random.Random(seed).choices(_ALPHABET, k=size))


def objects(number: int, version: str = "0", extra: str = "") -> list[Manifest]:
    """The objects of an application. `extra` is what a change of a shared chart or base writes."""
    name, namespace = app_name(number), namespace_of(number)
    data = {"version": version, "payload": text(number, 2048)}
    return _objects(name, namespace, data | ({"shared": extra} if extra else {}))


def _objects(name: str, namespace: str, data: Mapping[str, str]) -> list[Manifest]:
    def meta() -> Manifest:
        return {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": name, "bench": "fleet"}}

    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta()},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta(),
            "spec": {"selector": {"app.kubernetes.io/name": name}, "ports": ports},
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(), "data": dict(data)},
    ]


# Files


def files(n: int, flavour: str) -> Files:
    """A repository of N applications."""
    found: Files = {"README.md": "A fleet.\n"}
    kinds = {flavour_of(i, flavour) for i in range(min(n, 3))}
    if "helm" in kinds:
        found |= chart()
    if "kustomize" in kinds:
        found |= base()
    for number in range(n):
        found |= own_files(number, flavour)
    return found


def own_files(number: int, flavour: str, version: str = "0") -> Files:
    """The files of one application."""
    name = app_name(number)
    kind = flavour_of(number, flavour)
    if kind in ("plain", "listed"):
        service_account, service, config = objects(number, version)
        found = {
            f"apps/{name}/serviceaccount.yaml": to_yaml(service_account),
            f"apps/{name}/service.yaml": to_yaml(service),
            f"apps/{name}/configmap.yaml": to_yaml(config),
        }
        if kind == "listed":
            names = [path.rpartition("/")[2] for path in found]
            found[f"apps/{name}/kustomization.yaml"] = to_yaml({"resources": names})
        return found
    return {**changed_files(number, flavour, version), **_fixed_files(number, kind)}


def _fixed_files(number: int, kind: str) -> Files:
    name = app_name(number)
    if kind == "helm":
        return {}
    overlay = {
        "resources": ["../../base"],
        "nameSuffix": name.removeprefix(_BASE),
        "namespace": namespace_of(number),
        "labels": [{"pairs": {"app.kubernetes.io/name": name}, "includeSelectors": True}],
        "patches": [{"path": "version.yaml"}],
    }
    return {f"apps/{name}/kustomization.yaml": to_yaml(overlay)}


def changed_files(number: int, flavour: str, version: str) -> Files:
    """The file a commit to one application changes, with its new version."""
    name = app_name(number)
    kind = flavour_of(number, flavour)
    config = objects(number, version)[2]
    if kind == "helm":
        return {f"apps/{name}/values.yaml": to_yaml(config["data"])}
    if kind == "kustomize":
        patch = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _BASE}, "data": config["data"]}
        return {f"apps/{name}/version.yaml": to_yaml(patch)}
    return {f"apps/{name}/configmap.yaml": to_yaml(config)}


def chart(extra: str = "") -> Files:
    """The chart of all helm applications. `extra` changes what each of them makes."""
    service_account, service, config = _objects("RELEASE", "NAMESPACE", {"version": "VERSION", "payload": "PAYLOAD"})
    if extra:
        config["data"]["shared"] = extra
    words = {
        "RELEASE": "{{ .Release.Name }}",
        "NAMESPACE": "{{ .Release.Namespace }}",
        "VERSION": "{{ .Values.version | quote }}",
        "PAYLOAD": "{{ .Values.payload | quote }}",
    }

    def template(obj: Manifest) -> str:
        return re.sub("|".join(words), lambda found: words[found[0]], to_yaml(obj))

    return {
        "chart/Chart.yaml": to_yaml({"apiVersion": "v2", "name": "service", "version": "0.1.0"}),
        "chart/values.yaml": to_yaml({"version": "0", "payload": "none"}),
        "chart/templates/serviceaccount.yaml": template(service_account),
        "chart/templates/service.yaml": template(service),
        "chart/templates/configmap.yaml": template(config),
    }


def base(extra: str = "") -> Files:
    """The base of all kustomize applications. `extra` changes what each of them makes."""
    parts = _objects(_BASE, "unset", {"version": "0"} | ({"shared": extra} if extra else {}))
    for obj in parts:
        del obj["metadata"]["namespace"]
    found = {f"base/{obj['kind'].lower()}.yaml": to_yaml(obj) for obj in parts}
    names = [path.rpartition("/")[2] for path in found]
    return {**found, "base/kustomization.yaml": to_yaml({"resources": names})}


def fleet(n: int, flavour: str, *, options: tuple[str, ...] = (), automated: bool = True) -> list[App]:
    """The N applications of a repository called `fleet`."""
    found = []
    for number in range(n):
        name, kind = app_name(number), flavour_of(number, flavour)
        helm = kind == "helm"
        found.append(
            App(
                name=name,
                namespace=namespace_of(number),
                repo="fleet",
                path="chart" if helm else f"apps/{name}",
                flavour=kind,
                value_files=(f"../apps/{name}/values.yaml",) if helm else (),
                options=options,
                automated=automated,
            )
        )
    return found


# YAML


def to_yaml(obj: Mapping[str, Any]) -> str:
    """Block YAML as people write it, of mappings, lists, strings, whole numbers and booleans."""
    return "".join(f"{line}\n" for line in _lines(obj, ""))


def _lines(obj: Mapping[str, Any], pad: str) -> Iterable[str]:
    for key, value in obj.items():
        name = key if _PLAIN_WORD.match(key) else json.dumps(key)
        if isinstance(value, Mapping):
            yield f"{pad}{name}:"
            yield from _lines(value, pad + "  ")
        elif isinstance(value, list):
            yield f"{pad}{name}:"
            for item in value:
                if isinstance(item, Mapping):
                    first, *rest = _lines(item, pad + "    ")
                    yield f"{pad}  - {first.lstrip()}"
                    yield from rest
                else:
                    yield f"{pad}  - {_scalar(item)}"
        else:
            yield f"{pad}{name}: {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return (
            value
            if _PLAIN_WORD.match(value) and value not in ("true", "false", "null", "yes", "no")
            else json.dumps(value)
        )
    return json.dumps(value)
