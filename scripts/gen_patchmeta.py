"""Cut an API server's OpenAPI v3 documents down to what strategic merge patches need.

    kubectl get --raw /openapi/v3                          # lists the documents
    kubectl get --raw '/openapi/v3/apis/apps/v1?hash=...'  # one of them, into a file of its own
    python scripts/gen_patchmeta.py DIRECTORY [OUTPUT]

DIRECTORY holds the documents as `*.json`; with `--fetch KUBECONFIG` they are fetched from a running server first. OUTPUT is
`src/tiphys/apimachinery/data/patchmeta.json.gz` unless given. The same documents give the same bytes.

The output is gzipped JSON: `kinds` maps `group/version/kind` to a position in `types`, or to -1 for a kind without any
strategy; each type is [name, {field: [type position or -1, strategies, merge key]}].
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

OUTPUT: Final = Path(__file__).parent.parent / "src/tiphys/apimachinery/data/patchmeta.json.gz"
STRATEGY: Final = "x-kubernetes-patch-strategy"
MERGE_KEY: Final = "x-kubernetes-patch-merge-key"
GVK: Final = "x-kubernetes-group-version-kind"
REF_PREFIX: Final = "#/components/schemas/"

Schema = dict[str, Any]


def fetch(kubeconfig: str, directory: Path) -> None:
    """Write all OpenAPI v3 documents of a running server into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)

    def get(path: str) -> bytes:
        argv = ["kubectl", "--kubeconfig", kubeconfig, "get", "--raw", path]
        return subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout

    for path, found in json.loads(get("/openapi/v3"))["paths"].items():
        if path.startswith("api"):
            (directory / f"{path.replace('/', '__')}.json").write_bytes(get(found["serverRelativeURL"]))


def read_schemas(directory: Path) -> dict[str, Schema]:
    """All component schemas of all documents; equal names have equal schemas but for their list of kinds."""
    schemas: dict[str, Schema] = {}
    for path in sorted(directory.glob("*.json")):
        for name, schema in json.loads(path.read_bytes()).get("components", {}).get("schemas", {}).items():
            schemas.setdefault(name, schema)
    return schemas


def target_of(schema: Schema) -> str:
    """Name of the type an object field or a list's items refer to, with `map:` before it for free keys; or nothing."""
    schema = schema.get("items", schema)
    for one in (schema, *schema.get("allOf", ())):
        if "$ref" in one:
            return str(one["$ref"]).removeprefix(REF_PREFIX)
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        inner = target_of(values)
        return f"map:{inner}" if inner else ""
    return ""


def fields_of(name: str, schemas: dict[str, Schema]) -> dict[str, tuple[str, str, str]]:
    """Field -> (type it leads to, strategies, merge key) of one type."""
    if name.startswith("map:"):
        return {"*": (name.removeprefix("map:"), "", "")}
    return {
        field: (target_of(schema), schema.get(STRATEGY, ""), schema.get(MERGE_KEY, ""))
        for field, schema in schemas.get(name, {}).get("properties", {}).items()
    }


def build_table(schemas: dict[str, Schema]) -> dict[str, Any]:
    """The table, with types that lead to no strategy left out."""
    graph = {name: fields_of(name, schemas) for name in schemas}
    for fields in list(graph.values()):
        for target, _, _ in fields.values():
            while target.startswith("map:"):
                graph.setdefault(target, fields_of(target, schemas))
                target = target.removeprefix("map:")
    kept = {name for name, fields in graph.items() if any(strategy for _, strategy, _ in fields.values())}
    while True:
        more = {n for n, fields in graph.items() if n not in kept and any(t in kept for t, _, _ in fields.values())}
        if not more:
            break
        kept |= more
    roots = {
        f"{gvk['group']}/{gvk['version']}/{gvk['kind']}": name
        for name, schema in schemas.items()
        if len(schema.get(GVK, ())) == 1 and "metadata" in schema.get("properties", {})
        for gvk in schema[GVK]
        if not gvk["kind"].endswith("List")
    }
    reached: list[str] = []
    waiting = sorted({name for name in roots.values() if name in kept})
    while waiting:
        name = waiting.pop(0)
        if name not in reached:
            reached.append(name)
            waiting.extend(target for target, _, _ in graph[name].values() if target in kept)
    position = {name: index for index, name in enumerate(reached)}
    types = [
        [
            short(name),
            {field: row(position, *found) for field, found in sorted(graph[name].items()) if keeps(position, *found)},
        ]
        for name in reached
    ]
    return {"kinds": {kind: position.get(name, -1) for kind, name in sorted(roots.items())}, "types": types}


def keeps(position: dict[str, int], target: str, strategies: str, _merge_key: str) -> bool:
    """Whether a field says anything."""
    return bool(strategies) or target in position


def row(position: dict[str, int], target: str, strategies: str, merge_key: str) -> list[Any]:
    """The table row of a field, trailing empty parts cut off."""
    parts: list[Any] = [position.get(target, -1), strategies, merge_key]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def short(name: str) -> str:
    """`PodSpec` of `io.k8s.api.core.v1.PodSpec`."""
    return name.rpartition(".")[2]


def main(argv: list[str]) -> int:
    """Entry point; the exit code is 0 unless no document was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("output", type=Path, nargs="?", default=OUTPUT)
    parser.add_argument("--fetch", metavar="KUBECONFIG", help="fetch the documents from this server first")
    arguments = parser.parse_args(argv)
    if arguments.fetch:
        fetch(arguments.fetch, arguments.directory)
    schemas = read_schemas(arguments.directory)
    if not schemas:
        print(f"no OpenAPI v3 document in {arguments.directory}", file=sys.stderr)
        return 1
    table = build_table(schemas)
    data = gzip.compress(json.dumps(table, sort_keys=True, separators=(",", ":")).encode(), 9, mtime=0)
    arguments.output.write_bytes(data)
    print(f"{len(table['kinds'])} kinds, {len(table['types'])} types, {len(data)} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
