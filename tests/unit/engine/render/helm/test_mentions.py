"""What the text of a template may ask for through `.Files`."""

from __future__ import annotations

import gzip
import io
import tarfile
import time

import pytest

from tiphys.engine.render.helm.mentions import (
    ANYTHING,
    MAX_TEXT_BYTES,
    NOTHING,
    Mentions,
    mentions_of_archive,
    mentions_of_template,
    mentions_of_values,
)

EVERY = Mentions(every=True)


def names(*found: str) -> Mentions:
    return Mentions(names=frozenset(found))


def globs(*found: str) -> Mentions:
    return Mentions(globs=frozenset(found))


@pytest.mark.parametrize(
    ("template", "asks"),
    [
        ("kind: ConfigMap\ndata: {{ .Values.extraFiles | toYaml }}\n# Files: none", NOTHING),
        ("{{/* Files are not read: .Files.Get */}}{{- /* {{ .Files }} */ -}}", NOTHING),
        ("no action: .Files.Get .x", NOTHING),
        ('{{ fail "No Files here" }}', NOTHING),
        ('{{ .Files.Get "a.txt" }}', names("a.txt")),
        ('{{- $.Files.GetBytes `a.bin` | b64enc }}{{range .Files.Lines "b"}}{{end}}', names("a.bin", "b")),
        ('{{ $root.Files.Get "a" }}{{ (index . 1).Files.Get "b" }}{{ .context.Files.Get "c" }}', names("a", "b", "c")),
        ('{{ if true }}{{ "}}" }}{{ .Files.Get "a" }}{{ end }}', names("a")),
        ("{{ '\"' }}{{ .Files.Get .x }}{{ '\"' }}", EVERY),
        ('{{ (.Files.Glob "conf/*").AsConfig | indent 2 }}', globs("conf/*")),
        ('{{ $r := . }}{{ range $p, $_ := .Files.Glob "x/**" }}{{ $r.Files.Get $p }}{{ end }}', globs("x/**")),
        ('{{ $.Files.Get (printf "dash/%s.json" .Values.x) }}', Mentions(beginnings=frozenset({"dash/"}))),
        ('{{ $p := .x }}{{ range $p, $_ := .Files.Glob "x/**" }}{{ $.Files.Get $p }}{{ end }}', EVERY),
        ('{{ range $_, $p := .Files.Glob "x/**" }}{{ $.Files.Get $p }}{{ end }}', EVERY),
        ("{{ .Files.Get $p }}", EVERY),
        ("{{ .Files.Get .Values.file }}", EVERY),
        ('{{ .Files.Get (printf "%s.json" .Values.x) }}', EVERY),
        (r'{{ .Files.Get "a\x41" }}', EVERY),
        ('{{ "a" | .Files.Get }}', EVERY),
        ('{{ .Files.Glob "[" }}', EVERY),
        ("{{ range $p, $b := .Files }}{{ end }}", EVERY),
        ("{{ .Files.AsSecrets }}", EVERY),
        ('{{ (index . "Files").Get "a" }}', EVERY),
        ("{{ $f := .Files }}", EVERY),
        ("{{ toYaml . }}", EVERY),
        ("{{ . | toJson | b64enc }}", EVERY),
        ('{{ printf "%v" $ }}', EVERY),
        ("{{ . }}", EVERY),
        ("{{ (toYaml .) | sha256sum }}", EVERY),
        ("{{ range $k, $v := . }}{{ end }}", EVERY),
        ("{{ with .Values.x }}{{ toYaml $ }}{{ end }}", EVERY),
        ("{{ with .Values.x }}{{ else }}{{ toYaml . }}{{ end }}", EVERY),
        ("{{ with .Values.x }}{{ toYaml . | nindent 2 }}{{ . }}{{ end }}", NOTHING),
        ("{{ range .Values.x }}- {{ . | quote }}{{ if true }}{{ toYaml . }}{{ end }}{{ end }}", NOTHING),
        ('{{ define "a" }}{{ toYaml . }}{{ range . }}{{ . }}{{ end }}{{ end }}{{ include "a" .Values }}', NOTHING),
        ('{{ $root := . }}{{ include "x" (list . $) }}{{ print $.Template.BasePath "/x" }}', NOTHING),
        ("{{ tpl .Values.x . }}", Mentions(tpl=True)),
        ("{{ .Capabilities.KubeVersion }}", Mentions(capabilities=True)),
    ],
)
def test_what_a_template_asks_for(template: str, asks: Mentions) -> None:
    assert mentions_of_template(template.encode()) == asks


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        ("# Files to mount\nextraFiles: {a: b}\nvalueFiles: x\n", NOTHING),
        ('a: "{{ .Values.b }}"', NOTHING),
        ('a: "{{ .Files.Get \\"x\\" }}"', EVERY),
        ("a: '{{ (index . \"Files\").Get 1 }}'", EVERY),
        ("a: '{{ toYaml . }}'", EVERY),
        ("a: '{{- . -}}'", EVERY),
        ("a: '{{ .Capabilities.KubeVersion }}'", Mentions(capabilities=True)),
    ],
)
def test_what_values_ask_for(values: str, asks: Mentions) -> None:
    assert mentions_of_values(values.encode()) == asks


