"""Manifest files -> objects. Runs in the worker: this is where tenants' YAML is parsed, and nowhere else.

Imports little, because it is part of what a worker waits for when it starts.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

import orjson

from tiphys.apimachinery.yamljson import YamlError, canonical_json, digest, load_all, load_one
from tiphys.engine.render.protocol import JSON_FORM, MAX_OBJECTS, TOOL_FORM, VALUE_FORM

SKIP_MARKER = b"+argocd:skip-file-rendering"

# group, version, kind, namespace, name, sha256, canonical JSON
ObjectRow = tuple[str, str, str, str, str, str, bytes]

# A separator stands at the start of a line and may be followed by a comment, nothing else.
_SEPARATOR = re.compile(rb"^---[ \t\r\f\v]*(?:#[^\n]*)?$", re.MULTILINE)
_CONTENT = re.compile(rb"^[ \t]*[^\s#]", re.MULTILINE)
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class ManifestError(Exception):
    """A file that should be manifests and is not. `line` counts from 1, 0 when it is not known."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line


def parse_manifests(data: bytes, form: str, *, max_objects: int = MAX_OBJECTS) -> list[ObjectRow]:
    """Objects of one file, Lists expanded, in the order they are written.

    Empty for a file with the skip marker, and for YAML that does not parse as objects and does not look like a
    manifest either (no `apiVersion:`, `kind:` and `metadata:` in it); the output of a tool is never passed over. A value
    gives one row without names. Raises ManifestError.

    Source: compat 1.3.
    Differs: an object without apiVersion or name is an error here, because it can only fail later, without the line.
    """
    if form == VALUE_FORM:
        return [_value(data)]
    if form != TOOL_FORM and SKIP_MARKER in data:
        return []
    data = _as_utf8(data)
    if form == JSON_FORM:
        documents = _json_document(data)
    else:
        documents = _yaml_documents(data, max_objects, strict=form == TOOL_FORM)
    rows: list[ObjectRow] = []
    for line, document in documents:
        for obj in _expanded(document, line):
            if len(rows) >= max_objects:
                raise ManifestError(f"more than {max_objects} objects (limit of objects in one file)", line)
            rows.append(_row(obj, line))
    return rows


def object_rows(objects: Iterable[dict[str, object]]) -> list[ObjectRow]:
    """Rows of objects that were made here and not read. Raises ManifestError."""
    return [_row(obj, 0) for obj in objects]


def _as_utf8(data: bytes) -> bytes:
    if data.startswith(codecs.BOM_UTF8):
        return data[3:]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16").encode()
        except UnicodeError:
            raise ManifestError("the file begins like UTF-16 but is not valid UTF-16", 1) from None
    return data


def _value(data: bytes) -> ObjectRow:
    try:
        content = canonical_json(load_one(data))
    except YamlError as error:
        raise ManifestError(error.problem, error.line or 0) from None
    return "", "", "", "", "", digest(content), content


def _yaml_documents(data: bytes, max_documents: int, *, strict: bool) -> list[tuple[int, dict[str, object]]]:
    found: list[tuple[int, dict[str, object]]] = []
    chunks = _chunks(data, max_documents)
    try:
        for line, chunk in chunks:
            try:
                values = load_all(chunk)
            except YamlError as error:
                raise ManifestError(error.problem, line + (error.line or 1) - 1) from None
            for value in values:
                start = _first_line(chunk, line)
                if not isinstance(value, dict):
                    raise ManifestError(f"the document is a {_word(value)}, not an object", start)
                _check_kind(value, start)
                found.append((start, value))
    except ManifestError:
        # Something else in YAML (Helm values, a CI file) is passed over; a broken manifest is not.
        if strict or found or (b"apiVersion:" in data and b"kind:" in data and b"metadata:" in data):
            raise
        return []
    return found


def _chunks(data: bytes, max_documents: int) -> list[tuple[int, bytes]]:
    """(first line, text) of each document that has content."""
    chunks: list[tuple[int, bytes]] = []
    start, line = 0, 1
    spans = [match.span() for match in _SEPARATOR.finditer(data)]
    for end, after in [*spans, (len(data), len(data))]:
        chunk = data[start:end]
        if chunk and not chunk.isspace():
            if len(chunks) >= max_documents:
                raise ManifestError(f"more than {max_documents} documents (limit of documents in one file)", line)
            chunks.append((line, chunk))
        line += chunk.count(b"\n")
        start = after
    return chunks


def _first_line(chunk: bytes, line: int) -> int:
    match = _CONTENT.search(chunk)
    return line + chunk.count(b"\n", 0, match.start()) if match else line


def _json_document(data: bytes) -> list[tuple[int, dict[str, object]]]:
    text = data.strip()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if _has_more_objects(text):
            raise ManifestError("Found multiple objects. Only single objects are allowed in JSON files.") from None
        lines_before = data[: len(data) - len(data.lstrip())].count(b"\n")
        raise ManifestError(error.msg, error.lineno + lines_before) from None
    if not isinstance(value, dict):
        raise ManifestError(f"the file holds a {_word(value)}, not an object", 1)
    if "kind" not in value and value.get("mediaType") == _OCI_MANIFEST:
        return []
    _check_kind(value, 1)
    return [(1, document) for document in load_all(text)]  # again, for numbers as Kubernetes reads them


def _has_more_objects(text: bytes) -> bool:
    import json  # orjson has loaded it

    try:
        _, end = json.JSONDecoder().raw_decode(text.decode())
    except (ValueError, RecursionError):
        return False
    return end < len(text)


def _check_kind(value: dict[str, object], line: int) -> None:
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        raise ManifestError("Object 'Kind' is missing", line)


def _expanded(obj: dict[str, object], line: int) -> list[dict[str, object]]:
    """The items of a List, otherwise the object itself. What has a list called `items` is a List, whatever its kind."""
    if "items" not in obj:
        return [obj]
    items = obj["items"]
    if items is None and "spec" not in obj and "status" not in obj:
        return []
    if not isinstance(items, list):
        return [obj]
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise ManifestError(f"item {number + 1} of the {obj.get('kind')} is a {_word(item)}, not an object", line)
        if not isinstance(item.get("kind"), str) or not item["kind"]:
            raise ManifestError(f"Object 'Kind' is missing in item {number + 1} of the {obj.get('kind')}", line)
    return items


def _row(obj: dict[str, object], line: int) -> ObjectRow:
    kind = str(obj["kind"])
    api_version = obj.get("apiVersion")
    if not isinstance(api_version, str) or not api_version:
        raise ManifestError(f"the {kind} has no apiVersion", line)
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise ManifestError(f"metadata of the {kind} is a {_word(metadata)}, not an object", line)
    texts = []
    for field in ("namespace", "name", "generateName"):
        value = metadata.get(field)
        if value is None:
            value = ""
        if not isinstance(value, str):
            raise ManifestError(f"metadata.{field} of the {kind} is a {_word(value)}, not a string; quote it", line)
        texts.append(value)
    namespace, name, generate_name = texts
    if not name and not generate_name:
        raise ManifestError(
            f"the {kind} has no metadata.name; exclude the file if it is not meant for the cluster", line
        )
    group, slash, version = api_version.partition("/")
    if not slash:
        group, version = "", api_version
    try:
        content = canonical_json(obj)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"the {kind} {name} cannot be written as JSON: {error}", line) from None
    return group, version, kind, namespace, name, digest(content), content


def _word(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list) else "map"
