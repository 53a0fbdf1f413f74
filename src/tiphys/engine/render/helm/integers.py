"""A template that turns parameters back into integers before any other template runs. Runs in the worker.

Values reach the SDK as JSON, where every number becomes a float: `1234567` would be printed as `1.234567e+06`, and
`eq .Values.port 80` would fail. Helm renders the deepest templates first, and all templates of a chart share their values,
so one template that lies deeper than any other and writes nothing can set the integers as `--set` would have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tiphys.engine.render.helm.strvals import SetInteger

# Folders below templates/: more than a chart with subcharts inside subcharts reaches.
_DEPTH = 40
NAME = "templates/" + "z/" * _DEPTH + "tiphys-first.yaml"


def first_template(values: dict[str, Any], *, kube_version: str = "") -> str:
    """The template's text, empty when there is nothing to do.

    `kube_version` is the chart's own constraint, checked in the words of helm.
    """
    numbers = iter(range(1_000_000))
    lines = list(_of_map("$.Values", values, numbers))
    shared = values.get("global")
    if isinstance(shared, dict) and _has(shared):
        # Each subchart has a copy of the global values of its own.
        body = "".join(_of_map("$shared", shared, numbers))
        each = '{{- $shared := get .Values "global" }}{{- if kindIs "map" $shared }}' + body + "{{- end }}"
        deeper = '{{- range $name, $sub := .Subcharts }}{{- template "tiphys.globals" $sub }}{{- end }}'
        lines.append('{{- define "tiphys.globals" }}' + each + deeper + "{{- end }}")
        lines.append('{{- range $name, $sub := .Subcharts }}{{- template "tiphys.globals" $sub }}{{- end }}')
    if kube_version:
        text = json.dumps(kube_version)
        refusal = json.dumps(f"chart requires kubeVersion: {kube_version} which is incompatible with Kubernetes ")
        lines.append(
            f"{{{{- if not (semverCompare {text} .Capabilities.KubeVersion.Version) }}}}"
            f"{{{{- fail (print {refusal} .Capabilities.KubeVersion.Version) }}}}{{{{- end }}}}"
        )
    return "".join(lines)


def _of_map(here: str, values: dict[str, Any], numbers: Iterator[int]) -> Iterator[str]:
    """Statements that put the integers below `values` into the map that the template knows as `here`."""
    for name, value in values.items():
        if not _has(value):
            continue
        key = json.dumps(name)
        if isinstance(value, dict):
            inner = f"$m{next(numbers)}"
            yield f'{{{{- $x := get {here} {key} }}}}{{{{- if kindIs "map" $x }}}}{{{{- {inner} := $x }}}}'.replace(
                "$x", f"$x{inner[2:]}"
            )
            yield from _of_map(inner, value, numbers)
            yield "{{- end }}"
        else:
            before = f"$l{next(numbers)}"
            yield f"{{{{- {before} := get {here} {key} }}}}"
            statements: list[str] = []
            new = _expression(before, value, numbers, statements)
            yield "".join(statements)
            yield f"{{{{- $_ := set {here} {key} {new} }}}}"


def _expression(here: str, value: Any, numbers: Iterator[int], statements: list[str]) -> str:
    """What the value is to be, given that the template knows what it is now as `here`."""
    if isinstance(value, SetInteger):
        return f"(int64 {int(value)})" if value >= 0 else f"(int64 ({int(value)}))"
    if isinstance(value, list) and _has(value):
        items = []
        for index, item in enumerate(value):
            if _has(item):
                inner = f"$i{next(numbers)}"
                if not isinstance(item, SetInteger):
                    statements.append(f"{{{{- {inner} := index {here} {index} }}}}")
                items.append(_expression(inner, item, numbers, statements))
            else:
                items.append(f"(index {here} {index})")
        return f"(list {' '.join(items)})"
    if isinstance(value, dict) and _has(value):
        statements.extend(_of_map(here, value, numbers))
    return here


def _has(value: Any) -> bool:
    """Is there an integer of a parameter in it?"""
    if isinstance(value, dict):
        return any(_has(item) for item in value.values())
    if isinstance(value, list):
        return any(_has(item) for item in value)
    return isinstance(value, SetInteger)
