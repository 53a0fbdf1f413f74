"""What the text of a chart may ask for beside its values: the cluster's capabilities, and files through `.Files`.

Templates are cut into tokens, nothing is run; values are only searched. What is found may be too much: then a file too
many is read.

Differs: a template that spells `Files` so that the word is not in its text, or that hands its whole root to a named template
which writes all of it down, finds the files missing that Helm would show it, because looking for such would make every
chart read all of its folder, and so every commit there a render of all that share it.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tiphys.engine.render.globs import Glob, GlobError

# Tenants write these texts, and they are looked at in the engine's process: above this, anything may be asked for.
MAX_TEXT_BYTES = 512 * 1024
MAX_TOKENS = 50_000
MAX_ARCHIVE_BYTES = 16 * 1024 * 1024
MAX_ARCHIVE_FILES = 5_000

_CAPABILITIES = re.compile(rb"Capabilities|kubeVersion")
_TPL = re.compile(rb"(?<!\w)tpl(?!\w)")
# As a field or at the start of a string; a word of prose or of YAML has a space, a letter or a `#` before it.
_FILES = re.compile(rb"(?<![\s\w#])Files(?!\w)")
_WHOLE = re.compile(rb"(?:\{|\(|(?<!\w)(?:to|mustTo)[A-Z]\w*|(?<!\w)print[fl]?n?)[\s-]*[.$][\s-]*[|)}]")
_DOT_OR_DOLLAR = re.compile(rb"[.$][\s-]*[|)}]|[.$]\s+[^\s=:]")

# One token of an action; each character belongs to exactly one, so that the time it takes is linear.
_TOKEN = re.compile(
    rb"\s++|-?\}\}|/\*|\"(?:[^\"\\\n]|\\.)*+\"?|`[^`]*+`?|'(?:[^'\\\n]|\\.)*+'?|[.$\w]++|:=|.",
    re.DOTALL,
)
_READERS = frozenset((b"Get", b"GetBytes", b"Lines"))
_WRITERS = frozenset(b"print printf println quote squote cat join values toString toStrings html js urlquery".split())
_OPENING = frozenset((b"{{", b"(", b"|", b":=", b"=", b"if", b"with", b"range", b"else"))


@dataclass(frozen=True, slots=True)
class Mentions:
    """What texts may ask for.

    `tpl` says that values are templates, too. Of a chart's other files `every` one is asked for, or those with these
    `names`, those that match these `globs` and those whose paths start with one of `beginnings`; all relative to a chart.
    """

    capabilities: bool = False
    tpl: bool = False
    every: bool = False
    names: frozenset[str] = frozenset()
    globs: frozenset[str] = frozenset()
    beginnings: frozenset[str] = frozenset()

    def __or__(self, other: Mentions) -> Mentions:
        if other in (NOTHING, self):
            return self
        return Mentions(
            self.capabilities or other.capabilities,
            self.tpl or other.tpl,
            self.every or other.every,
            self.names | other.names,
            self.globs | other.globs,
            self.beginnings | other.beginnings,
        )


NOTHING = Mentions()
ANYTHING = Mentions(capabilities=True, tpl=True, every=True)


def mentions_of_values(text: bytes) -> Mentions:
    """What a text that is no template, but that `tpl` may make one, asks for."""
    if len(text) > MAX_TEXT_BYTES:
        return ANYTHING
    capabilities = _CAPABILITIES.search(text) is not None
    every = _FILES.search(text) is not None or _WHOLE.search(text) is not None
    return Mentions(capabilities, every=every) if capabilities or every else NOTHING


def mentions_of_template(text: bytes) -> Mentions:
    """What one template asks for."""
    if len(text) > MAX_TEXT_BYTES:
        return ANYTHING
    found = Mentions(_CAPABILITIES.search(text) is not None, _TPL.search(text) is not None)
    if b"Files" in text or _DOT_OR_DOLLAR.search(text):
        found |= _Template(text).mentions()
    return found


def mentions_of_archive(packed: bytes) -> Mentions:
    """What the templates and values in a packed chart ask for; anything when it cannot be looked into."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    found = NOTHING
    try:
        data = unpacker.decompress(packed, MAX_ARCHIVE_BYTES)
        if not unpacker.eof:
            return ANYTHING
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_ARCHIVE_FILES or member.name.endswith(".tgz"):
                    return ANYTHING
                folders, _, name = member.name.rpartition("/")
                is_template = "templates" in folders.split("/")
                if member.isreg() and (is_template or name in ("values.yaml", "Chart.yaml")):
                    if member.size > MAX_TEXT_BYTES or member.issparse():
                        return ANYTHING
                    file = archive.extractfile(member)
                    text = file.read() if file is not None else b""
                    found |= mentions_of_template(text) if is_template else mentions_of_values(text)
    except Exception:  # whatever is wrong with it, Helm is to say so
        return ANYTHING
    return found


