"""Images as Kustomize's `images:` field and its `edit set image` know them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tiphys.engine.render.kustomize.fields import get

PRESERVE = "*"  # as a new name, tag or digest: keep what is there


class ImageFormatError(ValueError):
    """An image that `edit set image` does not understand."""


@dataclass(frozen=True, slots=True)
class ImageOverride:
    """One entry of `images:`: pictures called `name` get another name, tag or digest; empty ones are left out."""

    name: str
    new_name: str = ""
    new_tag: str = ""
    digest: str = ""

    def over(self, present: ImageOverride | None) -> ImageOverride:
        """This with every `*` taken from the entry that is there, or dropped when none is."""
        before = present or ImageOverride(self.name)
        return replace(
            self,
            new_name=before.new_name if self.new_name == PRESERVE else self.new_name,
            new_tag=before.new_tag if self.new_tag == PRESERVE else self.new_tag,
            digest=before.digest if self.digest == PRESERVE else self.digest,
        )

    def fields(self) -> dict[str, str]:
        """The entry as YAML has it."""
        found = {"name": self.name, "newName": self.new_name, "newTag": self.new_tag, "digest": self.digest}
        return {key: value for key, value in found.items() if value}


def split_image(image: str) -> tuple[str, str, str]:
    """`host:5000/app:1.2@sha256:ab` -> (`host:5000/app`, `1.2`, `sha256:ab`); what is not given is empty.

    A colon before the first slash belongs to a port. Source: kustomize api/internal/image, Split.
    """
    slash = image.find("/")
    start = slash if slash > 0 else 0
    at = image.find("@", start)
    name, digest = (image[:at], image[at + 1 :]) if at >= 0 else (image, "")
    colon = name.find(":", start)
    return (name[:colon], name[colon + 1 :], digest) if colon >= 0 else (name, "", digest)


def parse_override(text: str) -> ImageOverride:
    """One argument of `edit set image`: `name=new:tag`, `name=new@digest`, `name=new`, `name:tag`, `name@digest`,
    each part also `*`. Raises ImageFormatError.

    Source: kustomize commands/edit/set/setimage.go.
    """
    key, equals, value = text.partition("=")
    name, tag, digest = split_image(value if equals else text)
    if (equals and not key) or not name or (not equals and name == text):
        raise ImageFormatError(
            f"invalid format of image {text!r}, use one of the following options: <image>=<newimage>:<newtag>, "
            "<image>=<newimage>@<digest>, <image>=<newimage>, <image>:<newtag>, <image>@<digest>"
        )
    return ImageOverride(key, name, tag, digest) if equals else ImageOverride(name, "", tag, digest)


def set_images(present: object, overrides: Iterable[str]) -> list[dict[str, Any]]:
    """The `images:` field after `edit set image` with these arguments: one entry for each name, sorted by name."""
    wanted = {override.name: override for override in map(parse_override, overrides)}
    entries: dict[str, dict[str, Any]] = {}
    for item in present if isinstance(present, list) else ():
        if not isinstance(item, Mapping):
            continue
        name = str(get(item, "name") or "")
        override = wanted.get(name)
        if override is not None:
            entries[name] = override.over(_present(item)).fields()
        else:
            entries[name] = dict(item)
    for name, override in wanted.items():
        entries.setdefault(name, override.over(None).fields())
    return [entries[name] for name in sorted(entries, key=str.encode)]


def _present(item: Mapping[str, Any]) -> ImageOverride:
    values = [str(get(item, field) or "") for field in ("name", "newName", "newTag", "digest")]
    return ImageOverride(*values)
