"""Small charts, and what renders of them say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.engine.source.trees import Content

from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.render.tools import KubeVersions, RenderContext
from tiphys.engine.states import Rendered, Snapshot, StageError

CONTEXT = RenderContext(app_name="web", namespace="prod", kube=KubeVersions("1.36.2", ("v1", "apps/v1")))


def chart(name: str = "web", more: str = "") -> str:
    """Chart.yaml."""
    return f"apiVersion: v2\nname: {name}\nversion: 0.1.0\n{more}"


def config_map(data: str, name: str = "{{ .Release.Name }}") -> str:
    """A template with one ConfigMap."""
    lines = "".join(f"  {line}\n" for line in data.splitlines())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n{lines}"


def small(data: str = "v: {{ .Values.v | quote }}", values: str = "v: 1\n", **more: Content) -> dict[str, Content]:
    """A chart in `chart/` with one ConfigMap."""
    return {
        "chart/Chart.yaml": chart(),
        "chart/values.yaml": values,
        "chart/templates/cm.yaml": config_map(data),
        **{f"chart/{path}": content for path, content in more.items()},
    }


async def rendered(
    renderer: Renderer, snapshot: Snapshot, *, path: str = "chart", context: RenderContext = CONTEXT, **helm: Any
) -> Rendered:
    """The render of a chart with these options."""
    source = render_source({"path": path, **({"helm": helm} if helm else {})})
    return await renderer.render(snapshot, source, context=context)


async def objects(renderer: Renderer, snapshot: Snapshot, **options: Any) -> list[dict[str, Any]]:
    """The objects of a render."""
    return [json.loads(one.json) for one in (await rendered(renderer, snapshot, **options)).objects]


async def data(renderer: Renderer, snapshot: Snapshot, **options: Any) -> dict[str, Any]:
    """`data` of the only object."""
    (only,) = await objects(renderer, snapshot, **options)
    found: dict[str, Any] = only["data"]
    return found


async def failure(renderer: Renderer, snapshot: Snapshot, **options: Any) -> str:
    """What is said of a chart that cannot be rendered."""
    with pytest.raises(StageError) as caught:
        await rendered(renderer, snapshot, **options)
    assert (caught.value.reason, caught.value.retry_after_s) == ("ComparisonError", None)
    return caught.value.message
