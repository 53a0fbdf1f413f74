"""Write src/tiphys/devcluster/data/rbac.json: the roles and bindings a new Kubernetes cluster has.

python scripts/gen_rbac.py KUBECONFIG       of a fresh real control plane, such as that of tests/realcluster
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[1] / "src" / "tiphys" / "devcluster" / "data" / "rbac.json"
BOOTSTRAPPING = "kubernetes.io/bootstrapping"
KINDS = ("clusterroles", "roles", "clusterrolebindings", "rolebindings")


def row(obj: dict[str, Any]) -> dict[str, Any]:
    """One object without what all have in common; rules that are gathered from other roles are left out."""
    metadata = obj["metadata"]
    found: dict[str, Any] = {"name": metadata["name"]}
    if "namespace" in metadata:
        found["namespace"] = metadata["namespace"]
    labels = {key: one for key, one in metadata.get("labels", {}).items() if key != BOOTSTRAPPING}
    if labels:
        found["labels"] = labels
    if "aggregationRule" in obj:
        found["aggregationRule"] = obj["aggregationRule"]
    elif "rules" in obj:
        found["rules"] = obj["rules"]
    found |= {key: obj[key] for key in ("roleRef", "subjects") if key in obj}
    return found


def main(kubeconfig: str) -> None:
    """Read from the cluster, write the file."""
    kubectl = str(Path(sys.executable).parent / "kubectl")
    lines = []
    for kind in KINDS:
        command = [kubectl, "--kubeconfig", kubeconfig, "get", kind, "-A", "-o", "json"]
        items = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["items"]
        kept = [one for one in items if BOOTSTRAPPING in one["metadata"].get("labels", {})]
        rows = ",\n".join("  " + json.dumps(row(one), separators=(",", ":")) for one in kept)
        lines.append(f' "{kind}": [\n{rows}\n ]')
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
