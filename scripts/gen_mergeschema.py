"""Write src/tiphys/apimachinery/data/mergeschema.json.gz: merge types of Kubernetes' own kinds.

    python scripts/gen_mergeschema.py SMD_SCHEMA.json [OPENAPI_V3.json ...] [--output FILE]

SMD_SCHEMA.json holds the structured-merge-diff types that client-go ships for its apply configurations; each further
argument is an OpenAPI v3 document of an API server (`/openapi/v3/apis/GROUP/VERSION`), whose kinds are added when the first
file lacks them. The result is derived from data of the Kubernetes project, see NOTICE.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiphys.apimachinery.mergeschema import types_of_openapi

OUTPUT = Path(__file__).resolve().parent.parent / "src/tiphys/apimachinery/data/mergeschema.json.gz"

GROUPS = {
    "admissionregistration": "admissionregistration.k8s.io",
    "apiserverinternal": "internal.apiserver.k8s.io",
    "authentication": "authentication.k8s.io",
    "authorization": "authorization.k8s.io",
    "certificates": "certificates.k8s.io",
    "coordination": "coordination.k8s.io",
    "core": "",
    "discovery": "discovery.k8s.io",
    "events": "events.k8s.io",
    "flowcontrol": "flowcontrol.apiserver.k8s.io",
    "imagepolicy": "imagepolicy.k8s.io",
    "networking": "networking.k8s.io",
    "node": "node.k8s.io",
    "rbac": "rbac.authorization.k8s.io",
    "resource": "resource.k8s.io",
    "scheduling": "scheduling.k8s.io",
    "storage": "storage.k8s.io",
    "storagemigration": "storagemigration.k8s.io",
}
"""API group of a Go package under k8s.io/api, where it is not the package's own name."""


def kinds_of_packages(types: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """`apps/v1/Deployment` and its type name, for every type that has the fields of a resource."""
    for name, definition in types.items():
        fields = {field["name"] for field in (definition.get("map") or {}).get("fields") or ()}
        parts = name.split(".")
        if name.startswith("io.k8s.api.") and len(parts) == 6 and {"apiVersion", "kind", "metadata"} <= fields:
            group = GROUPS.get(parts[3], parts[3])
            yield f"{group + '/' if group else ''}{parts[4]}/{parts[5]}", name


def kinds_of_models(models: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """`apps/v1/Deployment` and its model name, from the extension that names a model's kind."""
    for name, model in models.items():
        for gvk in model.get("x-kubernetes-group-version-kind") or ():
            if "metadata" in (model.get("properties") or {}) and not gvk["kind"].endswith("List"):
                yield f"{gvk['group'] + '/' if gvk['group'] else ''}{gvk['version']}/{gvk['kind']}", name


def build(smd: Mapping[str, Any], documents: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The document to write: `types` by name, `kinds` to type names."""
    types = {t["name"]: {key: value for key, value in t.items() if key != "name"} for t in smd["types"]}
    for definition in types.values():
        if "map" in definition:
            definition["map"].pop("unions", None)
    kinds = dict(kinds_of_packages(types))
    for document in documents:
        models = document["components"]["schemas"]
        for name, definition in types_of_openapi(models).items():
            types.setdefault(name, definition)
        for kind, name in kinds_of_models(models):
            kinds.setdefault(kind, name)
    return {"types": dict(sorted(types.items())), "kinds": dict(sorted(kinds.items()))}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("smd_schema", type=Path)
    parser.add_argument("openapi", type=Path, nargs="*")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    document = build(json.loads(args.smd_schema.read_text()), [json.loads(path.read_text()) for path in args.openapi])
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    args.output.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{args.output.name}: {len(document['types'])} types, {len(document['kinds'])} kinds")


if __name__ == "__main__":
    main()
