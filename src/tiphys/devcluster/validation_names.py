"""Names, label keys and values, selectors and metadata: which are legal, and the sentence that says why one is not.

Functions named `check_*` append to a list of causes; the others give the problems of one text as sentences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery.apierrors import FieldCause, forbidden_value, invalid_value, not_supported, required

Causes = list[FieldCause]
NameRule = Callable[[str], list[str]]

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME: Final = re.compile(r"[-a-z0-9]+")
_PERCENT: Final = re.compile(r"[0-9]+%")

LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
WILDCARD_RULE: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower "
    "case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used "
    "for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_QUALIFIED_CHARACTERS: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_CONFIG_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
PERCENT_RULE: Final = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
ENVIRONMENT_RULE: Final = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)
IMMUTABLE: Final = "field is immutable"
NOT_NEGATIVE: Final = "must be greater than or equal to 0"


def dns_label(text: str) -> list[str]:
    """Problems of a DNS label (RFC 1123): at most 63 characters, no dots."""
    problems = ["must be no more than 63 characters"] if len(text) > 63 else []
    if not _LABEL.fullmatch(text):
        problems.append("must not contain dots" if _SUBDOMAIN.fullmatch(text) else LABEL_RULE)
    return problems


def dns_subdomain(text: str) -> list[str]:
    """Problems of a DNS subdomain (RFC 1123): labels joined by dots, at most 253 characters."""
    problems = ["must be no more than 253 characters"] if len(text) > 253 else []
    if not _SUBDOMAIN.fullmatch(text):
        problems.append(SUBDOMAIN_RULE)
    return problems


def wildcard_subdomain(text: str) -> list[str]:
    """Problems of `*.` and a DNS subdomain."""
    good = text.startswith("*.") and _SUBDOMAIN.fullmatch(text[2:])
    return [] if good and len(text) <= 253 else [WILDCARD_RULE]


def path_segment(text: str) -> list[str]:
    """Problems of a name that need only be one segment of a URL path, as those of roles."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{one}'" for one in "/%" if one in text]


