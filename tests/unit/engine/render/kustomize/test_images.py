"""Images as `kustomize edit set image` reads them."""

from __future__ import annotations

import pytest

from tiphys.engine.render.kustomize.images import ImageFormatError, ImageOverride, parse_override, split_image

DIGEST = "sha256:24a0c4b4a4c0eb97a1aabb8e29f18e917d05abfe1b7a7c07857230879ce7d3d3"


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("nginx", ("nginx", "", "")),
        ("nginx:1.27", ("nginx", "1.27", "")),
        (f"nginx@{DIGEST}", ("nginx", "", DIGEST)),
        (f"nginx:1.27@{DIGEST}", ("nginx", "1.27", DIGEST)),
        ("host:5000/app", ("host:5000/app", "", "")),
        ("host:5000/app:v1", ("host:5000/app", "v1", "")),
        (f"host:5000/a/b/app:v1@{DIGEST}", ("host:5000/a/b/app", "v1", DIGEST)),
    ],
)
def test_an_image_has_a_name_a_tag_and_a_digest(image: str, parts: tuple[str, str, str]) -> None:
    """A port is part of the name."""
    assert split_image(image) == parts


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("nginx:1.28", ImageOverride("nginx", "", "1.28")),
        ("nginx=mirror/nginx", ImageOverride("nginx", "mirror/nginx")),
        ("nginx=mirror/nginx:1", ImageOverride("nginx", "mirror/nginx", "1")),
        (f"nginx@{DIGEST}", ImageOverride("nginx", "", "", DIGEST)),
        (f"a=b:1@{DIGEST}", ImageOverride("a", "b", "1", DIGEST)),
        ("a=*:2", ImageOverride("a", "*", "2")),
        ("host:5000/a=*@*", ImageOverride("host:5000/a", "*", "", "*")),
    ],
)
def test_forms_of_an_override(text: str, override: ImageOverride) -> None:
    """All that `edit set image` takes."""
    assert parse_override(text) == override


@pytest.mark.parametrize("text", ["", "nginx", "=x:1", "a=", ":tag", "host:5000/app"])
def test_what_is_no_override(text: str) -> None:
    """Without a tag, digest or new name nothing would change."""
    with pytest.raises(ImageFormatError, match="invalid format of image"):
        parse_override(text)
