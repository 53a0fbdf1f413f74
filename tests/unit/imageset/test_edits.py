"""Images put into text: what changes, what stays byte for byte, and what is refused."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.yamljson import load_one
from tiphys.imageset.edits import (
    images_of_kustomization,
    images_of_manifests,
    images_of_values,
    parse_argument,
    set_in_kustomization,
    set_in_manifests,
    set_in_values,
    set_key,
)
from tiphys.imageset.yamltext import EditError, scalar

DIGEST = "sha256:24a0c4b4a4c0eb97a1aabb8e29f18e917d05abfe1b7a7c07857230879ce7d3d3"

KUSTOMIZATION = """\
# apps/my-app/kustomization.yaml
resources:
  - deployment.yaml
images:
  - name: host:5000/my-app
    newTag: abc12345  # CI updates only this part
  - {name: flow, newName: mirror/flow, newTag: "1.0"} # one line
# the end
"""


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _changed(before: str, after: str) -> list[str]:
    """Lines of the result that were not there."""
    there = set(_lines(before))
    return [line for line in _lines(after) if line not in there]


@pytest.mark.parametrize(
    ("images", "changed"),
    [
        (["host:5000/my-app:def6789a"], ["    newTag: def6789a  # CI updates only this part\n"]),
        (["host:5000/my-app=host:5000/my-app:def"], ["    newTag: def  # CI updates only this part\n"]),
        (["host:5000/my-app:12345678"], ['    newTag: "12345678"  # CI updates only this part\n']),
        (["host:5000/my-app:1.10"], ['    newTag: "1.10"  # CI updates only this part\n']),
        (["host:5000/my-app:1e3"], ['    newTag: "1e3"  # CI updates only this part\n']),
        (["host:5000/my-app:12e45678"], ['    newTag: "12e45678"  # CI updates only this part\n']),
        (["host:5000/my-app:0123"], ['    newTag: "0123"  # CI updates only this part\n']),
        (["host:5000/my-app:0x1F"], ['    newTag: "0x1F"  # CI updates only this part\n']),
        (["host:5000/my-app:true"], ['    newTag: "true"  # CI updates only this part\n']),
        (["host:5000/my-app:no"], ['    newTag: "no"  # CI updates only this part\n']),
        (["host:5000/my-app:null"], ['    newTag: "null"  # CI updates only this part\n']),
        (["host:5000/my-app:1_000"], ['    newTag: "1_000"  # CI updates only this part\n']),
        (["host:5000/my-app:1.2.3"], ["    newTag: 1.2.3  # CI updates only this part\n"]),
        (["host:5000/my-app:v1"], ["    newTag: v1  # CI updates only this part\n"]),
        (
            ["host:5000/my-app=mirror/app:v2"],
            ["    newName: mirror/app\n", "    newTag: v2  # CI updates only this part\n"],
        ),
        ([f"host:5000/my-app@{DIGEST}"], [f"    digest: {DIGEST}\n"]),
        (
            [f"host:5000/my-app:v2@{DIGEST}"],
            ["    newTag: v2  # CI updates only this part\n", f"    digest: {DIGEST}\n"],
        ),
        (["host:5000/my-app=*:v2"], ["    newTag: v2  # CI updates only this part\n"]),
        (["flow=mirror/flow:2.0"], ['  - {name: flow, newName: mirror/flow, newTag: "2.0"} # one line\n']),
        (["flow=*:2.0"], ['  - {name: flow, newName: mirror/flow, newTag: "2.0"} # one line\n']),
        (["flow:2.0"], ['  - {name: flow, newTag: "2.0"} # one line\n']),
        ([f"flow@{DIGEST}"], [f"  - {{name: flow, digest: {DIGEST}}} # one line\n"]),
        (["new:v1"], ["  - name: new\n", "    newTag: v1\n"]),
        (
            ["new=other/new:1.10", "host:5000/my-app:v2"],
            [
                "    newTag: v2  # CI updates only this part\n",
                "  - name: new\n",
                "    newName: other/new\n",
                '    newTag: "1.10"\n',
            ],
        ),
        (["host:5000/my-app:abc12345"], []),
        (["flow=mirror/flow:1.0"], []),
    ],
)
def test_kustomization(images: list[str], changed: list[str]) -> None:
    """Only lines of the entries change, and a tag is text to every reader."""
    outcome = set_in_kustomization(KUSTOMIZATION, [parse_argument(text) for text in images])
    assert _changed(KUSTOMIZATION, outcome.text) == changed
    assert bool(outcome.changes) is bool(changed)
    again = set_in_kustomization(outcome.text, [parse_argument(text) for text in images])
    assert again.text == outcome.text
    assert again.changes == ()


@pytest.mark.parametrize(
    ("before", "image", "after"),
    [
        ("resources: []\n", "a:v1", "resources: []\nimages:\n- name: a\n  newTag: v1\n"),
        ("resources: []", "a:v1", "resources: []\nimages:\n- name: a\n  newTag: v1\n"),
        ("resources: []\n# end\n\n", "a:v1", "resources: []\n# end\nimages:\n- name: a\n  newTag: v1\n\n"),
        ("resources: []\nimages: []\n", "a:1", 'resources: []\nimages: [{name: a, newTag: "1"}]\n'),
        ("images: [{name: b}]\n", "a:v1", "images: [{name: b}, {name: a, newTag: v1}]\n"),
        ("images: [{name: a}]\n", "a:v1", "images: [{name: a, newTag: v1}]\n"),
        ("images:\n- name: a\n", "a:v1", "images:\n- name: a\n  newTag: v1\n"),
        ("images:\n- name: a", "a:v1", "images:\n- name: a\n  newTag: v1"),
        ("images:\n- newTag: x\n  name: a\n", "a:v1", "images:\n- newTag: v1\n  name: a\n"),
        (f"images:\n- digest: {DIGEST}\n  name: a\n", "a:v1", "images:\n- name: a\n  newTag: v1\n"),
        ("images:\n- name: a\n  newTag: 'x'\n", "a:v1", "images:\n- name: a\n  newTag: 'v1'\n"),
        ('images:\n- name: a\n  newTag: "x"\n', "a:v1", 'images:\n- name: a\n  newTag: "v1"\n'),
        ("images:\n- name: a\n  newTag:\n", "a:v1", "images:\n- name: a\n  newTag: v1\n"),
        ("images:\n- name: a\n  newTag: 1.10\n", "a:1.10", 'images:\n- name: a\n  newTag: "1.10"\n'),
        ("images:\r\n- name: a # ü\r\n", "a:v1", "images:\r\n- name: a # ü\r\n  newTag: v1\r\n"),
        ("\ufeffimages:\n- name: a\n  newTag: x\n", "a:v1", "\ufeffimages:\n- name: a\n  newTag: v1\n"),
        ('{"images": [{"name": "a", "newTag": "x"}]}\n', "a:v1", '{"images": [{"name": "a", "newTag": "v1"}]}\n'),
        ('{"resources": []}', "a:v1", '{"resources": [], "images": [{"name": "a", "newTag": "v1"}]}'),
        (
            "namePrefix: x\npatches:\n- patch: |-\n    - a\n",
            "a:v1",
            "namePrefix: x\npatches:\n- patch: |-\n    - a\nimages:\n- name: a\n  newTag: v1\n",
        ),
        ("---\nimages:\n- name: a\n  newTag: &t x\n", "a:v1", "---\nimages:\n- name: a\n  newTag: &t v1\n"),
        ("", "a:v1", "images:\n- name: a\n  newTag: v1\n"),
    ],
)
def test_shapes_of_kustomizations(before: str, image: str, after: str) -> None:
    """Block and flow style, quotes, line ends, marks, JSON."""
    assert set_in_kustomization(before, [parse_argument(image)]).text == after


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("images: {a: b}\n", "images is not a list"),
        ("images: [\n", "while parsing"),
        ("images:\n- name: a\n- name: a\n", "line 3: a second entry for a"),
        ("a: b\n---\nc: d\n", "several documents"),
        ("images:\n- &x {name: a, newTag: x}\nother: *x\n", "without changing something else"),
        ("images:\n", "line 1: images is empty"),
        ("images:\n- name: a\n  newTag: |\n    x\n", "over several lines"),
        ("- a\n", "not an object"),
    ],
)
def test_kustomizations_that_are_refused(text: str, problem: str) -> None:
    """What cannot be edited in place is said; nothing is guessed."""
    with pytest.raises(EditError, match=problem):
        set_in_kustomization(text, [parse_argument("a:v1")])


MANIFESTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}   # the web
spec:
  template:
    spec:
      initContainers:
      - {name: init, image: "busybox:1.36"}
      containers:
      - name: web
        image: host:5000/web:1.0   # pinned
      - name: side
        image: 'host:5000/web/side:1.0'
---
# a job every night
apiVersion: batch/v1
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, image: "host:5000/web:1.0"}]}}}}}
---
apiVersion: v1
kind: ConfigMap
data: {image: "host:5000/web:1.0"}
"""


