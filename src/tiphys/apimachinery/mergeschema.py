"""MergeSchemas: how the values of every kind merge: as one value, field by field, or item by item.

An `Atom` says what a value may be (scalar, list, map; more than one of them where the API leaves it open) and for lists
and maps whether they are owned as a whole. Built-in kinds come from data in the package, custom kinds from their OpenAPI
v3 schema, anything else is deduced from the value.

Source: dev-cluster 3, 6; kube-openapi pkg/schemaconv (OpenAPI to merge types).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import orjson

from tiphys.apimachinery.names import GroupVersionKind

ATOMIC_NAME: Final = "__untyped_atomic_"
DEDUCED_NAME: Final = "__untyped_deduced_"
OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_RAW_EXTENSION: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"

_OPEN: Final[dict[str, Any]] = {
    "scalar": "untyped",
    "list": {"elementType": {"namedType": ATOMIC_NAME}, "elementRelationship": "atomic"},
    "map": {"elementType": {"namedType": DEDUCED_NAME}, "elementRelationship": "separable"},
}
_COMMON: Final[dict[str, dict[str, Any]]] = {
    ATOMIC_NAME: {
        "scalar": "untyped",
        "list": {"elementType": {"namedType": ATOMIC_NAME}, "elementRelationship": "atomic"},
        "map": {"elementType": {"namedType": ATOMIC_NAME}, "elementRelationship": "atomic"},
    },
    DEDUCED_NAME: _OPEN,
}


class SchemaError(ValueError):
    """A type that cannot be used for merging."""


class Atom:
    """What a value of one type may be.

    `scalar` is `string`, `numeric`, `boolean`, `untyped` or None. `open` tells whether a part of the value may be of any
    JSON type, so that 1 and true can follow each other in one place.
    """

    __slots__ = ("list", "map", "open", "scalar")

    def __init__(self) -> None:
        self.scalar: str | None = None
        self.list: ListType | None = None
        self.map: MapType | None = None
        self.open = False


class ListType:
    """A list: `atomic`, or with items told apart by `keys`, or (no keys) by their value."""

    __slots__ = ("atomic", "element", "key_defaults", "keys")

    def __init__(self, element: Atom, atomic: bool, keys: tuple[str, ...]) -> None:
        self.element = element
        self.atomic = atomic
        self.keys = keys
        self.key_defaults: dict[str, Any] = {}


class MapType:
    """A map or struct: declared `fields`, the type of other entries (None: there may be none), and whether it is atomic."""

    __slots__ = ("atomic", "element", "fields", "untyped")

    def __init__(self, fields: dict[str, Atom], element: Atom | None, atomic: bool, untyped: bool) -> None:
        self.fields = fields
        self.element = element
        self.atomic = atomic
        self.untyped = untyped  # no fields declared and entries of any type


@dataclass(frozen=True, slots=True)
class MergeSchema:
    """The type of one kind in one version.

    `evolves` is true where the type may have been another one when an object was written (custom kinds).
    """

    atom: Atom
    evolves: bool = False


class MergeSchemas:
    """Merge types of the kinds of an API server; built once, asked for each kind.

    `types` maps type names to definitions in the notation of structured-merge-diff, `kinds` maps `apps/v1/Deployment` to
    a type name.
    """

    def __init__(self, types: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, str]) -> None:
        self._types: dict[str, Mapping[str, Any]] = {**types, **_COMMON}
        self._kinds = dict(kinds)
        self._compiler = _Compiler(self._types)

    @classmethod
    def builtin(cls) -> MergeSchemas:
        """Types of Kubernetes' own kinds, read from the package (a few milliseconds)."""
        packed = files("tiphys.apimachinery").joinpath("data/mergeschema.json.gz").read_bytes()
        document = orjson.loads(gzip.decompress(packed))
        return cls(document["types"], document["kinds"])

    def for_kind(self, gvk: GroupVersionKind) -> MergeSchema | None:
        """The type of a built-in kind, None when it is not known."""
        name = self._kinds.get(f"{gvk.api_version}/{gvk.kind}")
        return None if name is None else MergeSchema(self._compiler.named(name))

    def deduced(self) -> MergeSchema:
        """The type for objects nothing is known about: maps merge by entry, everything else is one value."""
        return MergeSchema(self._compiler.named(DEDUCED_NAME), evolves=True)

    def for_custom(
        self, open_api_v3_schema: Mapping[str, Any] | None, *, preserve_unknown_fields: bool = False
    ) -> MergeSchema:
        """The type of a custom kind from the `openAPIV3Schema` of its version.

        Raises SchemaError for a schema that a CustomResourceDefinition could not have.
        """
        if open_api_v3_schema is None:
            root: dict[str, Any] = {"type": "object"}
        else:
            root = _with_resource_fields(_with_embedded_fields(open_api_v3_schema))
        return MergeSchema(self._compiler.inline(from_openapi(root, preserve_unknown_fields)), evolves=True)


