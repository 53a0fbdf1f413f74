"""Path of a request -> what it is about: a resource, an object, a subresource, or one of the other endpoints."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote


class ObjectPath(NamedTuple):
    """`/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE`; what is absent is empty."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str
    rest: str = ""  # what follows the subresource: `proxy/some/path`


def parse_object_path(path: str) -> ObjectPath | None:
    """The object path of a request, None when the path is not below a group version.

    `/api/v1/namespaces/NS` is the Namespace itself; its `status` and `finalize` are subresources, any other third word is a
    plural inside the namespace. The deprecated `/watch/` prefix is understood by the caller.
    """
    parts = path.strip("/").split("/")
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if parts[0] == "api":
        group, rest = "", parts[1:]
    elif parts[0] == "apis" and len(parts) > 1:
        group, rest = parts[1], parts[2:]
    else:
        return None
    if len(rest) < 2:
        return None
    version, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (group == "" and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    plural = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    return ObjectPath(group, version, namespace, plural, name, subresource, "/".join(rest[3:]))
