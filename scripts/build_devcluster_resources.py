"""Writes src/tiphys/devcluster/data/resources.json from a recorded aggregated discovery and recorded table columns.

    python scripts/build_devcluster_resources.py DISCOVERY.json COLUMNS.json

DISCOVERY holds the APIGroupDiscoveryLists of `/api` and `/apis` by path; COLUMNS maps `group/version/plural` to
`[name, type, format, priority]` rows. Groups of custom resources in the recording are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "src/tiphys/devcluster/data/resources.json"
RECORDED_CUSTOM_GROUPS = {"x.io"}


def _resource(found: dict[str, Any], group: str, version: str, columns: dict[str, Any]) -> dict[str, Any]:
    key = f"{group}/{version}/{found['resource']}"
    return {
        "plural": found["resource"],
        "singular": found["singularResource"],
        "kind": found["responseKind"]["kind"],
        "namespaced": found["scope"] == "Namespaced",
        "verbs": found["verbs"],
        "shortNames": found.get("shortNames", []),
        "categories": found.get("categories", []),
        "subresources": [
            {
                "name": sub["subresource"],
                "group": sub["responseKind"]["group"],
                "version": sub["responseKind"]["version"],
                "kind": sub["responseKind"]["kind"],
                "verbs": sub["verbs"],
            }
            for sub in found.get("subresources", [])
        ],
        "columns": columns.get(key, []),
    }


def main(discovery_path: str, columns_path: str) -> None:
    """Reads both recordings and writes the package's table."""
    discovery = json.loads(Path(discovery_path).read_text())
    columns = json.loads(Path(columns_path).read_text())
    groups: list[dict[str, Any]] = []
    for root in ("/api", "/apis"):
        for item in discovery[root]["items"]:
            group = item["metadata"].get("name", "")
            if group in RECORDED_CUSTOM_GROUPS:
                continue
            versions = [
                {
                    "version": version["version"],
                    "resources": [_resource(r, group, version["version"], columns) for r in version["resources"]],
                }
                for version in item["versions"]
            ]
            groups.append({"group": group, "versions": versions})
    OUT.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(group, separators=(",", ":")) for group in groups)
    OUT.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