@pytest.mark.parametrize(
    ("image", "replaced"),
    [
        (
            "host:5000/web:2.0",
            [
                ("host:5000/web:1.0   #", "host:5000/web:2.0   #"),
                ('job, image: "host:5000/web:1.0"', 'job, image: "host:5000/web:2.0"'),
            ],
        ),
        ("busybox:1.37", [('"busybox:1.36"', '"busybox:1.37"')]),
        ("busybox=alpine:3", [('"busybox:1.36"', '"alpine:3"')]),
        ("busybox=alpine", [('"busybox:1.36"', '"alpine:1.36"')]),
        (f"busybox@{DIGEST}", [('"busybox:1.36"', f'"busybox@{DIGEST}"')]),
        ("host:5000/web/side:v2", [("'host:5000/web/side:1.0'", "'host:5000/web/side:v2'")]),
        ("host:5000/web/side=*:*", []),
    ],
)
def test_manifests(image: str, replaced: list[tuple[str, str]]) -> None:
    """Every container of that image, of any kind, and no text that looks like it."""
    expected = MANIFESTS
    for before, after in replaced:
        assert before in expected
        expected = expected.replace(before, after)
    outcome = set_in_manifests(MANIFESTS, [parse_argument(image)])
    assert outcome.text == expected
    assert len(outcome.changes) == len(replaced)
    assert set_in_manifests(expected, [parse_argument(image)]).changes == ()


