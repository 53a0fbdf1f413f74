"""The build environment: what an Application tells its tools about itself, and how `$NAME` in a source is replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

REVISION_VARIABLE = "ARGOCD_APP_REVISION"  # with what its names begin that say which commit it is
_SPECIAL = frozenset("*#$@!?-0123456789")


def build_environment(
    *,
    app_name: str,
    namespace: str,
    project: str,
    revision: str,
    repo_url: str,
    path: str,
    target_revision: str,
) -> dict[str, str]:
    """The variables of one source at one revision. `app_name` is the instance name.

    Source: compat 1.2 "Build env".
    """
    return {
        "ARGOCD_APP_NAME": app_name,
        "ARGOCD_APP_NAMESPACE": namespace,
        "ARGOCD_APP_PROJECT_NAME": project,
        "ARGOCD_APP_REVISION": revision,
        "ARGOCD_APP_REVISION_SHORT": revision[:7],
        "ARGOCD_APP_REVISION_SHORT_8": revision[:8],
        "ARGOCD_APP_SOURCE_REPO_URL": repo_url,
        "ARGOCD_APP_SOURCE_PATH": path,
        "ARGOCD_APP_SOURCE_TARGET_REVISION": target_revision,
    }


class Consulted(Mapping[str, str]):
    """An environment that remembers what it was asked for: only that can have made a difference."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._asked: dict[str, None] = {}

    def __getitem__(self, name: str) -> str:
        self._asked[name] = None
        return self._env[name]

    def __iter__(self) -> Iterator[str]:
        for name in self._env:
            self._asked[name] = None
            yield name

    def __len__(self) -> int:
        return len(self._env)

    @property
    def asked(self) -> tuple[tuple[str, str | None], ...]:
        """Every name that was looked up, with its value; None for one that is not there."""
        return tuple((name, self._env.get(name)) for name in sorted(self._asked))


def envsubst(text: str, env: Mapping[str, str]) -> str:
    """`text` with `$NAME` and `${NAME}` replaced; unknown names become empty, `$$` becomes `$`.

    A `$` that no name follows stays; braces without a name, or never closed, are dropped.

    Source: compat 1.2 "Build env"; os.Expand of Go.
    """
    if "$" not in text:
        return text
    found: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0 and dollar + 1 < len(text):
        found.append(text[at:dollar])
        name, width = _name(text, dollar + 1)
        if name == "$":
            found.append("$")
        elif name:
            found.append(env.get(name, ""))
        elif not width:
            found.append("$")
        at = dollar + 1 + width
    found.append(text[at:])
    return "".join(found)


def _name(text: str, at: int) -> tuple[str, int]:
    """(name that begins at `at`, characters it takes); an empty name that takes some is bad syntax."""
    if text[at] == "{":
        end = text.find("}", at)
        if end < 0:
            return "", 1
        return text[at + 1 : end], end + 1 - at
    if text[at] in _SPECIAL:
        return text[at], 1
    end = at
    while end < len(text) and (text[end] == "_" or (text[end].isascii() and text[end].isalnum())):
        end += 1
    return text[at:end], end - at
