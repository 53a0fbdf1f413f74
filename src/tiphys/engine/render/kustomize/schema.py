"""The OpenAPI definitions a build can need, given to Kustomize as its `openapi.path`.

Kustomize merges strategic patches by the definitions of Kubernetes' kinds that are built into it, and reads all of them in
each process that merges anything: two thirds of the time of a small build. The same definitions, without those of kinds
that no file of the build mentions, give the same result; reading them takes a few milliseconds.

What may name a kind without spelling it (an escape, a replacement that joins texts) gets the definitions of all kinds, and
what could bring a schema of its own, or depends on what the built-in one says beside the definitions, is left alone.
Source: kyaml openapi.go, krusty/kustomizer.go.
"""

from __future__ import annotations

import gzip
import mmap
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import orjson

from tiphys.apimachinery.yamljson import YamlError, YamlLimits, canonical_json, load_all
from tiphys.engine.render.kustomize.fields import KUSTOMIZATION_NAMES

FILE_NAME: Final = ".openapi-of-the-build.json"
# Versions of kyaml into which exactly these definitions (Kubernetes 1.21.2) are built, and which look them up as described.
KNOWN_VERSIONS: Final = frozenset({"v0.19.0", "v0.20.0", "v0.20.1", "v0.21.0", "v0.21.1"})
# Those whose builds `direct` does as they do.
DIRECT_VERSIONS: Final = frozenset({"v0.21.1"})
Schema = Mapping[str, Any]
_MODULE = b"\tsigs.k8s.io/kustomize/kyaml\t"
_LIMITS = YamlLimits(depth=100, documents=1000, size_bytes=1024 * 1024, aliased_values=100_000)

_OWN_SCHEMA = re.compile(
    rb"""openapi(?!v3schema)      # a schema of its own, in whatever file and case
    | \\[xuU\r\n]              # a text that does not show what it says: an escape, a word over two lines
    | !!?[a-z]*binary | !< | ^%TAG | tag:yaml
    | \x00                    # UTF-16""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_ALL_KINDS = re.compile(rb"replacement|\bvars\b|\$ref|\$openapi|\$kpt|x-k8s-cli", re.IGNORECASE)
# What may be a kind: it begins with a capital letter.
_WORD = re.compile(rb"[A-Z][A-Za-z]+")
# Kinds that generators make without anybody naming them.
_ALWAYS: Final = ("ConfigMap", "Secret")


def packed_definitions() -> bytes:
    """The definitions as they are in the package; read where files can be read, unpacked when they are needed."""
    return files("tiphys.apimachinery").joinpath("data/kustomizeschema.json.gz").read_bytes()


def kyaml_version(program: str) -> str:
    """The version of kyaml that a Go program is made with, empty when it is not told: such a program lists its modules."""
    try:
        with open(program, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            at = content.find(_MODULE)
            if at < 0:
                return ""
            version, _, _ = content[at + len(_MODULE) : at + len(_MODULE) + 40].partition(b"\t")
            return version.decode("ascii", "replace")
    except (OSError, ValueError):
        return ""


class Definitions:
    """Schemas for builds, made of the kinds that their files mention. `packed`: see `packed_definitions`."""

    def __init__(self, packed: bytes) -> None:
        document = orjson.loads(gzip.decompress(packed))
        self._definitions: Mapping[str, Any] = document["definitions"]
        self._kinds: Mapping[str, list[str]] = document["kinds"]
        self._names = {name.encode(): name for name in self._kinds}
        self._needs: dict[str, frozenset[str]] = {}
        self._written: dict[frozenset[str], bytes] = {}

    def schema(self, texts: Iterable[bytes]) -> bytes | None:
        """The schema for a build of these files; None where the built-in one has to be used."""
        kinds = set(_ALWAYS)
        everything = False
        for text in texts:
            if _OWN_SCHEMA.search(text):
                return None
            everything = everything or _ALL_KINDS.search(text) is not None
            kinds.update(self._names[word] for word in self._names.keys() & set(_WORD.findall(text)))
        return self._of(frozenset(self._kinds if everything else kinds))

    def of_kind(self, api_version: str, kind: str) -> Schema | None:
        """The definition of a kind, None when there is none."""
        group, _, version = api_version.rpartition("/")
        for name in self._kinds.get(kind, ()):
            for gvk in self._definitions[name]["x-kubernetes-group-version-kind"]:
                if (gvk["group"], gvk["version"], gvk["kind"]) == (group, version, kind):
                    return self._resolved(self._definitions[name])
        return None

    def field(self, schema: Schema, name: str) -> Schema | None:
        """What is known of a field: a property, or what all values of a map are."""
        properties = schema.get("properties", {})
        if name in properties:
            return self._resolved(properties[name])
        values = schema.get("additionalProperties")
        return self._resolved(values) if isinstance(values, dict) else None

    def items(self, schema: Schema | None) -> Schema | None:
        """What is known of a list's elements."""
        items = schema.get("items") if schema is not None and schema.get("type") == "array" else None
        return self._resolved(items) if isinstance(items, dict) else None

    def _resolved(self, schema: Schema) -> Schema | None:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix("#/definitions/")]
        return schema

    def _of(self, kinds: frozenset[str]) -> bytes:
        known = self._written.get(kinds)
        if known is None:
            names = set[str]().union(*map(self._needed, kinds))
            known = orjson.dumps({"definitions": {name: self._definitions[name] for name in sorted(names)}})
            if len(self._written) > 200:
                self._written.clear()
            self._written[kinds] = known
        return known

    def _needed(self, kind: str) -> frozenset[str]:
        """Names of all definitions that lead from a kind."""
        if kind not in self._needs:
            pending = list(self._kinds[kind])
            found: set[str] = set()
            while pending:
                name = pending.pop()
                if name not in found:
                    found.add(name)
                    pending += _references(self._definitions[name])
            self._needs[kind] = frozenset(found)
        return self._needs[kind]