def test_an_anchored_image_is_changed_once() -> None:
    """Both containers get it."""
    text = "spec:\n  containers:\n  - image: &i a:1\n  initContainers:\n  - image: *i\n"
    outcome = set_in_manifests(text, [parse_argument("a:2")])
    assert outcome.text == text.replace("a:1", "a:2")
    assert outcome.matched == {"a"}


def test_an_image_that_is_renamed_is_found_again() -> None:
    """The second run finds the new name and has nothing to do."""
    override = parse_argument("placeholder=host/app:v1")
    text = set_in_manifests("spec: {containers: [{image: placeholder}]}\n", [override]).text
    assert text == "spec: {containers: [{image: host/app:v1}]}\n"
    again = set_in_manifests(text, [override])
    assert again.changes == ()
    assert again.matched == {"placeholder"}


VALUES = """\
replicaCount: 1   # one is enough
image:
  repository: host:5000/web   # ours
  tag: "1.0"
  pullPolicy: IfNotPresent
sidecar:
  image: busybox:1.36
metrics:
  image: {registry: quay.io, repository: prom/exporter, tag: v1, digest: ""}
worker:
  image:
    repository: host:5000/worker
"""


@pytest.mark.parametrize(
    ("image", "replaced"),
    [
        ("host:5000/web:2.0", [('tag: "1.0"', 'tag: "2.0"')]),
        (
            "host:5000/web=mirror/web:2.0",
            [('tag: "1.0"', 'tag: "2.0"'), ("repository: host:5000/web ", "repository: mirror/web ")],
        ),
        ("busybox:1.37", [("busybox:1.36", "busybox:1.37")]),
        ("quay.io/prom/exporter:v2", [("tag: v1", "tag: v2")]),
        (
            "quay.io/prom/exporter=docker.io/me/exporter:v2",
            [
                (
                    "registry: quay.io, repository: prom/exporter, tag: v1",
                    "registry: docker.io, repository: me/exporter, tag: v2",
                )
            ],
        ),
        (f"quay.io/prom/exporter:v2@{DIGEST}", [('tag: v1, digest: ""', f'tag: v2, digest: "{DIGEST}"')]),
        (
            "host:5000/worker:1.10",
            [("repository: host:5000/worker\n", 'repository: host:5000/worker\n    tag: "1.10"\n')],
        ),
        ("host:5000/web:1.0", []),
    ],
)
def test_values(image: str, replaced: list[tuple[str, str]]) -> None:
    """`repository` and `tag`, with a registry or without, or a whole image."""
    expected = VALUES
    for before, after in replaced:
        assert before in expected
        expected = expected.replace(before, after)
    outcome = set_in_values(VALUES, [parse_argument(image)])
    assert outcome.text == expected
    assert bool(outcome.changes) is bool(replaced)


