"""validate: whether an applied object fits its merge type, in the words of the API server.

Source: structured-merge-diff v6 typed/validate.go.
Differs: upstream goes through maps in random order and stops at the first field that is not declared; here all problems
are told, in the order of the object.
"""

from __future__ import annotations

from typing import Any

from tiphys.apimachinery import fieldset
from tiphys.apimachinery.apierrors import go_quote
from tiphys.apimachinery.mergeschema import Atom
from tiphys.apimachinery.structuredmerge import MergeError, form_of, item_element


def validate(value: object, atom: Atom) -> None:
    """Raise MergeError, with all problems, for an applied object that does not fit its type."""
    errors: list[str] = []
    _validate(value, atom, "", errors)
    if errors:
        raise MergeError(errors[0] if len(errors) == 1 else "errors:\n" + "\n".join(f"  {one}" for one in errors))


def _validate(value: Any, atom: Atom, path: str, errors: list[str]) -> None:
    form = form_of(atom, value)
    prefix = f"{path}: " if path else ""
    if value is None:
        return
    if form == "scalar":
        if problem := _scalar_problem(str(atom.scalar), value):
            errors.append(prefix + problem)
        return
    if form == "map":
        assert atom.map is not None
        if not isinstance(value, dict):
            errors.append(f"{prefix}expected map, got &{{{_go_text(value)}}}")
            return
        for name, child in value.items():
            declared = atom.map.fields.get(name) or atom.map.element
            if declared is None:
                errors.append(f"{path}.{name}: field not declared in schema")
                continue
            _validate(child, declared, f"{path}.{name}", errors)
        return
    assert atom.list is not None
    if not isinstance(value, list):
        errors.append(f"{prefix}expected list, got &{{{_go_text(value)}}}")
        return
    seen: set[str] = set()
    for at, item in enumerate(value):
        element = f"i:{at}"
        if not atom.list.atomic:
            try:
                element = item_element(atom.list, item)
            except MergeError as exc:
                errors.append(f"{prefix}element {at}: {exc}")
                return
            if element in seen:
                errors.append(f"{prefix}duplicate entries for key {fieldset.shown(element)}")
            seen.add(element)
        _validate(item, atom.list.element, path + fieldset.shown(element), errors)


def _scalar_problem(scalar: str, value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if scalar == "numeric" and not number:
        return f"expected numeric (int or float), got {_go_type(value)}"
    if scalar == "string" and not isinstance(value, str):
        return f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
    if scalar == "boolean" and not isinstance(value, bool):
        return f"expected boolean, got &{{{_go_text(value)}}}"
    if scalar == "untyped" and not (number or isinstance(value, str | bool)):
        return f"expected any scalar, got &{{{_go_text(value)}}}"
    return ""


def _go_type(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    return "string" if isinstance(value, str) else "float64" if isinstance(value, float) else "int64"


def _go_text(value: object) -> str:
    """A value as Go's %v prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go_text, value)) + "]"
    return str(value)


def _go_syntax(value: object) -> str:
    """A value as Go's %#v prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, dict):
        inner = ", ".join(f"{go_quote(key)}:{_go_syntax(value[key])}" for key in sorted(value))
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(map(_go_syntax, value)) + "}"
    return go_quote(value) if isinstance(value, str) else str(value)