def with_schema(folder: Path, definitions: Definitions, texts: Iterable[bytes]) -> bool:
    """Give the kustomization in `folder` the schema for its build, if that changes nothing else; was it given?

    `texts` are all files of the build.
    """
    present = [folder / name for name in KUSTOMIZATION_NAMES if (folder / name).is_file()]
    if len(present) != 1 or (folder / FILE_NAME).exists():
        return False
    schema = definitions.schema(texts)
    if schema is None:
        return False
    edited = _with_path(present[0].read_bytes())
    if edited is None:
        return False
    (folder / FILE_NAME).write_bytes(schema)
    present[0].write_bytes(edited)
    return True


def _with_path(text: bytes) -> bytes | None:
    """A kustomization with `openapi.path`, its own lines as they are; None where it cannot simply be added."""
    field = {"openapi": {"path": FILE_NAME}}
    try:
        documents = load_all(text, limits=_LIMITS)
        if len(documents) != 1 or not isinstance(documents[0], dict) or not documents[0]:
            return None
        if any(str(key).lower() == "openapi" for key in documents[0]):
            return None
        wanted = {**documents[0], **field}
        if text[:1] == b"{" and orjson.loads(text) == documents[0]:
            return canonical_json(wanted)
        edited = text.rstrip() + b"\nopenapi:\n  path: " + FILE_NAME.encode() + b"\n"
        return edited if load_all(edited, limits=_LIMITS) == [wanted] else None
    except (YamlError, orjson.JSONDecodeError):
        return None


def _references(schema: object) -> list[str]:
    found: list[str] = []
    pending = [schema]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            reference = one.get("$ref")
            if isinstance(reference, str):
                found.append(reference.removeprefix("#/definitions/"))
            pending += one.values()
        elif isinstance(one, list):
            pending += one
    return found
