"""FollowedRepositories: the book as it is now, kept up to date by what our namespace says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.credentials.book import EMPTY_BOOK, RepositoryBook, make_book
from tiphys.credentials.secrets import REPOSITORY, TEMPLATE
from tiphys.model.annotations import SECRET_TYPE_LABEL
from tiphys.settings.load import config_map_data

KNOWN_HOSTS_CM = "argocd-ssh-known-hosts-cm"
CERTIFICATES_CM = "argocd-tls-certs-cm"
_KNOWN_HOSTS_KEY = "ssh_known_hosts"

Object = Mapping[str, Any]


class FollowedRepositories:
    """Takes every ConfigMap and Secret of our namespace, keeps those about repositories; `changed` is told after a change."""

    def __init__(self) -> None:
        self.book: RepositoryBook = EMPTY_BOOK
        self.changed: Callable[[], None] = lambda: None
        self._objects: dict[tuple[str, str], Object] = {}

    def replace(self, kind: str, objects: Sequence[Object]) -> None:
        """All objects of a kind (ConfigMap, Secret) there are."""
        kept = {(kind, _name(obj)): obj for obj in objects if _is_about_repositories(kind, obj)}
        before = {key: obj for key, obj in self._objects.items() if key[0] == kind}
        if {key: _content(obj) for key, obj in kept.items()} == {key: _content(obj) for key, obj in before.items()}:
            return
        for key in before:
            del self._objects[key]
        self._objects.update(kept)
        self._rebuild()

    def event(self, kind: str, word: str, obj: Object) -> None:
        """One object was ADDED, MODIFIED or DELETED."""
        key = (kind, _name(obj))
        before = self._objects.get(key)
        now = obj if word != "DELETED" and _is_about_repositories(kind, obj) else None
        if before is None and now is None:
            return
        if now is None:
            del self._objects[key]
        elif before is not None and _content(before) == _content(now):
            return
        else:
            self._objects[key] = now
        self._rebuild()

    def _rebuild(self) -> None:
        by_type: dict[str, list[Object]] = {REPOSITORY: [], TEMPLATE: []}
        for (kind, _), obj in self._objects.items():
            if kind == "Secret":
                by_type[_secret_type(obj)].append(obj)
        known = self._objects.get(("ConfigMap", KNOWN_HOSTS_CM)) or {}
        certificates = self._objects.get(("ConfigMap", CERTIFICATES_CM)) or {}
        self.book = make_book(
            by_type[REPOSITORY],
            by_type[TEMPLATE],
            known_hosts=config_map_data(known).get(_KNOWN_HOSTS_KEY, ""),
            certificates=config_map_data(certificates),
        )
        self.changed()


def _is_about_repositories(kind: str, obj: Object) -> bool:
    if kind == "Secret":
        return _secret_type(obj) in (REPOSITORY, TEMPLATE)
    return kind == "ConfigMap" and _name(obj) in (KNOWN_HOSTS_CM, CERTIFICATES_CM)


def _secret_type(obj: Object) -> str:
    return str(((obj.get("metadata") or {}).get("labels") or {}).get(SECRET_TYPE_LABEL) or "")


def _name(obj: Object) -> str:
    return str((obj.get("metadata") or {}).get("name") or "")


def _content(obj: Object) -> tuple[str, object, object]:
    return _secret_type(obj), obj.get("data"), obj.get("stringData")