# ---- OpenAPI v3 to merge types ----


def types_of_openapi(models: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Type definitions for `components.schemas` of an OpenAPI v3 document, by model name."""
    out: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        if name == _QUANTITY:
            out[name] = {"scalar": "untyped"}
        elif name == _RAW_EXTENSION:
            out[name] = dict(_COMMON[ATOMIC_NAME])
        elif "$ref" not in model:
            out[name] = from_openapi(model, False)
    return out


def from_openapi(schema: Mapping[str, Any], preserve: bool) -> dict[str, Any]:
    """The atom of one schema. `preserve`: an ancestor keeps unknown fields, so this one does."""
    preserve = preserve or schema.get("x-kubernetes-preserve-unknown-fields") is True
    kind = schema.get("type") or ""
    if kind == "object":
        return {"map": _map_of(schema, preserve)}
    if kind == "array":
        return {"list": _list_of(schema, preserve)}
    if kind in ("integer", "number"):
        return {"scalar": "numeric"}
    if kind == "boolean":
        return {"scalar": "boolean"}
    if kind == "string":
        return {"scalar": "string" if schema.get("format", "") in ("", "byte") else "untyped"}
    if kind:
        raise SchemaError(f"unrecognized type: '{kind}'")
    return {"scalar": "untyped", "list": _list_of(schema, preserve), "map": _map_of(schema, preserve)}


def _reference(schema: Mapping[str, Any], preserve: bool) -> dict[str, Any]:
    target = schema.get("$ref")
    if not target:
        alternatives: Sequence[Mapping[str, Any]] = schema.get("allOf") or []
        target = alternatives[0].get("$ref") if len(alternatives) == 1 else None
    if not target:
        return from_openapi(schema, preserve)
    found: dict[str, Any] = {"namedType": target.rpartition("/")[2]}
    relationship = _map_relationship(schema)
    return found | {"elementRelationship": relationship} if relationship else found


def _map_of(schema: Mapping[str, Any], preserve: bool) -> dict[str, Any]:
    properties = schema.get("properties") or {}
    fields: list[dict[str, Any]] = []
    for name in sorted(properties):
        field: dict[str, Any] = {"name": name, "type": _reference(properties[name], preserve)}
        if properties[name].get("default") is not None:
            field["default"] = properties[name]["default"]
        fields.append(field)
    out: dict[str, Any] = {"fields": fields} if fields else {}
    additional = schema.get("additionalProperties")
    if additional is None:
        if preserve or not properties:
            out["elementType"] = {"namedType": DEDUCED_NAME}
    elif isinstance(additional, Mapping):
        out["elementType"] = _reference(additional, preserve)
    elif additional:
        out["elementType"] = {"namedType": DEDUCED_NAME}
    relationship = _map_relationship(schema)
    return out | {"elementRelationship": relationship} if relationship else out


def _map_relationship(schema: Mapping[str, Any]) -> str:
    found = schema.get("x-kubernetes-map-type")
    if found is None:
        return ""
    if found not in ("atomic", "granular"):
        raise SchemaError(f"unknown map type {found}")
    return "atomic" if found == "atomic" else "separable"


def _list_of(schema: Mapping[str, Any], preserve: bool) -> dict[str, Any]:
    items = schema.get("items")
    element = {"namedType": ATOMIC_NAME} if items is None else _reference(items, preserve)
    if items is None and schema.get("type"):
        raise SchemaError("`items` must be specified on arrays")
    out: dict[str, Any] = {"elementType": element}
    kind = schema.get("x-kubernetes-list-type")
    strategy = schema.get("x-kubernetes-patch-strategy")
    if kind == "map":
        if not schema.get("x-kubernetes-list-map-keys"):
            raise SchemaError("missing map keys")
        return out | {"elementRelationship": "associative", "keys": list(schema["x-kubernetes-list-map-keys"])}
    if kind == "set":
        return out | {"elementRelationship": "associative"}
    if kind is None and strategy in ("merge", "merge,retainKeys"):
        key = schema.get("x-kubernetes-patch-merge-key")
        return out | {"elementRelationship": "associative"} | ({"keys": [key]} if key else {})
    if kind not in (None, "atomic"):
        raise SchemaError(f"unknown list type {kind}")
    return out | {"elementRelationship": "atomic"}


def _with_resource_fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = dict(schema.get("properties") or {})
    properties |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": f"#/components/schemas/{OBJECT_META}"},
    }
    return {**schema, "properties": properties}


def _with_embedded_fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Schemas marked as embedded resources get the three fields every resource has."""
    out = dict(schema)
    if schema.get("properties"):
        out["properties"] = {name: _with_embedded_fields(below) for name, below in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            out[key] = _with_embedded_fields(schema[key])
    return _with_resource_fields(out) if schema.get("x-kubernetes-embedded-resource") is True else out


# ---- compiling ----


class _Compiler:
    """Turns definitions into linked atoms, each named type once."""

    def __init__(self, types: Mapping[str, Mapping[str, Any]]) -> None:
        self._types = types
        self._atoms: dict[str, Atom] = {}
        self._marked: dict[str, Atom] = {}

    def named(self, name: str) -> Atom:
        """The atom of a named type, with everything it reaches."""
        known = self._marked.get(name)
        if known is not None:
            return known
        atom = self._marked[name] = self._named(name)
        _mark_open(atom)
        return atom

    def inline(self, definition: Mapping[str, Any]) -> Atom:
        """The atom of a definition that has no name."""
        atom = Atom()
        self._fill(atom, definition)
        _mark_open(atom)
        return atom

    def _named(self, name: str) -> Atom:
        atom = self._atoms.get(name)
        if atom is None:
            definition = self._types.get(name)
            if definition is None:
                raise SchemaError(f"no type found matching: {name}")
            atom = self._atoms[name] = Atom()  # known before it is filled: types refer to themselves
            self._fill(atom, definition)
        return atom

    def _reference(self, reference: Mapping[str, Any]) -> Atom:
        name = reference.get("namedType")
        if name is None:
            atom = Atom()
            self._fill(atom, reference)
            return atom
        atom = self._named(name)
        relationship = reference.get("elementRelationship")
        return atom if relationship is None else _related(atom, relationship == "atomic")

    def _fill(self, atom: Atom, definition: Mapping[str, Any]) -> None:
        atom.scalar = definition.get("scalar")
        if (of_list := definition.get("list")) is not None:
            keys = tuple(of_list.get("keys") or ())
            atomic = of_list.get("elementRelationship") == "atomic"
            atom.list = ListType(self._reference(of_list["elementType"]), atomic, keys)
            atom.list.key_defaults = self._key_defaults(of_list["elementType"], keys)
        if (of_map := definition.get("map")) is not None:
            declared = of_map.get("fields") or ()
            fields = {field["name"]: self._reference(field["type"]) for field in declared}
            element = of_map.get("elementType")
            open_entries = not fields and element is not None and _is_untyped(element)
            atom.map = MapType(
                fields,
                None if element is None else self._reference(element),
                of_map.get("elementRelationship") == "atomic",
                open_entries,
            )

    def _key_defaults(self, element: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
        """Defaults of key fields: an item that leaves one out is found under its default."""
        name = element.get("namedType")
        definition: Mapping[str, Any] = self._types.get(name, {}) if name is not None else element
        declared = {field["name"]: field for field in (definition.get("map") or {}).get("fields") or ()}
        found = {key: declared[key].get("default") for key in keys if key in declared}
        return {key: value for key, value in found.items() if value is not None}


def _is_untyped(reference: Mapping[str, Any]) -> bool:
    return bool(reference.get("namedType") == DEDUCED_NAME or reference.get("scalar") == "untyped")


def _related(atom: Atom, atomic: bool) -> Atom:
    """The atom with its list or map owned as a whole, or not, where a field says so itself."""
    out = Atom()
    out.scalar = atom.scalar
    if atom.list is not None:
        out.list = ListType(atom.list.element, atomic, atom.list.keys)
        out.list.key_defaults = atom.list.key_defaults
    if atom.map is not None:
        out.map = MapType(atom.map.fields, atom.map.element, atomic, atom.map.untyped)
    return out


def _below(atom: Atom) -> list[Atom]:
    out = [] if atom.list is None else [atom.list.element]
    if atom.map is not None:
        # Whoever compares objects takes managedFields out before; counting it would make every kind open.
        out += [child for name, child in atom.map.fields.items() if name != "managedFields"]
        if atom.map.element is not None:
            out.append(atom.map.element)
    return out


def _mark_open(root: Atom) -> None:
    """Set `open` on every atom under `root` from which an any-typed value can be reached."""
    parents: dict[int, list[Atom]] = {}
    seen: dict[int, Atom] = {id(root): root}
    queue = [root]
    marked: list[Atom] = []
    while queue:
        atom = queue.pop()
        if atom.open or (atom.scalar == "untyped" and atom.map is not None):
            marked.append(atom)
        for child in _below(atom):
            parents.setdefault(id(child), []).append(atom)
            if id(child) not in seen:
                seen[id(child)] = child
                queue.append(child)
    while marked:
        atom = marked.pop()
        atom.open = True
        marked += [parent for parent in parents.get(id(atom), ()) if not parent.open]
