"""YAML edited as text: a scalar is replaced where it stands, everything else stays byte for byte.

Parsed only to find places; what comes out is to be parsed again by the caller, and compared with what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import yaml

from tiphys.apimachinery.yamljson import dump_yaml

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # anchor and tag before a value
_LIKE_A_NUMBER = re.compile(
    r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?0[xXoObB][0-9a-fA-F]+|[-+]?[0-9]+(?::[0-9.]+)+"
)
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"])


class EditError(ValueError):
    """A file cannot be edited as asked; the message is for the user."""


class YamlText:
    """One file's text, its documents, and edits to it that are made together by `edited`.

    Source: a byte order mark and either kind of line end are kept.
    """

    def __init__(self, text: str) -> None:
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        self.text = text[len(self._mark) :]
        self.newline = "\r\n" if "\r\n" in self.text else "\n"
        self._edits: dict[tuple[int, int], str] = {}
        try:
            documents = list(yaml.compose_all(self.text, Loader=yaml.CSafeLoader))
        except yaml.YAMLError as error:
            raise EditError(" ".join(str(error).split())) from None
        self.documents: list[yaml.Node] = [document for document in documents if document is not None]

    def edited(self) -> str:
        """The text with all edits made."""
        text = self.text
        for (start, end), replacement in sorted(self._edits.items(), reverse=True):
            text = text[:start] + replacement + text[end:]
        return self._mark + text

    def replace_scalar(self, node: yaml.ScalarNode, value: str) -> None:
        """Write another value in the style of the one that is there; one that needs quotes gets them."""
        start, end = node.start_mark.index, node.end_mark.index
        present = self.text[start:end]
        if node.style in ("|", ">") or "\n" in present:
            raise EditError(f"line {line_of(node)}: a value over several lines cannot be edited in place")
        properties = _PROPERTIES.match(present)
        start += properties.end() if properties else 0
        written = scalar(value, node.style or "")
        if start == end and self.text[start - 1 : start] == ":":
            written = f" {written}"
        self._edits[start, end] = written

    def add_key(self, mapping: yaml.MappingNode, after: str, key: str, value: str) -> None:
        """Add `key` to a mapping, behind its key `after`, whose value is a scalar on one line."""
        beside_key, beside = next((k, v) for k, v in mapping.value if k.value == after)
        if mapping.flow_style:
            quoted = beside_key.style == '"'
            written = scalar(value, '"' if quoted else "")
            self._insert(beside.end_mark.index, f", {_flow_key(key, quoted)}: {written}")
            return
        if not isinstance(beside, yaml.ScalarNode) or beside.style in ("|", ">"):
            raise EditError(f"line {line_of(beside)}: a key cannot be added behind this value")
        indent = " " * beside_key.start_mark.column
        self._insert(self._line_end(beside.end_mark.index), f"{self.newline}{indent}{key}: {scalar(value)}")

    def remove_key(self, mapping: yaml.MappingNode, key: str) -> None:
        """Take a key with a scalar on one line out of a mapping that has others."""
        index = next(index for index, (k, _) in enumerate(mapping.value) if k.value == key)
        key_node, value_node = mapping.value[index]
        start, end = key_node.start_mark.index, value_node.end_mark.index
        line_start = self.text.rfind("\n", 0, start) + 1
        if not mapping.flow_style and not self.text[line_start:start].strip():
            end = self._line_end(end)
            end += len(self.newline) if self.text.startswith(self.newline, end) else 0
            self._edits[line_start, end] = ""
        elif index and mapping.flow_style:
            self._edits[mapping.value[index - 1][1].end_mark.index, end] = ""
        elif index + 1 < len(mapping.value):
            self._edits[start, mapping.value[index + 1][0].start_mark.index] = ""
        else:
            raise EditError(f"line {line_of(key_node)}: this key cannot be taken out in place")

    def append_item(self, sequence: yaml.SequenceNode, item: Sequence[tuple[str, str]]) -> None:
        """Append a mapping of scalars to a sequence."""
        if sequence.flow_style:
            quoted = self.text.lstrip()[:1] == "{"
            written = flow_mapping(item, quoted=quoted)
            if sequence.value:
                self._insert(sequence.value[-1].end_mark.index, f", {written}")
            else:
                self._edits[sequence.start_mark.index, sequence.end_mark.index] = f"[{written}]"
            return
        last = max(leaves(sequence), key=lambda node: node.end_mark.index)
        if not isinstance(last, yaml.ScalarNode) or last.style in ("|", ">"):
            raise EditError(f"line {line_of(last)}: an item cannot be added behind this value")
        text = block_item(item, " " * sequence.start_mark.column, self.newline)
        self._insert(self._line_end(last.end_mark.index), self.newline + text.removesuffix(self.newline))

    def append_to_document(self, key: str, items: Sequence[Sequence[tuple[str, str]]]) -> None:
        """Add a top-level key whose value is a sequence of mappings."""
        root = self.documents[0] if self.documents else None
        if root is not None and not isinstance(root, yaml.MappingNode):
            raise EditError("the document is not an object")
        if root is not None and root.flow_style:
            if not root.value:
                raise EditError("an empty object cannot be edited in place")
            quoted = root.value[0][0].style == '"'
            listed = ", ".join(flow_mapping(item, quoted=quoted) for item in items)
            written = f"{_flow_key(key, quoted)}: [{listed}]"
            self._insert(root.value[-1][1].end_mark.index, f", {written}")
            return
        self._append_text(f"{key}:{self.newline}" + "".join(block_item(item, "", self.newline) for item in items))

    def append_scalar(self, keys: Sequence[str], value: str) -> None:
        """Add nested top-level keys that lead to a scalar."""
        text = ""
        for depth, key in enumerate(keys):
            last = depth == len(keys) - 1
            text += f"{'  ' * depth}{key}:{f' {scalar(value)}' if last else ''}{self.newline}"
        self._append_text(text)

    def _append_text(self, text: str) -> None:
        if len(self.documents) > 1 or re.search(r"^\.\.\.", self.text, re.MULTILINE):
            raise EditError("a text of several documents cannot be appended to")
        end = len(self.text.rstrip())
        tail = self.text[end:]
        before = self.newline if end else ""
        if tail:
            self._edits[end, end] = before + text.removesuffix(self.newline)
        else:
            self._edits[end, end] = before + text

    def _insert(self, at: int, text: str) -> None:
        self._edits[at, at] = self._edits.get((at, at), "") + text

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        return end - 1 if self.text[end - 1 : end] == "\r" else end


def line_of(node: yaml.Node) -> int:
    """Line of a node, from 1."""
    line: int = node.start_mark.line
    return line + 1


def child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key of a mapping, None without; of two equal keys the later."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((v for k, v in reversed(node.value) if isinstance(k, yaml.ScalarNode) and k.value == key), None)


def text_of(node: yaml.Node | None) -> str:
    """The text of a scalar, empty for anything else and for null."""
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        return ""
    return str(node.value)


def is_text(node: yaml.Node | None) -> bool:
    """Would YAML's readers take this scalar for text, and not for a number, a boolean or null?"""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str"


