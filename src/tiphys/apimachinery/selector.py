"""Label and field selectors.

A selector is parsed once into requirements and then asked about many objects. Texts come from clients (`-l`, query
parameters) and from objects (`spec.selector`), so errors use Kubernetes' words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tiphys.apimachinery.apierrors import go_quote


class SelectorError(ValueError):
    """A selector that cannot be read; the message is Kubernetes'."""


_MATCH: Final = frozenset(("in", "=", "=="))
_REFUSE: Final = frozenset(("notin", "!="))
_INT64: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator` is `in`, `notin`, `=`, `==`, `!=`, `exists`, `!`, `gt` or `lt`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()  # sorted, without repetitions

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition. An absent label meets `notin` and `!=`."""
        operator = self.operator
        value = labels.get(self.key)
        if operator in _MATCH:
            return value is not None and value in self.values
        if operator in _REFUSE:
            return value is None or value not in self.values
        if operator == "exists":
            return value is not None
        if operator == "!":
            return value is None
        number, bound = _int64(value), _int64(self.values[0])
        if number is None or bound is None:
            return False
        return number > bound if operator == "gt" else number < bound

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of some requirements, sorted by key. Without any it matches everything, unless it is `NOTHING`."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def everything(self) -> bool:
        """Whether no object can be refused."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected; None stands for no labels."""
        if self.nothing:
            return False
        found = labels or {}
        return all(one.matches(found) for one in self.requirements)

    def __str__(self) -> str:
        """The selector in the string grammar; `NOTHING` and everything are both empty."""
        return ",".join(str(one) for one in self.requirements)


EVERYTHING: Final = LabelSelector()
NOTHING: Final = LabelSelector(nothing=True)


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One field that must equal, or must not equal, a value."""

    field: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All of some field terms."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these fields is selected; an absent field counts as empty."""
        return all((fields.get(term.field, "") == term.value) is not term.negated for term in self.terms)

    def exact(self, field: str) -> str | None:
        """The only value `field` may have, None when it is not fixed."""
        for term in self.terms:
            if term.field == field and not term.negated:
                return term.value
        return None

    def __str__(self) -> str:
        return ",".join(f"{t.field}{'!=' if t.negated else '='}{_escape(t.value)}" for t in self.terms)


def _int64(text: str | None) -> int | None:
    if text is None or not _INT64.fullmatch(text):
        return None
    number = int(text) if len(text) <= 20 else 2**63
    return number if -(2**63) <= number < 2**63 else None


# ---- label selectors as text ----

_TOKEN: Final = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),><])|([^=!(),>< \t\r\n]+)|$)")
_BINARY_OPERATORS: Final = {"in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}


def parse_labels(text: str) -> LabelSelector:
    """The selector a `-l` text says: `a=b,c!=d,e in (x,y),!f,g`. Empty text selects everything. Raises SelectorError.

    Source: apimachinery pkg/labels/selector.go.
    """
    if not text:
        return EVERYTHING
    return LabelSelector(tuple(sorted(_Parser(text).parse(), key=lambda one: one.key)))


class _Parser:
    """One pass over the tokens; a token is (text, is it a symbol), the end is ('', True)."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, bool]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.end() == at:
                break
            at = match.end()
            symbol, word = match.groups()
            if symbol or word:
                self._tokens.append((symbol or word, bool(symbol)))
        self._tokens.append(("", True))
        self._at = 0

    def _peek(self) -> tuple[str, bool]:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _take(self) -> tuple[str, bool]:
        token = self._peek()
        self._at += 1
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            text, symbol = self._peek()
            if not text:
                return found
            if symbol and text != "!":
                raise SelectorError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            text, _ = self._take()
            if not text:
                return found
            if text != ",":
                raise SelectorError(f"found '{text}', expected: ',' or 'end of string'")
            text, symbol = self._peek()
            if symbol and text != "!":
                raise SelectorError(f"found '{text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        key, symbol = self._take()
        absent = symbol and key == "!"
        if absent:
            key, symbol = self._take()
        if symbol:
            raise SelectorError(f"found '{key}', expected: identifier")
        problems = label_key_problems(key)
        if problems:
            raise SelectorError(f"<nil>: Invalid value: {go_quote(key)}: {'; '.join(problems)}")
        if absent or self._peek()[0] in ("", ","):
            return build_requirement(key, "!" if absent else "exists", ())
        text, _ = self._take()
        operator = _BINARY_OPERATORS.get(text)
        if operator is None:
            raise SelectorError(f"found '{text}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if operator in ("in", "notin") else {self._exact()}
        return build_requirement(key, operator, sorted(values))

    def _exact(self) -> str:
        if self._peek()[0] in ("", ","):
            return ""
        text, symbol = self._take()
        if symbol:
            raise SelectorError(f"found '{text}', expected: identifier")
        return text

    def _values(self) -> set[str]:
        text, _ = self._take()
        if text != "(":
            raise SelectorError(f"found '{text}' expected: '('")
        text, symbol = self._peek()
        if text == ")":
            self._take()
            return {""}
        if symbol and text != ",":
            raise SelectorError(f"found '{text}', expected: ',', ')' or identifier")
        found: set[str] = set()
        while True:
            text, symbol = self._take()
            following = self._peek()[0]
            if not symbol:
                found.add(text)
                if following == ")":
                    break
                if following != ",":
                    raise SelectorError(f"found '{following}', expected: ',' or ')'")
            elif text == ",":
                # A comma without a name before or after it stands for the empty value.
                if not found or following in (",", ")"):
                    found.add("")
                if following == ")":
                    break
            else:
                raise SelectorError(f"found '{text}', expected: ',', or identifier")
        self._take()
        return found


# ---- label selectors as objects ----

_EXPRESSION_OPERATORS: Final = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def parse_label_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """The selector a LabelSelector object says (`matchLabels`, `matchExpressions`).

    None selects nothing, an empty object everything. Raises SelectorError.

    Source: apimachinery pkg/apis/meta/v1/helpers.go LabelSelectorAsSelector.
    """
    if selector is None:
        return NOTHING
    found = [build_requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        said = expression.get("operator", "")
        operator = _EXPRESSION_OPERATORS.get(said)
        if operator is None:
            raise SelectorError(f"{go_quote(str(said))} is not a valid label selector operator")
        found.append(build_requirement(expression.get("key", ""), operator, expression.get("values") or ()))
    return LabelSelector(tuple(sorted(found, key=lambda one: one.key)))


def selector_of_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector of a plain label map (a Service's or ReplicationController's); without labels, everything."""
    return LabelSelector(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))


def build_requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """A checked requirement. Raises SelectorError with all that is wrong with it."""
    problems = []
    wrong_key = label_key_problems(key)
    if wrong_key:
        problems.append(f"key: Invalid value: {go_quote(key)}: {'; '.join(wrong_key)}")
    said = "[" + ",".join(go_quote(value) for value in values) + "]"
    if operator in ("in", "notin") and not values:
        problems.append(f"values: Invalid value: {said}: for 'in', 'notin' operators, values set can't be empty")
    elif operator in ("exists", "!") and values:
        problems.append(f"values: Invalid value: {said}: values set must be empty for exists and does not exist")
    elif operator in ("gt", "lt"):
        problems += [
            f"values[{index}]: Invalid value: {go_quote(value)}: for 'Gt', 'Lt' operators, the value must be an integer"
            for index, value in enumerate(values)
            if _int64(value) is None
        ]
    for index, value in enumerate(values):
        wrong = label_value_problems(value)
        if wrong:
            problems.append(f"values[{index}][{key}]: Invalid value: {go_quote(value)}: {'; '.join(wrong)}")
    if problems:
        raise SelectorError(problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]")
    return Requirement(key, operator, tuple(sorted(set(values))))


# ---- label syntax ----

_NAME: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_NAME_PATTERN: Final = re.compile(_NAME, re.ASCII)
_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = _LABEL + r"(\." + _LABEL + ")*"
_SUBDOMAIN_PATTERN: Final = re.compile(_SUBDOMAIN, re.ASCII)
_ENDS: Final = "and must start and end with an alphanumeric character"
_NAME_PROBLEM: Final = (
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS} "
    f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
)
_VALUE_PROBLEM: Final = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS} "
    f"(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_NAME})?')"
)
_PREFIX_PROBLEM: Final = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS} "
    f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)


def label_key_problems(key: str) -> list[str]:
    """What is wrong with a label key (also an annotation key or qualified name), in Kubernetes' words.

    Source: apimachinery pkg/api/validate/content/kube.go.
    """
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {_NAME_PROBLEM} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            if len(prefix.encode()) > 253:
                problems.append("prefix part must be no more than 253 bytes")
            if not _SUBDOMAIN_PATTERN.fullmatch(prefix):
                problems.append(f"prefix part {_PREFIX_PROBLEM}")
    if not name:
        problems.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _NAME_PATTERN.fullmatch(name):
        problems.append(f"name part {_NAME_PROBLEM}")
    return problems


def label_value_problems(value: str) -> list[str]:
    """What is wrong with a label value, in Kubernetes' words."""
    problems = []
    if len(value.encode()) > 63:
        problems.append("must be no more than 63 bytes")
    if value and not _NAME_PATTERN.fullmatch(value):
        problems.append(_VALUE_PROBLEM)
    return problems


# ---- field selectors ----


def parse_fields(text: str) -> FieldSelector:
    r"""The selector a field-selector text says: `metadata.name=x,status.phase!=Running`. Raises SelectorError.

    `\`, `,` and `=` in values are escaped by `\`. Terms are sorted as upstream sorts them.

    Source: apimachinery pkg/fields/selector.go.
    """
    terms = []
    for part in sorted(_split_terms(text)):
        if not part:
            continue
        match = re.search(r"!=|==|=", part)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        field, value = part[: match.start()], _unescape(part[match.end() :])
        if field or value:
            terms.append(FieldTerm(field, value, match.group() == "!="))
    return FieldSelector(tuple(terms))


def _split_terms(text: str) -> list[str]:
    parts = [""]
    escaped = False
    for char in text:
        if char == "," and not escaped:
            parts.append("")
        else:
            parts[-1] += char
        escaped = char == "\\" and not escaped
    return parts


def _unescape(text: str) -> str:
    out = []
    escaped = False
    for char in text:
        if escaped:
            if char not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
            out.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
