"""Builds without Kustomize: which are done, and which are left to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tiphys.engine.render.kustomize.direct.builds import DirectBuilds
from tiphys.engine.render.kustomize.direct.texts import UnclearError, is_plain, read_documents
from tiphys.engine.render.kustomize.schema import Definitions, packed_definitions

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
      - name: main
        image: nginx:1.27
        env:
        - name: A
          value: "1"
"""
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n"
BASE = {
    "base/kustomization.yaml": "resources:\n- deployment.yaml\n- account.yaml\n",
    "base/deployment.yaml": DEPLOYMENT,
    "base/account.yaml": ACCOUNT,
}


@pytest.fixture(scope="module")
def builds() -> DirectBuilds:
    return DirectBuilds(Definitions(packed_definitions()))


def _build(builds: DirectBuilds, files: Mapping[str, str], path: str = "app") -> list[dict[str, Any]] | None:
    return builds.build({name: text.encode() for name, text in files.items()}, {"path": path, "options": []})


def test_an_overlay_of_a_base_is_built(builds: DirectBuilds) -> None:
    """Names and references, images, replicas, namespace and a patch; the account comes before the deployment."""
    overlay = """\
resources: [../base]
namePrefix: prod-
namespace: shop
images: [{name: nginx, newTag: "1.28"}]
replicas: [{name: web, count: 3}]
patches: [{path: patch.yaml}]
"""
    patch = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: main, env: [{name: B, value: "2"}]}]}}}
"""
    built = _build(builds, {**BASE, "app/kustomization.yaml": overlay, "app/patch.yaml": patch})

    assert built is not None
    account, deployment = built
    assert account["metadata"] == {"name": "prod-web", "namespace": "shop"}
    assert deployment["metadata"] == {"name": "prod-web", "namespace": "shop"}
    assert deployment["spec"]["replicas"] == 3
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "prod-web"
    assert pod["containers"] == [
        {"name": "main", "image": "nginx:1.28", "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]}
    ]


def test_what_one_build_changes_does_not_show_in_the_next(builds: DirectBuilds) -> None:
    """Files are read once for all builds that have them."""
    for prefix in ("a-", "b-", "a-"):
        overlay = f"resources: [../base]\nnamePrefix: {prefix}\ncommonLabels: {{team: {prefix}x}}\n"
        built = _build(builds, {**BASE, "app/kustomization.yaml": overlay})
        assert built is not None
        assert [one["metadata"]["name"] for one in built] == [f"{prefix}web", f"{prefix}web"]
        assert [one["metadata"]["labels"] for one in built] == [{"team": f"{prefix}x"}] * 2


@pytest.mark.parametrize(
    "overlay",
    [
        "configMapGenerator: [{name: x}]",
        "configMapGenerator: [{name: x, literals: [a=1], behavior: merge}]",
        "configMapGenerator: [{name: x, literals: [a=1], options: {disableNameSuffixHash: true}}]",
        "configMapGenerator: [{name: x, literals: [a]}]",
        "configMapGenerator: [{name: x, literals: [a=1, a=2]}]",
        "configMapGenerator: [{name: x, literals: [a/b=1]}]",
        "configMapGenerator: [{name: x, files: [../base/account.yaml]}]",
        "configMapGenerator: [{name: x, envs: [patch.yaml]}]",
        "secretGenerator: [{name: x, literals: [a=1]}]",
        "components: [../part]",
        "patches: [{target: {kind: Deploy.*}, path: patch.yaml}]",
        "patches: [{target: {labelSelector: a}, path: patch.yaml}]",
        "patches: [{target: {}, path: patch.yaml}]",
        "patches: [{target: {kind: Deployment}, path: patch.yaml, options: {allowNameChange: true}}]",
        "patches: [{target: {kind: Deployment}, patch: '[{op: remove, path: /spec/nope}]'}]",
        "patches: [{target: {kind: Deployment}, patch: '[{op: test, path: /kind, value: Deployment}]'}]",
        "patches: [{target: {kind: Deployment}, patch: '[{op: replace, path: /metadata/name, value: x}]'}]",
        "patches: [{target: {kind: Deployment}, patch: '[{op: add, path: /spec/template/spec/containers/5, value: {}}]'}]",
        "patches: [{target: {kind: Deployment}, patch: '[{op: copy, from: /kind, path: /x}]'}]",
        "patches: [{patch: '[{op: remove, path: /spec}]'}]",
        "patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: other}}'}]",
        "patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: null}'}]",
        "patches: [{patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, $patch: delete}'}]",
        "patches: [{path: missing.yaml}]",
        "namePrefix: UPPER-",
        "namePrefix: 7",
        "images: [{name: 'nginx*', newTag: v1}]",
        "images: [{name: nginx, newTag: 1}]",
        "images: [{name: nginx, tagSuffix: -a}]",
        "replicas: [{name: nobody, count: 1}]",
        "replicas: [{name: web, count: '1'}]",
        "labels: [{pairs: {a: b}, fields: [{path: x}]}]",
        "commonLabels: {yes: b}",
        "commonLabels: {a: 1}",
        "nope: 1",
        "resources: [../base]",
        "buildMetadata: [originAnnotations]",
        "sortOptions: {order: fifo}",
        "openapi: {path: x}",
        "kind: Component",
    ],
)
def test_what_is_not_plain_is_left_to_kustomize(builds: DirectBuilds, overlay: str) -> None:
    patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    files = {**BASE, "app/kustomization.yaml": f"resources: [../base]\n{overlay}\n", "app/patch.yaml": patch}
    assert _build(builds, files) is None


@pytest.mark.parametrize(
    "resource",
    [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n",
        "apiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: a}\n",
        "apiVersion: node.k8s.io/v1\nkind: Thing\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: ConfigMapList\nitems: []\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 1}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {}}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {config.kubernetes.io/local-config: 'true'}}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: ~}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
    ],
)
def test_objects_that_are_not_ordinary_are_left_to_kustomize(builds: DirectBuilds, resource: str) -> None:
    files = {"app/kustomization.yaml": "resources: [x.yaml]\n", "app/x.yaml": resource}
    assert _build(builds, files) is None


def test_custom_kinds_and_the_old_field_of_patches_are_built(builds: DirectBuilds) -> None:
    thing = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a, creationTimestamp: null}\nspec: {parts: [{name: x}]}\n"
    patch = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec: {parts: [{name: two}]}\n"
    kustomization = "resources: [x.yaml]\nnamePrefix: p-\npatchesStrategicMerge: [p.yaml]\n"
    built = _build(builds, {"app/kustomization.yaml": kustomization, "app/x.yaml": thing, "app/p.yaml": patch})
    assert built is not None
    assert built[0]["metadata"] == {"name": "p-a", "creationTimestamp": None}
    assert built[0]["spec"] == {"parts": [{"name": "two"}]}


def test_patches_with_a_target_are_built(builds: DirectBuilds) -> None:
    overlay = """\
