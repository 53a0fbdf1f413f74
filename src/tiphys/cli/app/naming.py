"""Names as users write them: `APPNAME` or `NAMESPACE/APPNAME`; resources as `GROUP:KIND:[NAMESPACE/]NAME`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.cli.failure import CommandFailed


def split_name(text: str, namespace: str | None = None) -> tuple[str, str]:
    """Name and namespace; a namespace in the text wins over the option's."""
    before, slash, after = text.partition("/")
    return (after, before) if slash else (text, namespace or "")


def qualified_name(app: Mapping[str, Any]) -> str:
    """`NAMESPACE/NAME`, or the name alone when the object has no namespace."""
    metadata = app.get("metadata") or {}
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata.get('name')}" if namespace else str(metadata.get("name") or "")


def parse_resources(texts: Iterable[str]) -> list[dict[str, Any]]:
    """`--resource` options as the API takes them. Raises CommandFailed."""
    found = []
    for text in texts:
        exclude, body = text.startswith("!"), text.removeprefix("!")
        fields = body.split(":")
        if len(fields) != 3:
            raise CommandFailed(f"Resource should have GROUP:KIND:NAME, but instead got: {body}")
        parts = fields[2].split("/")
        if len(parts) > 2:
            raise CommandFailed(
                f"Resource with namespace should have GROUP:KIND:NAMESPACE/NAME, but instead got: {body}"
            )
        found.append(
            {
                "group": fields[0],
                "kind": fields[1],
                "name": parts[-1],
                "namespace": parts[0] if len(parts) == 2 else "",
                "exclude": exclude,
            }
        )
    return found


def includes(selected: Sequence[Mapping[str, Any]], resource: Mapping[str, Any]) -> bool:
    """Whether a resource is among those selected: any inclusion matches, or none is written, and no exclusion does."""
    inclusions = [item for item in selected if not item.get("exclude")]
    if any(_matches(item, resource) for item in selected if item.get("exclude")):
        return False
    return not inclusions or any(_matches(item, resource) for item in inclusions)


def _matches(wanted: Mapping[str, Any], resource: Mapping[str, Any]) -> bool:
    if wanted.get("namespace") and not _like(resource.get("namespace"), wanted["namespace"]):
        return False
    return all(_like(resource.get(field), wanted.get(field)) for field in ("group", "kind", "name"))


def _like(value: object, pattern: object) -> bool:
    return fnmatch.fnmatchcase(str(value or ""), str(pattern or ""))
