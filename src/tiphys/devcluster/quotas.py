"""Keeps the status of ResourceQuotas: what is used of each. That they are kept to is admission's work (see `strategy`)."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.devcluster.background import Background
from tiphys.devcluster.quota import bucket_of, read_share, used_of
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Record, Store
from tiphys.devcluster.writes import Writer

BUCKET = "resourcequotas"
MANAGER = "kube-controller-manager"
_CHANGING = frozenset(("pods", "services", "persistentvolumeclaims"))  # what others use does not change while they live


class Quotas:
    """Follows ResourceQuotas, and what counts for one in namespaces that have any."""

    def __init__(self, *, store: Store, registry: Registry, writer: Writer, background: Background) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._background = background
        self._followed: dict[str, frozenset[str]] = {}  # buckets that count, by namespace

    def start(self) -> None:
        """Look at every quota and follow changes from now on."""
        self.look()
        self._store.watch("*", self)

    def look(self) -> None:
        """Look at every quota."""
        for record in self._store.scan(BUCKET):
            self._note(record.namespace)

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        namespace, bucket = event.record.namespace, event.bucket
        if bucket == BUCKET:
            self._note(namespace)
            return
        followed = self._followed.get(namespace)
        if followed is None or bucket not in followed or (event.type == "MODIFIED" and bucket not in _CHANGING):
            return
        self._note(namespace)

    def _note(self, namespace: str) -> None:
        self._background.add((BUCKET, namespace), lambda: self._count(namespace))

    def _count(self, namespace: str) -> None:
        resource = self._registry.stored(BUCKET)
        records: list[Record] = list(self._store.scan(BUCKET, namespace))
        shares = [read_share(record.obj) for record in records]
        followed = frozenset(bucket_of(name) for share in shares for name in share.hard)
        if not records or resource is None:
            self._followed.pop(namespace, None)
            return
        self._followed[namespace] = followed
        objects = {bucket: [one.obj for one in self._store.scan(bucket, namespace)] for bucket in followed}
        for record, share in zip(records, shares, strict=True):
            status: Mapping[str, object] = {
                "hard": {name: str(amount) for name, amount in share.hard.items()},
                "used": {name: str(amount) for name, amount in used_of(share, objects).items()},
            }
            if record.obj.get("status") != status:
                self._writer.change_status(resource, record, dict(status), manager=MANAGER)