def leaves(node: yaml.Node) -> Iterator[yaml.Node]:
    """Scalars and empty collections below a node; what an alias repeats is met once."""
    seen: set[int] = set()
    pending = [node]
    while pending:
        here = pending.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, yaml.MappingNode) and here.value:
            pending += [part for pair in here.value for part in pair]
        elif isinstance(here, yaml.SequenceNode) and here.value:
            pending += here.value
        else:
            yield here


def scalar(value: str, style: str = "") -> str:
    """A text as a YAML scalar in a style: `"`, `'` or plain, the last with quotes where any reader needs them."""
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    plain = dump_yaml(value).removesuffix("\n")
    special = value.lower() in _WORDS or _LIKE_A_NUMBER.fullmatch(value.replace("_", ""))
    if style == '"' or plain != value or special:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return value


def flow_mapping(item: Sequence[tuple[str, str]], *, quoted: bool) -> str:
    """`{name: x, newTag: "1.0"}`, or the same as JSON."""
    style = '"' if quoted else ""
    return "{" + ", ".join(f"{_flow_key(k, quoted)}: {scalar(v, style)}" for k, v in item) + "}"


def block_item(item: Sequence[tuple[str, str]], indent: str, newline: str) -> str:
    """`- name: x` and the lines below it."""
    lines = [f"{indent}{'  ' if index else '- '}{key}: {scalar(value)}" for index, (key, value) in enumerate(item)]
    return newline.join(lines) + newline


def _flow_key(key: str, quoted: bool) -> str:
    return f'"{key}"' if quoted else key
