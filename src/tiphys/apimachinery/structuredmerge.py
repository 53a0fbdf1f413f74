"""compare, merge, to_set, remove, prune: what changed between two objects and who owns it, along their merge types.

Objects are parsed JSON. `None` is JSON's null, which is not the same as a field that is not there; the distinction decides
ownership, so callers pass objects with their nulls. Nothing is changed in place, results share parts with the arguments.

Source: dev-cluster 6 items 1-4; structured-merge-diff v6 (typed, merge).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tiphys.apimachinery import fieldset
from tiphys.apimachinery.apierrors import go_quote
from tiphys.apimachinery.fieldset import EMPTY, MEMBER, FieldSet, key_element, value_element
from tiphys.apimachinery.mergeschema import Atom, ListType, MapType

_ABSENT: Final[Any] = object()
_SELF: Final = "."
_Node = Mapping[str, Any] | None  # a node of a set, None where there is nothing


class MergeError(ValueError):
    """An object that does not fit its merge type. The text is what an API server says about it."""


class Comparison(NamedTuple):
    """Paths that differ between an old and a new object; no path is in two of the sets."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def changed(self) -> FieldSet:
        """Added and modified together."""
        return fieldset.union(self.modified, self.added)

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)


# ---- kinds of values ----


def form_of(atom: Atom, value: object) -> str:
    """Which of the atom's forms rules this value: `map`, `scalar` or `list`.

    A value of a form the atom does not have, and null, fall under the first the atom has.
    """
    if isinstance(value, dict):
        if atom.map is not None:
            return "map"
    elif isinstance(value, list):
        if atom.list is not None:
            return "list"
    elif value is not None and value is not _ABSENT and atom.scalar is not None:
        return "scalar"
    if atom.map is not None:
        return "map"
    if atom.scalar is not None:
        return "scalar"
    if atom.list is not None:
        return "list"
    raise MergeError("schema error: invalid atom: inlined")


def _narrowed(atom: Atom, value: object) -> str:
    """The form a value pins the atom to, empty for null and for values that do not fit."""
    if isinstance(value, dict):
        return "map" if atom.map is not None else ""
    if isinstance(value, list):
        return "list" if atom.list is not None else ""
    return "scalar" if value is not None and atom.scalar is not None else ""


def _single(atom: Atom) -> bool:
    return (atom.map is not None) + (atom.scalar is not None) + (atom.list is not None) == 1


def _child(of_map: MapType, name: str) -> Atom:
    found = of_map.fields.get(name) or of_map.element
    if found is None:
        raise MergeError(f".{name}: field not declared in schema")
    return found