def qualified_name(text: str) -> list[str]:
    """Problems of a label or annotation key: `name` or `prefix/name`."""
    parts = text.split("/")
    if len(parts) > 2:
        kind = f"a valid label key {_QUALIFIED_CHARACTERS}"
        return [f"{kind} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    problems = []
    name = parts[-1]
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        else:
            problems += [f"prefix part {one}" for one in dns_subdomain(parts[0])]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _QUALIFIED.fullmatch(name):
        problems.append(f"name part {_QUALIFIED_CHARACTERS}")
    return problems


def label_value(text: str) -> list[str]:
    """Problems of a label's value."""
    problems = ["must be no more than 63 bytes"] if len(text.encode()) > 63 else []
    if text and not _QUALIFIED.fullmatch(text):
        problems.append(_LABEL_VALUE_RULE)
    return problems


def config_key(text: str) -> list[str]:
    """Problems of a key in a ConfigMap or Secret."""
    problems = ["must be no more than 253 characters"] if len(text) > 253 else []
    if not _CONFIG_KEY.fullmatch(text):
        problems.append(_CONFIG_KEY_RULE)
    if text in (".", ".."):
        problems.append(f"must not be '{text}'")
    elif text.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def port_name(text: str) -> list[str]:
    """Problems of an IANA service name, by which ports are called."""
    problems = ["must be no more than 15 characters"] if len(text) > 15 else []
    if not _PORT_NAME.fullmatch(text):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        problems.append("must contain at least one letter (a-z)")
    if "--" in text:
        problems.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(port: int) -> list[str]:
    """Problems of a port."""
    return [] if 1 <= port <= 65535 else ["must be between 1 and 65535, inclusive"]


def port_name_or_number(port: int | str) -> list[str]:
    """Problems of a port that may be called by name."""
    return port_name(port) if isinstance(port, str) else port_number(port)


def environment_name(text: str) -> list[str]:
    """Problems of an environment variable's name."""
    good = bool(text) and all(" " <= char <= "~" and char != "=" for char in text)
    return [] if good else [ENVIRONMENT_RULE]


def invalid_struct(field: str, value: Any, detail: str) -> FieldCause:
    """A value that breaks a rule and is shown with its members in the order given, as Go shows a struct's."""
    shown = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return FieldCause("FieldValueInvalid", f"Invalid value: {shown}{f': {detail}' if detail else ''}", field)


def unsupported_struct(field: str, value: Any, supported: Sequence[str]) -> FieldCause:
    """A struct outside an enumeration, shown as by `invalid_struct`."""
    shown = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    choices = ", ".join(json.dumps(one) for one in supported)
    return FieldCause("FieldValueNotSupported", f"Unsupported value: {shown}: supported values: {choices}", field)


def shown_selector(selector: Mapping[str, Any]) -> dict[str, Any]:
    """A label selector with its members in the order of the Go struct."""
    shown: dict[str, Any] = {}
    if selector.get("matchLabels"):
        shown["matchLabels"] = dict(sorted(selector["matchLabels"].items()))
    if selector.get("matchExpressions"):
        shown["matchExpressions"] = [
            {part: one[part] for part in ("key", "operator", "values") if part in one}
            for one in selector["matchExpressions"]
        ]
    return shown


_LABEL_1035: Final = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end"
    " with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is"
    " '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


def dns_1035_label(value: str) -> list[str]:
    """A label that begins with a letter, of at most 63 bytes."""
    problems = [] if _LABEL_1035.fullmatch(value) else [_LABEL_1035_RULE]
    return problems if len(value.encode()) <= 63 else ["must be no more than 63 bytes", *problems]


def check(causes: Causes, field: str, value: Any, problems: Sequence[str]) -> None:
    """Add each problem of a value."""
    causes += [invalid_value(field, value, problem) for problem in problems]


def check_choice(causes: Causes, field: str, value: str | None, allowed: Sequence[str]) -> None:
    """A value that is absent or one of an enumeration."""
    if value is not None and value not in allowed:
        causes.append(not_supported(field, value, allowed))


def check_same(causes: Causes, field: str, value: object, before: object) -> None:
    """A value that may not change."""
    if value != before:
        causes.append(invalid_value(field, value, IMMUTABLE))


def check_not_negative(causes: Causes, field: str, value: int | None) -> None:
    """A number may be absent or zero, but not below."""
    if value is not None and value < 0:
        causes.append(invalid_value(field, value, NOT_NEGATIVE))


def check_count_or_percent(causes: Causes, field: str, value: int | str | None) -> bool:
    """A number of at least 0, or a percentage. Returns whether it is one."""
    if isinstance(value, str):
        if _PERCENT.fullmatch(value):
            return True
        causes.append(invalid_value(field, value, PERCENT_RULE))
        return False
    check_not_negative(causes, field, value)
    return value is None or value >= 0


def check_labels(causes: Causes, labels: Mapping[str, str] | None, field: str) -> None:
    """Keys and values of labels."""
    for key, value in (labels or {}).items():
        check(causes, field, key, qualified_name(key))
        check(causes, field, value, label_value(value))


def check_annotations(causes: Causes, annotations: Mapping[str, str] | None, field: str) -> None:
    """Keys of annotations, whose prefix may have capitals, and their size together."""
    total = 0
    for key, value in (annotations or {}).items():
        check(causes, field, key, qualified_name(key.lower()))
        total += len(key.encode()) + len(value.encode())
    if total > 256 * 1024:
        causes.append(FieldCause("FieldValueTooLong", "Too long: may not be more than 262144 bytes", field))


def check_selector(causes: Causes, selector: Mapping[str, Any] | None, field: str) -> bool:
    """A label selector. Returns whether it is sound."""
    before = len(causes)
    if selector is None:
        return True
    check_labels(causes, selector.get("matchLabels"), f"{field}.matchLabels")
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        path = f"{field}.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), one.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be specified when `operator` is 'In' or 'NotIn'"
                causes.append(required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                causes.append(forbidden_value(f"{path}.values", detail))
        else:
            causes.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
        check(causes, f"{path}.key", one.get("key", ""), qualified_name(one.get("key", "")))
        for number, value in enumerate(values):
            check(causes, f"{path}.values[{number}]", value, label_value(value))
    return len(causes) == before


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; none matches nothing, an empty one everything."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for one in selector.get("matchExpressions") or ():
        key, operator, values = one.get("key", ""), one.get("operator", ""), one.get("values") or []
        if operator == "In" and labels.get(key) not in values:
            return False
        if operator == "NotIn" and key in labels and labels[key] in values:
            return False
        if operator == "Exists" and key not in labels:
            return False
        if operator == "DoesNotExist" and key in labels:
            return False
    return True


def check_metadata(
    causes: Causes, metadata: Mapping[str, Any], name_rule: NameRule, field: str = "metadata", *, built_in: bool = True
) -> None:
    """Name, labels, annotations, owners and finalizers of an object.

    A custom resource's finalizer needs no domain; the server only warns of one without.

    Source: apimachinery pkg/api/validation ValidateObjectMeta.
    """
    name, prefix = metadata.get("name", ""), metadata.get("generateName", "")
    if prefix and not name:
        # What is generated ends in letters, so a prefix may end in what a name may not.
        problems = name_rule(prefix[:-1] + "a" if prefix.endswith(("-", ".")) else prefix)
        check(causes, f"{field}.generateName", prefix, problems)
    elif not name:
        causes.append(required(f"{field}.name", "name or generateName is required"))
    else:
        if prefix:
            problems = name_rule(prefix[:-1] + "a" if prefix.endswith(("-", ".")) else prefix)
            check(causes, f"{field}.generateName", prefix, problems)
        check(causes, f"{field}.name", name, name_rule(name))
    check_labels(causes, metadata.get("labels"), f"{field}.labels")
    check_annotations(causes, metadata.get("annotations"), f"{field}.annotations")
    _check_owners(causes, metadata.get("ownerReferences") or [], f"{field}.ownerReferences")
    _check_finalizers(causes, metadata.get("finalizers") or [], f"{field}.finalizers", built_in=built_in)


_OWNER_ORDER: Final = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")


def _check_owners(causes: Causes, owners: Sequence[Mapping[str, Any]], field: str) -> None:
    controller = ""
    for owner in owners:
        for part in ("kind", "name", "uid"):
            if not owner.get(part):
                causes.append(invalid_value(f"{field}.{part}", "", "must not be empty"))
        version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
        if not version or version.count("/") > 1:
            causes.append(invalid_value(f"{field}.apiVersion", version, "version must not be empty"))
        if (version, kind) == ("v1", "Event"):
            shown = {part: owner[part] for part in _OWNER_ORDER if part in owner}
            causes.append(invalid_struct(field, shown, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            this = f"{kind}/{owner.get('name', '')}"
            if controller:
                detail = (
                    f'Only one reference can have Controller set to true. Found "true" in references for {controller}'
                )
                both = [{part: one[part] for part in _OWNER_ORDER if part in one} for one in owners]
                causes.append(invalid_struct(field, both, f"{detail} and {this}"))
            controller = this


def _check_finalizers(causes: Causes, finalizers: Sequence[str], field: str, *, built_in: bool) -> None:
    for index, name in enumerate(finalizers):
        problems = qualified_name(name)
        check(causes, field, name, problems)
        if built_in and "/" not in name and name not in ("orphan", "foregroundDeletion", "kubernetes"):
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid_value(f"{field}[{index}]", name, detail))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid_value(field, list(finalizers), detail))
