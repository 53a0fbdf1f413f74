"""Writes the generated pages of docs/reference. `--check` changes nothing and fails when a page is not current."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from tiphys.model.duration import format_duration
from tiphys.settings.keys import CM, KEYS, PARAMS_CM, RBAC_CM, SECRET, Key

ROOT = Path(__file__).resolve().parent.parent
SETTINGS_PAGE = ROOT / "docs" / "reference" / "settings.md"

_INTRO = """# Settings

Made from `src/tiphys/settings/keys.py` by `scripts/gen_docs.py`; edit the table there.

Tiphys reads Argo CD's own ConfigMaps and Secret in its namespace. A value that cannot be read counts as absent and is
reported with all others like it. Changes take effect without a restart.
"""


def settings_page() -> str:
    """The settings reference in Markdown."""
    parts = [_INTRO]
    for obj in (CM, PARAMS_CM, RBAC_CM, SECRET):
        parts.append(f"\n## {obj}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n")
        parts.extend(_row(key) for key in KEYS if key.object == obj)
    return "".join(parts)


def stale_pages() -> list[Path]:
    """Generated pages that differ from what would be written."""
    return [
        page
        for page, text in ((SETTINGS_PAGE, settings_page()),)
        if not page.is_file() or page.read_text(encoding="utf-8") != text
    ]


def _row(key: Key) -> str:
    kind = " or ".join(f"`{choice}`" for choice in key.choices if choice) or key.type
    if key.unit and key.unit not in ("Go duration",):
        kind += f" ({key.unit})"
    return f"| `{key.name}` | {kind} | {_default(key)} | {key.meaning} |\n"


def _default(key: Key) -> str:
    value = key.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if value is None or value in ("", ()):
        return ""
    return f"`{value}`"


def main(argv: list[str]) -> int:
    """Write the pages, or with `--check` name the stale ones."""
    if "--check" in argv:
        stale = stale_pages()
        for page in stale:
            print(f"{page.relative_to(ROOT)} is not current: run scripts/gen_docs.py", file=sys.stderr)
        return 1 if stale else 0
    SETTINGS_PAGE.parent.mkdir(parents=True, exist_ok=True)
    SETTINGS_PAGE.write_text(settings_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