def same(a: object, b: object) -> bool:
    """Whether two JSON values are equal, where 1 equals 1.0 but not true."""
    if isinstance(a, dict):
        return isinstance(b, dict) and len(a) == len(b) and all(k in b and same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _equal(a: object, b: object, atom: Atom) -> bool:
    # Where the schema fixes the types, Python's own comparison in C is right and much faster.
    return a == b and (not atom.open or same(a, b))


def item_element(of_list: ListType, item: object) -> str:
    """Path element of an item of a keyed or set list. Raises MergeError for an item that has none."""
    if of_list.keys:
        if item is None:
            raise MergeError("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise MergeError("associative list with keys may not have non-map elements")
        keys: dict[str, Any] = {}
        for name in of_list.keys:
            if name in item:
                keys[name] = item[name]
            elif name in of_list.key_defaults:
                keys[name] = of_list.key_defaults[name]
        if not keys:
            names = " ".join(go_quote(name) for name in of_list.keys)
            raise MergeError(
                f"associative list with keys has an element that omits all key fields [{names}]"
                " (and doesn't have default values for any key fields)"
            )
        return key_element(keys)
    if isinstance(item, dict):
        raise MergeError("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise MergeError("not supported: associative list with lists as elements")
    if item is None:
        raise MergeError("associative list without keys has an element that's an explicit null")
    return value_element(item)


def _elements(of_list: ListType, items: Sequence[Any]) -> list[str]:
    return [item_element(of_list, item) for item in items]


# ---- to_set ----


def to_set(value: object, atom: Atom) -> FieldSet:
    """Every leaf and every list item of a value: what its author claims."""
    node, _ = _claims(value, atom)
    return node


def _claims(value: object, atom: Atom) -> tuple[dict[str, Any], bool]:
    """Members below a value, and whether its own path is one."""
    form = form_of(atom, value)
    if form == "scalar":
        return EMPTY, True
    out: dict[str, Any] = {}
    if form == "map":
        assert atom.map is not None
        if atom.map.atomic:
            return EMPTY, True
        for name, child in (value if isinstance(value, dict) else {}).items():
            below, own = _claims(child, _child(atom.map, name))
            # Declared struct fields are owned through what they hold; map entries and empty values for themselves.
            own = own or child is None or (not child and isinstance(child, dict)) or name not in atom.map.fields
            _put(out, f"f:{name}", below, own)
        return out, False
    assert atom.list is not None
    if atom.list.atomic:
        return EMPTY, True
    items = value if isinstance(value, list) else []
    elements = _elements(atom.list, items)
    for element, item in zip(elements, items, strict=True):
        if element in out:
            out[element] = MEMBER  # items that are there twice are owned as one
        else:
            below, _ = _claims(item, atom.list.element)
            _put(out, element, below, True)
    return out, False


def _put(out: dict[str, Any], element: str, below: dict[str, Any], own: bool) -> None:
    if own:
        out[element] = {_SELF: MEMBER, **below} if below else MEMBER
    elif below:
        out[element] = below


# ---- compare ----


def compare(old: object, new: object, atom: Atom) -> Comparison:
    """Paths added, modified and removed from `old` to `new`.

    What is there on one side only counts with every path above its leaves. Duplicates in lists are tolerated: items that
    are there twice count as one value.
    """
    added, modified, removed = _difference(old, new, atom)
    return Comparison(added or EMPTY, modified or EMPTY, removed or EMPTY)


def _difference(old: Any, new: Any, atom: Atom) -> tuple[_Node, _Node, _Node]:
    """Nodes of the three sets for a value that is there on both sides."""
    if _equal(old, new, atom):
        return None, None, None
    form = form_of(atom, new)
    if _single(atom) or _narrowed(atom, old) == _narrowed(atom, new):
        return _difference_as(form, old, new, atom)
    # The value changed its form: what it was is compared as that, what it is as this, each against nothing.
    first = _difference_as(form_of(atom, old), old, new, atom)
    second = _difference_as(form, old, new, atom)
    return _join(first[0], second[0]), _join(first[1], second[1]), _join(first[2], second[2])


def _join(a: _Node, b: _Node) -> _Node:
    if a is None or b is None:
        return b if a is None else a
    return fieldset.union_nodes(a, b)


def _difference_as(form: str, old: Any, new: Any, atom: Atom) -> tuple[_Node, _Node, _Node]:
    leaf = (None, None if _equal(old, new, atom) else MEMBER, None)
    if form == "scalar":
        return leaf
    if form == "map":
        assert atom.map is not None
        before = old if isinstance(old, dict) else {}
        after = new if isinstance(new, dict) else {}
        if atom.map.atomic or not (before or after):
            return leaf
        return _difference_of_maps(before, after, atom.map)
    assert atom.list is not None
    was = old if isinstance(old, list) else []
    now = new if isinstance(new, list) else []
    if atom.list.atomic or not (was or now):
        return leaf
    return _difference_of_lists(was, now, atom.list)


def _difference_of_maps(old: dict[str, Any], new: dict[str, Any], of_map: MapType) -> tuple[_Node, _Node, _Node]:
    added: dict[str, Any] = {}
    modified: dict[str, Any] = {}
    removed: dict[str, Any] = {}
    for name, after in new.items():
        before = old.get(name, _ABSENT)
        if before is after:
            continue
        child = _child(of_map, name)
        if before is _ABSENT:
            added[f"f:{name}"] = _whole(after, child)
            continue
        a, m, r = _difference(before, after, child)
        if a is not None:
            added[f"f:{name}"] = a
        if m is not None:
            modified[f"f:{name}"] = m
        if r is not None:
            removed[f"f:{name}"] = r
    for name, before in old.items():
        if name not in new:
            removed[f"f:{name}"] = _whole(before, _child(of_map, name))
    return added or None, modified or None, removed or None


def _grouped(of_list: ListType, items: list[Any]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for element, item in zip(_elements(of_list, items), items, strict=True):
        out.setdefault(element, []).append(item)
    return out


def _difference_of_lists(old: list[Any], new: list[Any], of_list: ListType) -> tuple[_Node, _Node, _Node]:
    added: dict[str, Any] = {}
    modified: dict[str, Any] = {}
    removed: dict[str, Any] = {}
    was, now = _grouped(of_list, old), _grouped(of_list, new)
    for element in was | now:
        before, after = was.get(element, []), now.get(element, [])
        if len(before) >= 2 and len(after) >= 2:
            if not same(before, after):
                modified[element] = MEMBER
        elif len(before) >= 2:
            if after:
                added[element] = _whole(after[0], of_list.element)
            removed[element] = MEMBER
        elif len(after) >= 2:
            if before:
                removed[element] = _whole(before[0], of_list.element)
            added[element] = MEMBER
        elif not before:
            added[element] = _whole(after[0], of_list.element)
        elif not after:
            removed[element] = _whole(before[0], of_list.element)
        else:
            a, m, r = _difference(before[0], after[0], of_list.element)
            if a is not None:
                added[element] = a
            if m is not None:
                modified[element] = m
            if r is not None:
                removed[element] = r
    return added or None, modified or None, removed or None


def _whole(value: Any, atom: Atom) -> dict[str, Any]:
    """The node of a value that is there on one side only: its path and every path below."""
    form = form_of(atom, value)
    out: dict[str, Any] = {}
    if form == "map":
        assert atom.map is not None
        if atom.map.atomic or not isinstance(value, dict):
            return MEMBER
        out = {f"f:{name}": _whole(child, _child(atom.map, name)) for name, child in value.items()}
    elif form == "list":
        assert atom.list is not None
        if atom.list.atomic or not isinstance(value, list):
            return MEMBER
        for element, items in _grouped(atom.list, value).items():
            out[element] = _whole(items[0], atom.list.element) if len(items) == 1 else MEMBER
    if out:
        out[_SELF] = MEMBER
        return out
    return MEMBER


# ---- merge ----


def merge(live: object, config: object, atom: Atom) -> Any:
    """`live` with what `config` says laid over it; nothing is removed.

    Items of keyed and set lists take the order of `config`, those it does not name stay where they were between them.
    Raises MergeError when `config` holds a list item twice.
    """
    form = form_of(atom, config)
    if form == "scalar" or config is live:
        return config
    if form == "map":
        assert atom.map is not None
        below = live if isinstance(live, dict) else {}
        over = config if isinstance(config, dict) else {}
        if atom.map.atomic or not (below or over):
            return config
        out = dict(below)
        for name, value in over.items():
            out[name] = merge(below[name], value, _child(atom.map, name)) if name in below else value
        return out
    assert atom.list is not None
    items = live if isinstance(live, list) else []
    wanted = config if isinstance(config, list) else []
    if atom.list.atomic or not (items or wanted):
        return config
    return _merge_lists(items, wanted, atom.list)


def _merge_lists(live: list[Any], config: list[Any], of_list: ListType) -> list[Any]:
    left, right = _elements(of_list, live), _elements(of_list, config)
    wanted = dict(zip(right, config, strict=True))
    if len(wanted) != len(right):
        twice = next(element for at, element in enumerate(right) if element in right[:at])
        raise MergeError(f"duplicate entries for key {fieldset.shown(twice)}")
    there: dict[str, Any] = {}
    for element, item in zip(left, live, strict=True):
        there[element] = None if element in there else item  # a duplicate is replaced, not merged
    shared = iter([element for element in right if element in there])
    turn = next(shared, None)
    out: list[Any] = []
    done: set[str] = set()
    i = j = 0

    def take(element: str) -> None:
        done.add(element)
        out.append(merge(there[element], wanted[element], of_list.element) if element in there else wanted[element])

    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            if left[i] == right[j]:
                take(left[i])
                turn = next(shared, None)
                i, j = i + 1, j + 1
                continue
            if left[i] in wanted and turn is not None and turn != left[i]:
                i += 1  # comes later in the applied order
                continue
        if i < len(left):
            if left[i] not in wanted:
                out.append(live[i])
                i += 1
                continue
            if left[i] in done:
                i += 1
        if j < len(right):
            take(right[j])
            if turn == right[j]:
                turn = next(shared, None)
            j += 1
    return out


# ---- remove and prune ----


def remove(value: object, paths: FieldSet, atom: Atom) -> Any:
    """`value` without the fields and items in `paths`.

    A container that loses its last entry becomes null: it must stay until ownership has been computed, the caller drops it
    with its other nulls.
    """
    return _remove(value, paths, atom) if paths else value


def _remove(value: Any, paths: FieldSet, atom: Atom) -> Any:
    form = form_of(atom, value)
    if form == "scalar":
        return value
    if form == "map":
        assert atom.map is not None
        if not isinstance(value, dict) or not value or atom.map.atomic:
            return None
        out: dict[str, Any] = {}
        for name, child in value.items():
            node = paths.get(f"f:{name}")
            if node is None:
                out[name] = child
            elif node and _SELF not in node:
                out[name] = _remove(child, node, _child(atom.map, name))
        return out or None
    assert atom.list is not None
    if not isinstance(value, list) or not value or atom.list.atomic:
        return None
    left: list[Any] = []
    for element, item in zip(_elements(atom.list, value), value, strict=True):
        node = paths.get(element)
        if node is None:
            left.append(item)
        elif node and _SELF not in node:
            left.append(_remove(item, node, atom.list.element))
    return left or None


def with_named_fields(fields: FieldSet, atom: Atom | None) -> FieldSet:
    """`fields` with the struct fields on the way to its members as members themselves."""
    of_map = None if atom is None else atom.map
    of_list = None if atom is None else atom.list
    out: dict[str, Any] = {}
    for element, node in fields.items():
        if not node:
            out[element] = MEMBER
            continue
        below: Atom | None = None
        own = False
        if element[0] == "f" and of_map is not None:
            declared = of_map.fields.get(element[2:])
            own = declared is not None
            below = declared or of_map.element
        elif element[0] == "k" and of_list is not None:
            below = of_list.element
        found = with_named_fields(node, below)
        out[element] = {_SELF: MEMBER, **found} if own and _SELF not in found else found
    return out


def prune(merged: object, last: FieldSet, owned: FieldSet, atom: Atom) -> Any:
    """`merged` without what its applier owned before (`last`) and nobody owns now (`owned`).

    Source: dev-cluster 6 item 4.
    """
    if not fieldset.difference(last, owned):
        return merged
    before = with_named_fields(last, atom)
    kept = with_named_fields(owned, atom)
    everything = with_named_fields(to_set(merged, atom), atom)
    pruned = remove(merged, before, atom)
    left = with_named_fields(to_set(pruned, atom), atom)
    pruned = remove(merged, fieldset.difference(everything, fieldset.union(left, kept)), atom)
    # What lay below a removed item and was never the applier's comes back with this last pass.
    left = with_named_fields(to_set(pruned, atom), atom)
    return remove(merged, fieldset.intersection(fieldset.difference(everything, left), before), atom)


def reconcile(fields: FieldSet, atom: Atom) -> FieldSet:
    """`fields` as they read under a type that has become atomic in places: the parts of a value give way to the whole."""
    return _reconcile(fields, atom, at_root=True)


def _reconcile(node: FieldSet, atom: Atom, *, at_root: bool = False) -> FieldSet:
    if not node:
        return node
    if atom.map is not None:
        if atom.map.untyped:
            return node
        if atom.map.atomic and not at_root:
            return MEMBER
    elif atom.scalar is not None or atom.list is None:
        return node
    elif atom.list.atomic:
        return MEMBER
    out: dict[str, Any] | None = None
    for element, below in node.items():
        if element == _SELF:
            continue
        if atom.map is not None:
            child = (atom.map.fields.get(element[2:]) if element[0] == "f" else None) or atom.map.element
        else:
            child = None if atom.list is None else atom.list.element
        if child is None:
            continue
        found = _reconcile(below, child)
        if found is not below:
            out = dict(node) if out is None else out
            out[element] = found
    return node if out is None else out
