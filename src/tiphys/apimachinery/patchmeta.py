"""Which lists a strategic merge patch merges, by which key: the patch strategies of Kubernetes' own kinds.

The table in the package is cut down from a real API server's `/openapi/v3` (Kubernetes is under the Apache License 2.0)
by `scripts/gen_patchmeta.py`: it holds a type only if a strategy can be reached from it. A field the table does not
know is merged when it is an object and replaced when it is a list, which is what Kubernetes does without a strategy.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from tiphys.apimachinery.names import GroupVersionKind

ANY_KEY: Final = "*"
"""Stands for every key of a type that is a map with free keys."""


@dataclass(frozen=True, slots=True)
class FieldMeta:
    """How one field is patched. `schema` is that of the object in it, or of the items of the list in it."""

    schema: PatchSchema
    merge: bool = False  # a list is merged: by `merge_key` when of objects, as a set when of scalars
    replace: bool = False  # an object is replaced as a whole
    retain_keys: bool = False  # an object keeps only the members `$retainKeys` names
    merge_key: str = ""


class PatchSchema:
    """The fields of one type that need care in a strategic merge patch."""

    __slots__ = ("_metas", "_rows", "_table", "name")

    def __init__(self, name: str, rows: Mapping[str, Sequence[Any]], table: Sequence[PatchSchema]) -> None:
        self.name = name
        self._rows = rows  # field -> [type index, strategies, merge key]; trailing ones may be absent
        self._table = table
        self._metas: dict[str, FieldMeta] = {}  # of the rows, each read when it is first asked for

    def __iter__(self) -> Iterator[str]:
        """The fields with rules; `ANY_KEY` when every key is one."""
        return iter(self._rows)

    def field(self, key: str) -> FieldMeta:
        """How field `key` is patched; `PLAIN` for one without any rule below it."""
        meta = self._metas.get(key)
        if meta is not None:
            return meta
        if key in self._rows:
            meta = self._metas[key] = self._read(self._rows[key])
            return meta
        return self.field(ANY_KEY) if ANY_KEY in self._rows else PLAIN

    def _read(self, row: Sequence[Any]) -> FieldMeta:
        index, strategies, merge_key = (*row, "", "")[:3]
        words = strategies.split(",")
        return FieldMeta(
            self._table[index] if index >= 0 else UNKNOWN,
            merge="merge" in words,
            replace="replace" in words,
            retain_keys="retainKeys" in words,
            merge_key=merge_key,
        )


UNKNOWN: Final = PatchSchema("unknown", {}, ())
"""A type without rules: objects merge, lists are replaced."""

PLAIN: Final = FieldMeta(UNKNOWN)
"""A field without rules."""


class PatchTable:
    """The schemas of many kinds, found by group, version and kind."""

    def __init__(self, kinds: Mapping[str, int], types: Sequence[tuple[str, Mapping[str, Sequence[Any]]]]) -> None:
        self._kinds = kinds
        self._types: list[PatchSchema] = []
        self._types.extend(PatchSchema(name, fields, self._types) for name, fields in types)

    @classmethod
    def load(cls, data: bytes) -> PatchTable:
        """The table in `data`, gzipped JSON as `scripts/gen_patchmeta.py` writes it."""
        document = orjson.loads(gzip.decompress(data))
        return cls(document["kinds"], document["types"])

    def schema(self, gvk: GroupVersionKind) -> PatchSchema | None:
        """The schema of a kind; None for kinds Kubernetes does not build in, whose patches are JSON merge patches."""
        index = self._kinds.get(f"{gvk.group}/{gvk.version}/{gvk.kind}")
        if index is None:
            return None
        return self._types[index] if index >= 0 else UNKNOWN

    def __len__(self) -> int:
        return len(self._kinds)


@cache
def builtin() -> PatchTable:
    """The table of the kinds of the Kubernetes release this package was made with."""
    return PatchTable.load(files("tiphys.apimachinery").joinpath("data/patchmeta.json.gz").read_bytes())
