"""Fold the OpenAPI v3 documents of a real API server into the package's data file.

    python scripts/gen_openapi.py FOLDER > src/tiphys/devcluster/data/openapi.json.gz

`FOLDER` holds what the server answers at `/openapi/v3/<path>`, one file per group-version, named `<path>.json` with `__`
for `/` (`apis__apps__v1.json`). `--fetch KUBECONFIG` first fills it by `kubectl get --raw`.

Kept are the schemas, once each, with their descriptions, and per resource one PATCH operation that names its kind
and says that the server validates fields; clients look for nothing else. `devcluster.openapi_data` unfolds it.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

GVK = "x-kubernetes-group-version-kind"


def fetch(kubeconfig: str, folder: Path) -> None:
    """Store all documents the server lists."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, entry in json.loads(_raw(kubeconfig, "/openapi/v3"))["paths"].items():
        (folder / (path.replace("/", "__") + ".json")).write_bytes(_raw(kubeconfig, entry["serverRelativeURL"]))


def _raw(kubeconfig: str, path: str) -> bytes:
    return subprocess.run(
        ["kubectl", "--kubeconfig", kubeconfig, "get", "--raw", path], check=True, capture_output=True
    ).stdout


def fold(folder: Path) -> dict[str, Any]:
    """`{"schemas": {name: schema}, "documents": {path: {"schemas": [name], "patches": {url: [group, version, kind]}}}}`."""
    schemas: dict[str, Any] = {}
    documents: dict[str, Any] = {}
    for file in sorted(folder.glob("*.json")):
        document = json.loads(file.read_text(encoding="utf-8"))
        patches = {
            url: [item["patch"][GVK][part] for part in ("group", "version", "kind")]
            for url, item in document["paths"].items()
            if "patch" in item and url.endswith("/{name}")
        }
        names = sorted(document.get("components", {}).get("schemas", {}))
        path = file.stem.replace("__", "/")
        if not names or path.count("/") < (1 if path.startswith("api/") else 2):
            continue
        for name in names:
            schema = document["components"]["schemas"][name]
            if schemas.setdefault(name, schema) != schema:
                # The kinds that options are known as differ from one group to the next: the union is right in all.
                known = schemas[name].get(GVK, [])
                schemas[name] = {**schema, GVK: known + [one for one in schema.get(GVK, []) if one not in known]}
        documents[path] = {"schemas": names, "patches": patches}
    return {"schemas": schemas, "documents": documents}


def main(arguments: list[str]) -> int:
    """Write the gzip of the folded documents to standard output."""
    if arguments[:1] == ["--fetch"]:
        fetch(arguments[1], Path(arguments[2]))
        arguments = arguments[2:]
    text = json.dumps(fold(Path(arguments[0])), separators=(",", ":"), sort_keys=True)
    sys.stdout.buffer.write(gzip.compress(text.encode(), 9, mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