class _Template:
    """One walk through the actions of a template."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._every = False
        self._names: set[str] = set()
        self._globs: set[str] = set()
        self._beginnings: set[str] = set()
        # Variables: how often each is set, how often by a range over the paths that a literal glob gives.
        self._set: Counter[bytes] = Counter()
        self._set_to_path: Counter[bytes] = Counter()
        self._read: set[bytes] = set()
        self._blocks: list[bytes] = []

    def mentions(self) -> Mentions:
        """What its actions ask for, but for capabilities and `tpl`."""
        room = MAX_TOKENS
        for tokens in _actions(self._text):
            room -= len(tokens)
            if room < 0:
                return ANYTHING
            self._files(tokens)
            self._whole(tokens)
            self._block(tokens)
            if self._every:
                return Mentions(every=True)
        # `range $path, $_ := .Files.Glob "conf/*"`: what is read by $path is among the files that match.
        if any(self._set[name] != self._set_to_path[name] or not self._set[name] for name in self._read):
            return Mentions(every=True)
        return Mentions(
            names=frozenset(self._names),
            globs=frozenset(self._globs),
            beginnings=frozenset(self._beginnings),
        )

    def _files(self, tokens: list[bytes]) -> None:
        for at, token in enumerate(tokens):
            if token[:1] in (b'"', b"`"):
                self._every |= _FILES.search(token) is not None
            elif _is_variable(token) and (tokens[at + 1] in (b":=", b"=", b",") or tokens[at - 1] == b","):
                self._set[token] += 1
            elif b"Files" in token:
                self._asked(token.split(b"."), tokens, at)

    def _asked(self, chain: list[bytes], tokens: list[bytes], at: int) -> None:
        if b"Files" not in chain:
            return
        if len(chain) < 2 or chain[-2] != b"Files" or chain.count(b"Files") > 1:
            self._every = True
            return
        argument = tokens[at + 1]
        literal = _literal(argument)
        if chain[-1] in _READERS and literal is not None:
            self._names.add(literal)
        elif chain[-1] in _READERS and _is_variable(argument):
            self._read.add(argument)
        elif chain[-1] == b"Glob" and literal is not None and _readable(literal):
            self._globs.add(literal)
            before = tokens[max(at - 5, 0) : at]
            if len(before) == 5 and (before[0], before[2], before[4]) == (b"range", b",", b":="):
                self._set_to_path[before[1]] += 1
        elif chain[-1] in _READERS and tokens[at + 1 : at + 3] == [b"(", b"printf"]:
            start = (_literal(tokens[at + 3]) or "").partition("%")[0]
            self._beginnings.add(start)
            self._every |= not start
        else:
            self._every = True

    def _whole(self, tokens: list[bytes]) -> None:
        """Is `.` or `$` written down as a whole where that is the root, which has `Files` in it?

        In a named template it is what the caller hands over, which is next to never the root.
        """
        if b"define" in self._blocks:
            return
        rebound = b"with" in self._blocks
        heads: list[bytes] = []  # the functions that are called around here, the innermost last
        head = before = b"{{"
        ranged = False
        for at, token in enumerate(tokens):
            ranged |= token == b"range"
            if token == b"(":
                heads.append(head)
            elif token == b")":
                head = heads.pop() if heads else b""
            elif before in _OPENING:
                head = token
            if token == b"$" or (token == b"." and not rebound):
                piped = tokens[at + 1] == b"|"
                alone = before in (b"{{", b"(") or (before in _OPENING and (ranged or piped))
                self._every |= alone or head in _WRITERS or head.startswith((b"to", b"mustTo"))
            before = token

    def _block(self, tokens: list[bytes]) -> None:
        """Which blocks are open after this action; `with` stands for all that give `.` another meaning."""
        word, blocks = tokens[0], self._blocks
        if word in (b"with", b"range"):
            blocks.append(b"with")
        elif word == b"if":
            blocks.append(b"if")
        elif word in (b"define", b"block"):
            blocks.append(b"define")
        elif word == b"else" and blocks and blocks[-1] != b"define":
            blocks[-1] = b"with" if tokens[1] == b"with" else b"if"
        elif word == b"end" and blocks:
            blocks.pop()


def _actions(text: bytes) -> Iterator[list[bytes]]:
    """The tokens of each action, blanks and trim markers left out, with one empty token after the last."""
    at = text.find(b"{{")
    comments = True
    while at >= 0:
        at += 2
        tokens: list[bytes] = []
        for match in _TOKEN.finditer(text, at):
            token = match.group()
            at = match.end()
            if token == b"/*" and comments and not tokens:
                end = text.find(b"*/", at)
                comments = end >= 0
                if comments:
                    at = end + 2
                    break
            if token in (b"}}", b"-}}"):
                break
            if not token.isspace() and not (token == b"-" and not tokens):
                tokens.append(token)
                if len(tokens) > MAX_TOKENS:
                    break
        if tokens:
            yield [*tokens, b""]
        at = text.find(b"{{", at)


def _is_variable(token: bytes) -> bool:
    return token[:1] == b"$" and b"." not in token


def _literal(token: bytes) -> str | None:
    """What a token that is a whole string without escapes stands for."""
    if len(token) < 2 or token[:1] not in (b'"', b"`") or token[-1:] != token[:1]:
        return None
    if token[:1] == b'"' and b"\\" in token:
        return None
    return token[1:-1].decode("utf-8", "surrogateescape")


def _readable(glob: str) -> bool:
    try:
        Glob(glob)
    except GlobError:
        return False
    return True
