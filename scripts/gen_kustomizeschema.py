"""Write src/tiphys/apimachinery/data/kustomizeschema.json.gz: the OpenAPI definitions that are built into Kustomize.

    python scripts/gen_kustomizeschema.py DEFINITIONS.json [--output FILE]

DEFINITIONS.json holds the `definitions` of kyaml's own schema (openapi.Schema() after it was read), without those of the
`kustomize.config.k8s.io` group, which Kustomize adds to every schema. Descriptions are left out. The result is derived
from data of the Kubernetes project, see NOTICE.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).resolve().parent.parent / "src/tiphys/apimachinery/data/kustomizeschema.json.gz"
_GVK = "x-kubernetes-group-version-kind"


def without_descriptions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema; one that has nothing but a description keeps an empty shell, because a missing one differs."""
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties":
            found[name] = {field: without_descriptions(one) for field, one in value.items()}
        elif name in ("items", "additionalProperties") and isinstance(value, dict):
            found[name] = without_descriptions(value)
        elif name != "description":
            found[name] = value
    return found or {"description": "-"}


def build(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The document to write: `definitions` by name, `kinds` to the names of their definitions."""
    kept = {
        name: without_descriptions(one)
        for name, one in sorted(definitions.items())
        if not any(gvk.get("group") == "kustomize.config.k8s.io" for gvk in one.get(_GVK, ()))
    }
    kinds: dict[str, list[str]] = {}
    for name, one in kept.items():
        for gvk in one.get(_GVK, ()):
            if name not in kinds.setdefault(gvk["kind"], []):
                kinds[gvk["kind"]].append(name)
    return {"definitions": kept, "kinds": dict(sorted(kinds.items()))}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("definitions", type=Path)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    document = build(json.loads(args.definitions.read_text()))
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    args.output.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{args.output.name}: {len(document['definitions'])} definitions, {len(document['kinds'])} kinds")


if __name__ == "__main__":
    main()