def packed(files: dict[str, str]) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return found.getvalue()


def test_a_packed_chart_is_looked_into() -> None:
    files = {
        "sub/Chart.yaml": "name: sub",
        "sub/README.md": "{{ .Files.Get .x }}",
        "sub/templates/a.yaml": '{{ .Files.Get "a" }}',
        "sub/charts/deep/templates/_h.tpl": "{{ tpl .x . }}",
    }
    assert mentions_of_archive(packed(files)) == Mentions(tpl=True, names=frozenset({"a"}))
    assert mentions_of_archive(packed({**files, "sub/values.yaml": "a: '{{ .Files }}'"})).every
    assert mentions_of_archive(packed({**files, "sub/charts/x.tgz": ""})) == ANYTHING


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", packed({"a": "b"})[:40], gzip.compress(b"no archive" * 200)],
    ids=["empty", "text", "cut off", "packed text"],
)
def test_of_a_packed_chart_that_cannot_be_read_anything_may_be_asked(data: bytes) -> None:
    assert mentions_of_archive(data) == ANYTHING


def _special(kind: bytes, name: str = "sub/templates/a.yaml", size: int = 0, linkname: str = "") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, linkname
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("blocks", "asks"),
    [
        (_special(tarfile.SYMTYPE, linkname="a.yaml"), NOTHING),
        (_special(tarfile.LNKTYPE, linkname="sub/templates/a.yaml"), NOTHING),
        (_special(tarfile.GNUTYPE_LONGNAME, size=1) * 20_000, ANYTHING),
        (_special(tarfile.REGTYPE, size=2**40), ANYTHING),
        (_special(tarfile.GNUTYPE_SPARSE, size=512)[:483] + b"%011o\0" % 2**30 + bytes(17), ANYTHING),
    ],
    ids=["a link to itself", "a hard link to itself", "names of names", "a size that is not there", "a file of holes"],
)
def test_hostile_archives_are_not_followed(blocks: bytes, asks: Mentions) -> None:
    began = time.process_time()
    assert mentions_of_archive(gzip.compress(blocks + bytes(1024))) == asks
    assert time.process_time() - began < 5.0


def test_an_archive_that_unpacks_to_very_much_is_not_unpacked() -> None:
    assert mentions_of_archive(gzip.compress(b"\0" * 64 * 1024 * 1024)) == ANYTHING


@pytest.mark.parametrize(
    "hostile",
    [
        b'{{ "' + b'\\"' * 200_000,
        b"{{ `" + b"'" * 400_000,
        b"{{/*" * 120_000,
        b"{{ " * 150_000,
        b"toYaml " * 70_000,
        b"{{ toYaml" + b" " * 500_000 + b"x",
        b"." + b" " * 500_000,
        b"{{ quote " + b"a " * 20_000 + b"}}",
        b"{{ Files" * 60_000,
        b"{{ . " * 100_000,
        b"a" * MAX_TEXT_BYTES + b"a",
    ],
    ids=range(11),
)
def test_hostile_text_is_looked_at_in_linear_time(hostile: bytes) -> None:
    began = time.process_time()
    mentions_of_template(hostile)
    mentions_of_values(hostile)
    assert time.process_time() - began < 5.0
