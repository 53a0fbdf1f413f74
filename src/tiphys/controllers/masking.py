"""Copies of Secrets that can be shown: every value masked, differences still visible. Pure.

Source: compat 3.5 "Secret display".
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson

from tiphys.apimachinery.names import GroupKind
from tiphys.model.annotations import LAST_APPLIED

SECRET = GroupKind("", "Secret")
_MASK = "++++++++"


def mask_secrets(
    *objects: Mapping[str, Any] | None, annotations: Collection[str] = ()
) -> tuple[dict[str, Any] | None, ...]:
    """Copies of Secrets with every value masked; equal values have equal masks, so that differences stay visible.

    The copy of the values in the last-applied annotation is masked with them, and so are the named annotations.
    """
    masks: dict[str, str] = {}

    def mask(value: object) -> str:
        return masks.setdefault(str(value), _MASK + "++++" * len(masks))

    return tuple(None if obj is None else _masked(obj, mask, frozenset(annotations)) for obj in objects)


def _masked(obj: Mapping[str, Any], mask: Callable[[object], str], sensitive: frozenset[str]) -> dict[str, Any]:
    copy = dict(obj)
    plain = copy.pop("stringData", None)
    data = dict(copy.get("data") or {})
    if isinstance(plain, Mapping):
        data.update({k: base64.b64encode(str(v).encode()).decode() for k, v in plain.items()})
    if data:
        copy["data"] = {name: mask(value) for name, value in data.items()}
    metadata = dict(copy.get("metadata") or {})
    annotations = {
        name: mask(value) if name in sensitive else value for name, value in (metadata.get("annotations") or {}).items()
    }
    text = annotations.get(LAST_APPLIED)
    if isinstance(text, str):
        try:
            applied = orjson.loads(text)
        except orjson.JSONDecodeError:
            applied = None
        annotations[LAST_APPLIED] = (
            orjson.dumps(_masked(applied, mask, sensitive)).decode() if isinstance(applied, dict) else _MASK
        )
    if annotations:
        metadata["annotations"] = annotations
        copy["metadata"] = metadata
    return copy