resources: [../base]
patches:
- target: {kind: Deployment, name: web}
  patch: |
    - op: replace
      path: /spec/template/spec/containers/0/image
      value: nginx:1.28
    - op: add
      path: /metadata/labels
      value: {tier: front}
- target: {kind: ServiceAccount}
  patch: |
    kind: Any
    metadata: {name: any, annotations: {a: b}}
- target: {kind: Ingress}
  patch: "[{op: remove, path: /spec}]"
"""
    built = _build(builds, {**BASE, "app/kustomization.yaml": overlay})
    assert built is not None
    account, deployment = built
    assert account["metadata"] == {"name": "web", "annotations": {"a": "b"}}
    assert deployment["metadata"] == {"name": "web", "labels": {"tier": "front"}}
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.28"


def test_a_config_map_is_generated_with_a_hash_in_its_name(builds: DirectBuilds) -> None:
    files = {"app/kustomization.yaml": "configMapGenerator: [{name: web, literals: [z='true']}]\n"}
    built = _build(builds, files)
    assert built is not None
    assert built == [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web-9k6tgg5t56"}, "data": {"z": "true"}}
    ]


def test_files_outside_the_directory_are_left_to_kustomize(builds: DirectBuilds) -> None:
    files = {**BASE, "app/kustomization.yaml": "resources: [../base/account.yaml]\n"}
    assert _build(builds, files) is None


def test_options_are_left_to_kustomize(builds: DirectBuilds) -> None:
    files = {name: text.encode() for name, text in BASE.items()}
    assert builds.build(files, {"path": "base", "options": ["--load-restrictor=LoadRestrictionsNone"]}) is None
    assert builds.build(files, {"path": "base", "options": []}) is not None


@pytest.mark.parametrize(
    "text", ["a", "true", "12", "-1", "0", "100m", "64Mi", "1.2.3", "50%", "0.yaml", "../base", "nginx:1"]
)
def test_plain_scalars_that_mean_one_thing(text: str) -> None:
    assert is_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "~",
        "null",
        "yes",
        "on",
        "N",
        "True",
        "1.5",
        "1e3",
        "1E3",
        "007",
        "0x1",
        "0o7",
        "1_000",
        "2020-01-01",
        "12:30",
        ".inf",
        "-.5",
    ],
)
def test_plain_scalars_that_mean_several_things(text: str) -> None:
    assert not is_plain(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\n",
        "a: !!str b\n",
        "a: !x {}\n",
        "<<: {a: b}\n",
        "a: b\na: c\n",
        "? [a]\n: b\n",
        "a: >\n  b\n",
        'a: "\\x01"\n',
        'a: b # {"$ref": "x"}\n',
        "--- # a\na: b\n",
        "%YAML 1.1\n---\na: b\n",
        "a: b\r\n",
        "- a\n",
        "[]\n",
        "- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n",
        "a: [b\n",
    ],
)
def test_texts_that_are_out_of_the_ordinary(text: str) -> None:
    with pytest.raises(UnclearError):
        read_documents(text.encode())


def test_ordinary_texts_are_read() -> None:
    text = "# a comment\na: |\n  one\n  two\n---\nb: [x, 'yes', \"no\"]\n"
    assert read_documents(text.encode()) == [{"a": "one\ntwo\n"}, {"b": ["x", "yes", "no"]}]
