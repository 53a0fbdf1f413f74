"""Accept, Content-Type and query parameters: what form of answer a client wants, and how options are spelt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl

from tiphys.apimachinery.apierrors import BadRequest, NotAcceptable, UnsupportedMediaType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
PATCH_TYPES = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


class Form(Enum):
    """How objects are written into an answer."""

    FULL = "full"
    TABLE = "Table"
    PARTIAL = "PartialObjectMetadata"


class AggregatedForm(Enum):
    """Which discovery document an Accept header asks for."""

    NONE = ""
    V2 = "v2"
    V2BETA1 = "v2beta1"


@dataclass(frozen=True, slots=True)
class MediaType:
    """One entry of an Accept header."""

    name: str
    parameters: Mapping[str, str]
    quality: float = 1.0


def parse_accept(header: str) -> list[MediaType]:
    """Media types of an Accept header, best first; order breaks ties."""
    found: list[MediaType] = []
    for part in header.split(","):
        pieces = [piece.strip() for piece in part.split(";")]
        if not pieces[0]:
            continue
        parameters: dict[str, str] = {}
        for piece in pieces[1:]:
            key, _, value = piece.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        found.append(MediaType(pieces[0].lower(), parameters, quality))
    found.sort(key=lambda one: -one.quality)
    return found


_WRITABLE = (JSON, "*/*", YAML)


_ONLY = (
    "only the following media types are accepted: application/json, application/yaml,"
    " application/vnd.kubernetes.protobuf"
)
_AVAILABLE = (
    "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml,"
    " application/vnd.kubernetes.protobuf"
)


def writes_json(accept: str) -> bool:
    """Whether JSON will do."""
    return not accept or any(one.name in (JSON, "*/*") for one in parse_accept(accept))


def document_as_yaml(accept: str, *, routed: bool) -> bool:
    """Whether a discovery document is wanted in YAML. Raises NotAcceptable.

    `routed`: the path belongs to a group built in, which is refused earlier, in other words.
    """
    found = parse_accept(accept) if accept else [MediaType(JSON, {})]
    for one in found:
        if one.name in _WRITABLE and not one.parameters.get("as"):
            return one.name == YAML
    if PROTOBUF in accept and "as=" not in accept:
        return False
    raise NotAcceptable(_AVAILABLE if routed and not any(one.name in _WRITABLE for one in found) else _ONLY)


def object_form(accept: str) -> tuple[Form, bool]:
    """(form of the objects, write YAML) for an Accept header. Raises NotAcceptable when nothing fits.

    Protobuf and CBOR are passed over, as a server may: clients that ask for them list JSON too.
    """
    if not accept or accept == "*/*" or accept == JSON:
        return Form.FULL, False
    unknown_form = False
    for one in parse_accept(accept):
        if one.name not in _WRITABLE:
            continue
        form = one.parameters.get("as", "")
        unknown_form = unknown_form or bool(form)
        as_yaml = one.name == YAML
        if (
            form == "Table"
            and one.parameters.get("g") == "meta.k8s.io"
            and one.parameters.get("v") in ("v1", "v1beta1")
        ):
            return Form.TABLE, as_yaml
        if form.startswith("PartialObjectMetadata") and one.parameters.get("g") == "meta.k8s.io":
            return Form.PARTIAL, as_yaml
        if not form:
            return Form.FULL, as_yaml
    if PROTOBUF in accept and "as=" not in accept:
        # A Go client that reads nothing but protobuf: it still decodes JSON by the answer's Content-Type.
        return Form.FULL, False
    raise NotAcceptable(_ONLY if unknown_form else _AVAILABLE)


def asks_for_list(accept: str) -> bool:
    """Whether the form an Accept header asks for is that of a list of metadata."""
    wanted = [
        one.parameters["as"] for one in parse_accept(accept) if one.name in _WRITABLE and one.parameters.get("as")
    ]
    return bool(wanted) and wanted[0] == "PartialObjectMetadataList"


def discovery_form(accept: str) -> AggregatedForm:
    """Which discovery document to give at `/api` and `/apis`."""
    if "apidiscovery" not in accept:
        return AggregatedForm.NONE
    for one in parse_accept(accept):
        if one.name not in _WRITABLE:
            continue
        if not one.parameters.get("as"):
            return AggregatedForm.NONE
        if one.parameters.get("g") == "apidiscovery.k8s.io" and one.parameters["as"] == "APIGroupDiscoveryList":
            version = one.parameters.get("v")
            if version == "v2":
                return AggregatedForm.V2
            if version == "v2beta1":
                return AggregatedForm.V2BETA1
    return AggregatedForm.NONE


def patch_type(content_type: str, *, custom: bool) -> str:
    """`json`, `merge`, `strategic` or `apply`. Raises UnsupportedMediaType; strategic does not exist for custom resources."""
    kind = PATCH_TYPES.get(content_type.partition(";")[0].strip().lower())
    if kind is None and not custom:
        raise UnsupportedMediaType("415: Unsupported Media Type")
    if kind is None or (custom and kind == "strategic"):
        known = [name for name, patch in PATCH_TYPES.items() if not (custom and patch == "strategic")]
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(known)
        )
    return kind


class Query:
    """Query parameters of a request: the first of each name wins."""

    __slots__ = ("_found", "_lists")

    def __init__(self, raw: bytes) -> None:
        self._found: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}
        if raw:
            for key, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="replace"):
                self._lists.setdefault(key, []).append(value)
                self._found.setdefault(key, value)

    def text(self, name: str) -> str:
        """The value, empty when absent."""
        return self._found.get(name, "")

    def texts(self, name: str) -> list[str]:
        """Every value of a repeated parameter."""
        return self._lists.get(name, [])

    def flag(self, name: str) -> bool:
        """A boolean option: absent, `0` and `false` in any case are false, everything else is true.

        Source: apimachinery pkg/runtime/conversion.go Convert_Slice_string_To_bool.
        """
        value = self._found.get(name)
        return value is not None and value != "0" and value.lower() != "false"

    def number(self, name: str) -> int | None:
        """A whole number, None when absent. Raises BadRequest on anything else."""
        value = self._found.get(name)
        if value is None:
            return None
        digits = value[1:] if value[:1] in ("+", "-") else value
        if not (digits.isascii() and digits.isdigit()):
            raise BadRequest(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return int(value)

    def __contains__(self, name: str) -> bool:
        return name in self._found