def test_a_tag_that_is_read_as_a_number_gets_quotes() -> None:
    """`tag: 1.10` is 1.1 to Helm; asking for 1.10 mends it."""
    text = "image:\n  repository: a\n  tag: 1.10\n"
    assert set_in_values(text, [parse_argument("a:1.10")]).text == text.replace("1.10", '"1.10"')


def test_a_digest_needs_a_place() -> None:
    """A chart that knows no digest would build a wrong name from it."""
    with pytest.raises(EditError, match="image: these values have no key `digest`"):
        set_in_values(VALUES, [parse_argument(f"host:5000/web@{DIGEST}")])


@pytest.mark.parametrize(
    ("text", "key", "after"),
    [
        ("image:\n  tag: x # here\n", "image.tag", "image:\n  tag: v1 # here\n"),
        ("image:\n  pull: Always\n", "image.tag", "image:\n  pull: Always\n  tag: v1\n"),
        ("image: {pull: Always}\n", "image.tag", "image: {pull: Always, tag: v1}\n"),
        ("a: b\n", "image.tag", "a: b\nimage:\n  tag: v1\n"),
        ("# nothing yet\n", "image.tag", "# nothing yet\nimage:\n  tag: v1\n"),
        ("", "tag", "tag: v1\n"),
        ("tag: v1\n", "tag", "tag: v1\n"),
        ("a: {b: {c: 1}}\n", "a.b.c", "a: {b: {c: v1}}\n"),
    ],
)
def test_a_key_of_values(text: str, key: str, after: str) -> None:
    """Set where it is, added where it is not."""
    outcome = set_key(text, key, "v1")
    assert outcome.text == after
    assert bool(outcome.changes) is (text != after)


@pytest.mark.parametrize(
    ("text", "key"),
    [("image: x\n", "image.tag"), ("image: []\n", "image.tag"), ("a:\n  b:\n", "a.c.d"), ("a: b\n", "a..b")],
)
def test_keys_that_lead_nowhere(text: str, key: str) -> None:
    """What is there is not overwritten by something of another shape."""
    with pytest.raises(EditError, match=f"--key {key}"):
        set_key(text, key, "v1")


@pytest.mark.parametrize(
    "text", ["nginx", "", "=a:1", "a=b:t g", "a:té", "a b:1", "a@sha256:short", "a=\n:1", "a:-x", "$(x):1", "a:1:2\n"]
)
def test_arguments_that_are_no_image(text: str) -> None:
    """Nothing gets into a file that no registry would take."""
    with pytest.raises(EditError):
        parse_argument(text)


def test_what_there_is() -> None:
    """Each form names its images with their lines."""
    assert [(found.line, found.image) for found in images_of_kustomization(KUSTOMIZATION)] == [
        (5, "host:5000/my-app:abc12345"),
        (7, "mirror/flow:1.0"),
    ]
    assert [found.image for found in images_of_manifests(MANIFESTS)] == [
        "busybox:1.36",
        "host:5000/web:1.0",
        "host:5000/web/side:1.0",
        "host:5000/web:1.0",
    ]
    assert [(found.where, found.image) for found in images_of_values(VALUES)] == [
        ("image", "host:5000/web:1.0"),
        ("sidecar.image", "busybox:1.36"),
        ("metrics.image", "quay.io/prom/exporter:v1"),
        ("worker.image", "host:5000/worker"),
    ]


@pytest.mark.parametrize(
    "tag",
    [
        "1",
        "1.10",
        "1e3",
        "1E3",
        "0123",
        "0o7",
        "0b1",
        "0xff",
        "true",
        "Yes",
        "off",
        "y",
        "null",
        "1_0",
        "1:30",
        ".5",
        "2026-01-01",
        "1.",
        "+1",
    ],
)
def test_a_plain_scalar_stays_text(tag: str) -> None:
    """Whatever a tag looks like, YAML 1.1 and 1.2 read text."""
    assert scalar(tag) == f'"{tag}"'
    assert load_one(scalar(tag)) == tag
