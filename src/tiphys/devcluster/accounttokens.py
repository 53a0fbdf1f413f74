"""Secrets of type `kubernetes.io/service-account-token`: filled with the token of the account they name.

Source: kubernetes pkg/controller/serviceaccount/tokens_controller.go: a Secret whose account is not there is deleted, as is
one of an account that was made anew.
"""

from __future__ import annotations

import base64
from typing import Any

from tiphys.devcluster import deletion
from tiphys.devcluster.auth import Authenticator
from tiphys.devcluster.background import Background
from tiphys.devcluster.deletion import DeleteOptions
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Record, Store
from tiphys.devcluster.writes import WriteOptions, Writer

Object = dict[str, Any]

TYPE = "kubernetes.io/service-account-token"
NAME = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"
MANAGER = "kube-controller-manager"


class TokenSecrets:
    """Follows Secrets and ServiceAccounts."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        writer: Writer,
        background: Background,
        auth: Authenticator,
        ca_pem: str,
    ) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._background = background
        self._auth = auth
        self._ca = base64.b64encode(ca_pem.encode()).decode()

    def start(self) -> None:
        """Look at every Secret and follow changes from now on."""
        self.look()
        self._store.watch("secrets", self)
        self._store.watch("serviceaccounts", self)

    def look(self) -> None:
        """Look at every Secret."""
        for record in self._store.scan("secrets"):
            self._look(record)

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        if event.bucket == "secrets":
            if event.type != "DELETED":
                self._look(event.record)
        elif event.type == "DELETED":
            for record in self._store.scan("secrets", event.record.namespace):
                self._look(record)

    def token_in(self, namespace: str, name: str) -> str | None:
        """The base64 token a Secret holds; None when it is gone or going."""
        record = self._store.get("secrets", f"{namespace}/{name}")
        if record is None or record.deleting:
            return None
        found = (record.obj.get("data") or {}).get("token")
        return str(found) if found else None

    def _look(self, record: Record) -> None:
        if TYPE.encode() in record.data and not record.deleting:
            key = record.key
            self._background.add(("token", key), lambda: self._fill(key))

    def _fill(self, key: str) -> None:
        record, resource = self._store.get("secrets", key), self._registry.stored("secrets")
        if record is None or resource is None or record.deleting or record.obj.get("type") != TYPE:
            return
        annotations = record.obj["metadata"].get("annotations") or {}
        account = self._store.get("serviceaccounts", f"{record.namespace}/{annotations.get(NAME)}")
        if account is None or annotations.get(UID) not in (None, "", account.uid):
            deletion.delete(self._store, resource, record, DeleteOptions(uid=record.uid), self._writer.clock)
            return
        data = record.obj.get("data") or {}
        if data.get("ca.crt") == self._ca and data.get("namespace") and data.get("token") and annotations.get(UID):
            return
        token = data.get("token") or self._encoded(record, account)
        namespace = data.get("namespace") or base64.b64encode(record.namespace.encode()).decode()

        def make(live: Object) -> Object:
            new = self._writer.rules.decode(resource, live).obj
            new["metadata"].setdefault("annotations", {})[UID] = account.uid
            new["data"] = {**(new.get("data") or {}), "ca.crt": self._ca, "namespace": namespace, "token": token}
            return new

        self._writer.update(resource, record, make, WriteOptions(manager=MANAGER))

    def _encoded(self, record: Record, account: Record) -> str:
        token = self._auth.issue_for_secret(record.namespace, account.name, account.uid, record.name)
        return base64.b64encode(token.encode()).decode()
