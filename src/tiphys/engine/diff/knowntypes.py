"""Fields of custom resources that have the type of a built-in one are read as the API server reads those. Pure.

So `cpu: 1000m` in the pod template of a custom kind equals `1`.

Source: compat 3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.apimachinery import goshapes
from tiphys.settings.values import KnownTypeField

# How `argocd-cm` names the packages of types.
_PACKAGES = {
    "core/v1": "api.core.v1",
    "apps/v1": "api.apps.v1",
    "batch/v1": "api.batch.v1",
    "meta/v1": "apimachinery.pkg.apis.meta.v1",
}
_QUANTITY = "apimachinery.pkg.api.resource.Quantity"


def with_known_types(obj: dict[str, Any], known: Sequence[KnownTypeField]) -> dict[str, Any]:
    """The object with these fields in the form in which the server would write them; maps and lists are gone through.

    A field that is not of its type stays as it is.
    """
    for one in known:
        decode = goshapes.builtin().value_decoder(type_name(one.type))
        if decode is not None and one.field:
            obj = _at(obj, one.field.split("."), decode)
    return obj


def type_name(short: str) -> str:
    """The full name of a type as `argocd-cm` writes it: `core/v1/PodSpec`, `core/Quantity`."""
    if short == "core/Quantity":
        return _QUANTITY
    package, _, name = short.rpartition("/")
    return f"{_PACKAGES[package]}.{name}" if package in _PACKAGES else ""


def _at(value: Any, path: Sequence[str], decode: goshapes.Decode) -> Any:
    if isinstance(value, list):
        return [_at(item, path, decode) for item in value]
    if path:
        if not isinstance(value, dict) or path[0] not in value:
            return value
        return {**value, path[0]: _at(value[path[0]], path[1:], decode)}
    try:
        return decode(value, [])
    except goshapes.DecodeError:
        if isinstance(value, dict):  # a map of values of the type
            return {key: _at(item, (), decode) if not isinstance(item, dict) else item for key, item in value.items()}
        return value
