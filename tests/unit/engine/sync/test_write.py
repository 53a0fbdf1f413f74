"""Which way an object is written, and whose fields are taken over."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.states import Live, Target
from tiphys.engine.sync.fieldowners import migration
from tiphys.engine.sync.write import Options, Strategy, Way, propagation_of, way_of

KEY = ResourceKey("", "ConfigMap", "shop", "settings")


def target(*options: str) -> Target:
    return Target(KEY, "v1", "d", b"{}", options=frozenset(options))


def live(options: str = "") -> Live:
    annotations = {"argocd.argoproj.io/sync-options": options} if options else {}
    obj = {"metadata": {"name": "settings", "namespace": "shop", "annotations": annotations}}
    return Live(KEY, "v1", "uid", "1", orjson.dumps(obj))


@pytest.mark.parametrize(
    ("own", "theirs", "given", "way"),
    [
        ((), "", (), Way(Strategy.CLIENT_SIDE)),
        ((), "", ("ServerSideApply=true",), Way(Strategy.SERVER_SIDE)),
        (("ServerSideApply=false",), "", ("ServerSideApply=true",), Way(Strategy.CLIENT_SIDE)),
        (("ServerSideApply=true",), "", (), Way(Strategy.SERVER_SIDE)),
        ((), "ServerSideApply=true", (), Way(Strategy.CLIENT_SIDE)),
        (("Replace=true",), "", ("ServerSideApply=true",), Way(Strategy.REPLACE)),
        ((), "Replace=true", (), Way(Strategy.REPLACE)),
        ((), "", ("Replace=true",), Way(Strategy.REPLACE)),
        (("Force=true",), "", (), Way(Strategy.CLIENT_SIDE, force=True)),
        ((), "Force=true, Replace=true", (), Way(Strategy.REPLACE, force=True)),
        ((), "", ("Force=true",), Way(Strategy.CLIENT_SIDE)),
        ((), "", ("Validate=false",), Way(Strategy.CLIENT_SIDE, validate=False)),
        (("Validate=false",), "", (), Way(Strategy.CLIENT_SIDE, validate=False)),
    ],
)
def test_the_resources_own_option_wins(own: tuple[str, ...], theirs: str, given: tuple[str, ...], way: Way) -> None:
    assert way_of(target(*own), live(theirs), Options("op", sync_options=given)) == way


def test_a_dry_run_is_never_server_side() -> None:
    options = Options("op", sync_options=("ServerSideApply=true",), dry_run=True)
    assert way_of(target(), None, options).strategy is Strategy.CLIENT_SIDE


def test_a_forced_operation_forces_every_object() -> None:
    assert way_of(target(), None, Options("op", force=True)).force


@pytest.mark.parametrize(
    ("options", "propagation"),
    [
        ((), "foreground"),
        (("PrunePropagationPolicy=background",), "background"),
        (("PrunePropagationPolicy=orphan",), "orphan"),
        (("PrunePropagationPolicy=nonsense",), "foreground"),
    ],
)
def test_pruned_objects_are_deleted_as_the_option_says(options: tuple[str, ...], propagation: str) -> None:
    assert propagation_of(options) == propagation


def entry(manager: str, operation: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
        "time": "2026-01-01T00:00:00Z",
        **more,
    }


def test_fields_of_a_client_side_apply_become_ours() -> None:
    others = entry("kubelet", "Update", {"f:status": {}}, subresource="status")
    obj = {
        "metadata": {
            "resourceVersion": "5",
            "managedFields": [
                entry("kubectl-client-side-apply", "Update", {"f:data": {"f:a": {}}}),
                entry("argocd-controller", "Apply", {"f:data": {"f:b": {}}}),
                others,
            ],
        }
    }
    assert migration(obj, {"kubectl-client-side-apply"}) == [
        {
            "op": "replace",
            "path": "/metadata/managedFields",
            "value": [entry("argocd-controller", "Apply", {"f:data": {"f:a": {}, "f:b": {}}}), others],
        },
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "5"},
    ]


def test_nothing_moves_when_no_client_side_manager_is_there() -> None:
    obj = {"metadata": {"managedFields": [entry("argocd-controller", "Apply", {}), entry("other", "Update", {})]}}
    assert migration(obj, {"kubectl-client-side-apply", "argocd-controller"}) is None
