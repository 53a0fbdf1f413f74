"""Signing: gives approved CertificateSigningRequests of the client signer their certificate."""

from __future__ import annotations

import base64
from typing import Any

from tiphys.devcluster.background import Background
from tiphys.devcluster.certificates import CLIENT_SIGNER, RequestError, sign
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Record, Store
from tiphys.devcluster.writes import Writer
from tiphys.runtime.clock import format_time
from tiphys.runtime.secret import Secret

BUCKET = "certificatesigningrequests.certificates.k8s.io"
MANAGER = "kube-controller-manager"


class SigningRequests:
    """Follows CertificateSigningRequests. Signs with the key of the authority that logins by certificate are checked with."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        writer: Writer,
        background: Background,
        ca_pem: str,
        ca_key: Secret,
    ) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._background = background
        self._ca_pem = ca_pem
        self._ca_key = ca_key

    def start(self) -> None:
        """Look at what is stored and follow changes from now on."""
        self.look()
        self._store.watch(BUCKET, self)

    def look(self) -> None:
        """Look at what is stored."""
        for record in self._store.scan(BUCKET):
            self._look(record)

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        if event.type != "DELETED":
            self._look(event.record)

    def _look(self, record: Record) -> None:
        if _waits(record):
            self._background.add((BUCKET, record.key), lambda: self._answer(record.key))

    def _answer(self, key: str) -> None:
        record, resource = self._store.get(BUCKET, key), self._registry.stored(BUCKET)
        if record is None or resource is None or not _waits(record):
            return
        status: dict[str, Any] = dict(record.obj.get("status") or {})
        clock = self._writer.clock
        try:
            pem = sign(record.obj["spec"], ca_pem=self._ca_pem, ca_key=self._ca_key, now=clock.now())
        except RequestError as exc:
            now = format_time(clock.now())
            failed = {
                "type": "Failed",
                "status": "True",
                "reason": "SignerValidationFailure",
                "message": str(exc),
                "lastUpdateTime": now,
                "lastTransitionTime": now,
            }
            status["conditions"] = [*(status.get("conditions") or ()), failed]
        else:
            status["certificate"] = base64.b64encode(pem).decode()
        self._writer.change_status(resource, record, status, manager=MANAGER)


def _waits(record: Record) -> bool:
    """Approved, ours to sign, and neither signed nor refused."""
    status = record.obj.get("status") or {}
    kinds = {one.get("type") for one in status.get("conditions") or () if one.get("status") == "True"}
    ours = (record.obj.get("spec") or {}).get("signerName") == CLIENT_SIGNER
    return ours and "Approved" in kinds and not kinds & {"Denied", "Failed"} and not status.get("certificate")
