"""Charts of a repository through real workers."""

from __future__ import annotations

from tests.unit.engine.render.conftest import Repository
from tests.unit.engine.render.helm.charts import chart, config_map, data, objects, rendered, small

from tiphys.engine.render.renderer import Renderer


async def test_a_chart_is_recognised_and_rendered(repository: Repository, tools: Renderer) -> None:
    snapshot = repository.snapshot(small("v: {{ .Values.v | quote }}\nns: {{ .Release.Namespace }}"))
    found = await rendered(tools, snapshot)
    assert (found.source_type, [one.name for one in found.objects]) == ("Helm", ["web"])
    assert await data(tools, snapshot) == {"v": "1", "ns": "prod"}


async def test_integers_of_parameters_stay_integers(repository: Repository, tools: Renderer) -> None:
    snapshot = repository.snapshot(
        small('a: "{{ .Values.a }}"\nb: "{{ index .Values.l 1 }}"\ng: "{{ .Values.global.g }}"\nf: "{{ .Values.f }}"')
        | {
            "chart/values.yaml": "f: 1234567\na: 1\nl: [a, b]\nglobal: {g: 1}\n",
            "chart/charts/sub/Chart.yaml": chart("sub"),
            "chart/charts/sub/templates/cm.yaml": config_map('g: "{{ .Values.global.g }} {{ .Values.s }}"', "sub"),
        }
    )
    parameters = [
        {"name": "a", "value": "1234567"},
        {"name": "l", "value": "{x,7654321}"},
        {"name": "global.g", "value": "9999999"},
        {"name": "sub.s", "value": "9007199254740993"},
    ]
    by_name = {one["metadata"]["name"]: one["data"] for one in await objects(tools, snapshot, parameters=parameters)}
    assert by_name == {
        "web": {"a": "1234567", "b": "7654321", "g": "9999999", "f": "1.234567e+06"},
        "sub": {"g": "9999999 9007199254740993"},
    }
