"""RepositoryBook: which credentials a project has for a repository URL.

Source: compat 8.1 "Template inheritance", "Repo lookup", "URL normalization", "Host keys / TLS / GPG".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from tiphys.credentials.secrets import (
    CredentialError,
    parse_repository,
    parse_template,
    refuse_unsupported,
    secret_project,
    secret_url,
)
from tiphys.model.codec import EMPTY
from tiphys.model.repository import RepoCreds, Repository, normalize_git_url

_TEMPLATE_FIELDS = tuple(f.name for f in fields(RepoCreds) if f.name not in ("url", "type"))


@dataclass(frozen=True, slots=True)
class _Entry:
    """One Secret: what it says, or why it says nothing."""

    secret: str
    project: str
    value: RepoCreds | None
    problem: str = ""

    def read(self) -> RepoCreds:
        if self.value is None:
            raise CredentialError(self.problem)
        return self.value


@dataclass(frozen=True, slots=True)
class RepositoryBook:
    """All repository Secrets, templates and known servers at one moment."""

    repositories: Mapping[str, tuple[_Entry, ...]] = EMPTY  # normal URL -> Secrets with it
    templates: tuple[tuple[str, _Entry], ...] = ()  # (normal URL, Secret), longest URL first
    known_hosts: str = ""
    certificates: Mapping[str, str] = field(default=EMPTY)  # host -> PEM
    projects: frozenset[str] = frozenset()  # those that have Secrets of their own

    def scope(self, url: str, project: str) -> str:
        """The project if it has a Secret or template of its own that may be about the URL, else the empty string.

        Projects with the same scope have the same credentials for the URL.
        """
        if not project or project not in self.projects:
            return ""
        normal = normalize_git_url(url)
        own = any(entry.project == project for entry in self.repositories.get(normal, ()))
        own = own or any(entry.project == project and _begins(normal, start) for start, entry in self.templates)
        return project if own else ""

    def find(self, url: str, project: str) -> Repository:
        """How Applications of a project reach a Git repository. Raises CredentialError.

        A Secret of the project itself goes before one for everybody; without one, or with one that has no credentials, the
        template with the longest matching URL counts. An unknown URL is read anonymously.

        Differs: a template without a path matches its own host only, not every host that begins like it; a template
        with a project is that project's alone.
        """
        normal = normalize_git_url(url)
        entries = self.repositories.get(normal, ())
        entry = next((e for e in entries if e.project == project), None)
        entry = entry or next((e for e in entries if not e.project), None)
        repository = Repository(url=url)
        name = ""
        if entry is not None:
            found = entry.read()
            assert isinstance(found, Repository)
            repository, name = replace(found, url=url), f"Secret {entry.secret}: "
        if not repository.has_credentials:
            for start, template in self.templates:
                if template.project in ("", project) and _begins(normal, start):
                    repository = _inherit(repository, template.read())
                    name = f"Secret {template.secret}: "
                    break
        refuse_unsupported(repository, name)
        return repository

    def of_project(self, project: str) -> tuple[str, ...]:
        """URLs of the repositories that are the project's own."""
        return (
            tuple(
                sorted(
                    normal
                    for normal, entries in self.repositories.items()
                    if any(e.project == project for e in entries)
                )
            )
            if project
            else ()
        )

    @property
    def owners(self) -> frozenset[tuple[str, str]]:
        """(project, normal URL) of every repository that is a project's own."""
        return frozenset((e.project, url) for url, entries in self.repositories.items() for e in entries if e.project)

    def certificate(self, host: str) -> str:
        """The CA certificates a server is to be checked with, as PEM; empty when the machine's own count."""
        return self.certificates.get(host, "")


EMPTY_BOOK = RepositoryBook()


def make_book(
    repositories: Iterable[Mapping[str, Any]],
    templates: Iterable[Mapping[str, Any]],
    *,
    known_hosts: str = "",
    certificates: Mapping[str, str] = EMPTY,
) -> RepositoryBook:
    """The book of these Secrets. One that cannot be read spoils nothing but its own repository."""
    by_url: dict[str, list[_Entry]] = {}
    for obj in sorted(repositories, key=_name):
        entry = _entry(obj, parse_repository)
        if entry.value is None or entry.value.type == "git":
            by_url.setdefault(normalize_git_url(secret_url(obj)), []).append(entry)
    starts = []
    for obj in sorted(templates, key=_name):
        entry = _entry(obj, parse_template)
        start = normalize_git_url(secret_url(obj))
        if start and (entry.value is None or entry.value.type == "git"):
            starts.append((start, entry))
    starts.sort(key=lambda pair: len(pair[0]), reverse=True)
    projects = {e.project for entries in by_url.values() for e in entries} | {e.project for _, e in starts}
    return RepositoryBook(
        {url: tuple(entries) for url, entries in by_url.items() if url},
        tuple(starts),
        known_hosts,
        certificates,
        frozenset(projects),
    )


def _entry(obj: Mapping[str, Any], parse: Any) -> _Entry:
    try:
        return _Entry(_name(obj), secret_project(obj), parse(obj))
    except CredentialError as error:
        return _Entry(_name(obj), secret_project(obj), None, str(error))


def _name(obj: Mapping[str, Any]) -> str:
    return str((obj.get("metadata") or {}).get("name") or "")


def _inherit(repository: Repository, template: RepoCreds) -> Repository:
    return replace(repository, inherited_creds=True, **{name: getattr(template, name) for name in _TEMPLATE_FIELDS})


def _begins(normal: str, start: str) -> bool:
    return normal.startswith(start) and _host(normal) == _host(start)


def _host(normal: str) -> str:
    """Host and port of a normal URL; one of ssh has no scheme any more."""
    try:
        return urlsplit(normal).netloc if "://" in normal else normal.partition("/")[0]
    except ValueError:
        return ""
