"""Writes deploy/crds/*.yaml from the model. `--check` changes nothing and fails when a file is not current."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tiphys.model.crds import crd_objects

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "crds"


def crd_files() -> dict[Path, str]:
    """Content of every CRD file."""
    return {
        FOLDER / f"{crd['spec']['names']['plural']}.yaml": yaml.safe_dump(crd, sort_keys=True, width=120)
        for crd in crd_objects()
    }


def stale_files() -> list[Path]:
    """CRD files that differ from what would be written."""
    return [path for path, text in crd_files().items() if not path.is_file() or path.read_text() != text]


def main(argv: list[str]) -> int:
    """Write the files, or with `--check` name the stale ones."""
    if "--check" in argv:
        stale = stale_files()
        for path in stale:
            print(f"{path.name} is not current: run scripts/gen_crds.py", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in crd_files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
