"""Core: the parts of the embedded cluster joined together, without HTTP."""

from __future__ import annotations

import asyncio
import logging

from tiphys.apimachinery.mergeschema import MergeSchemas
from tiphys.devcluster.accounttokens import TokenSecrets
from tiphys.devcluster.apiservices import AggregatedApis
from tiphys.devcluster.auth import Authenticator
from tiphys.devcluster.background import Background
from tiphys.devcluster.bootstrap import create_missing
from tiphys.devcluster.crds import Definitions
from tiphys.devcluster.eventlife import EventLife
from tiphys.devcluster.garbage import GarbageCollector
from tiphys.devcluster.namespaces import Namespaces
from tiphys.devcluster.ownership import Ownership
from tiphys.devcluster.quotas import Quotas
from tiphys.devcluster.rbac_aggregation import Aggregation
from tiphys.devcluster.rbac_gate import Gate, Mode
from tiphys.devcluster.resources import builtin_registry
from tiphys.devcluster.signing import SigningRequests
from tiphys.devcluster.store import Store
from tiphys.devcluster.strategy import Rules
from tiphys.devcluster.writes import Writer
from tiphys.runtime.clock import Clock
from tiphys.runtime.ids import Ids
from tiphys.runtime.secret import Secret

LOOK_AGAIN_S = 1.0

_log = logging.getLogger(__name__)


class Core:
    """Store, rules, and what the server does by itself. `start` needs a running event loop."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        ids: Ids,
        ca_pem: str,
        admin_token: Secret,
        signing_key: Secret,
        ca_key: Secret,
        merge_schemas: MergeSchemas | None = None,
        authorization: Mode = "rbac",
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.registry = builtin_registry()
        merge_schemas = merge_schemas or MergeSchemas.builtin()
        self.rules = Rules(store=store, registry=self.registry, ids=ids)
        self.writer = Writer(
            store=store,
            registry=self.registry,
            rules=self.rules,
            ownership=Ownership(self.registry, merge_schemas),
            clock=clock,
            ids=ids,
        )
        self.gate = Gate(store, authorization)
        self.background = Background()
        self.auth = Authenticator(
            admin_token=admin_token,
            signing_key=signing_key,
            lookup=self._uid_of,
            clock=clock,
            secret_token=lambda namespace, name: self._tokens.token_in(namespace, name),
        )
        self._tokens = TokenSecrets(
            store=store,
            registry=self.registry,
            writer=self.writer,
            background=self.background,
            auth=self.auth,
            ca_pem=ca_pem,
        )
        self._aggregation = Aggregation(
            store=store, registry=self.registry, writer=self.writer, background=self.background
        )
        self._quotas = Quotas(store=store, registry=self.registry, writer=self.writer, background=self.background)
        self._event_life = EventLife(store=store, registry=self.registry, clock=clock)
        self._signing = SigningRequests(
            store=store,
            registry=self.registry,
            writer=self.writer,
            background=self.background,
            ca_pem=ca_pem,
            ca_key=ca_key,
        )
        self._again: asyncio.TimerHandle | None = None
        self._definitions = Definitions(
            store=store,
            registry=self.registry,
            writer=self.writer,
            background=self.background,
            merge_schemas=merge_schemas,
        )
        self._aggregated = AggregatedApis(store=store, registry=self.registry, writer=self.writer)
        self._garbage = GarbageCollector(
            store=store, registry=self.registry, writer=self.writer, background=self.background
        )
        self._namespaces = Namespaces(
            store=store, registry=self.registry, writer=self.writer, background=self.background, ca_pem=ca_pem
        )

    def start(self, *, address: str, port: int) -> None:
        """Serve stored definitions, create what every cluster has, begin to follow changes.

        Definitions come first: the others walk over every kind there is.
        """
        loop = asyncio.get_running_loop()
        self.store.bind(loop)
        self._definitions.start()
        self._aggregated.start()
        self.gate.start()
        create_missing(self.writer, self.registry, address=address, port=port)
        self._garbage.start()
        self._namespaces.start()
        self._aggregation.start()
        self._tokens.start()
        self._signing.start()
        self._quotas.start()
        self._event_life.start()

        def undone(exc: Exception) -> None:
            if self._again is None:
                _log.warning("the store cannot be written; changes are refused until it can: %s", exc)
                self._again = loop.call_later(LOOK_AGAIN_S, again)
            self.rules.adopt_addresses()

        def again() -> None:
            """What the server itself wanted to write may have been undone, so it looks at everything again."""
            self._again = None
            self._definitions.look()
            self._aggregated.look()
            create_missing(self.writer, self.registry, address=address, port=port)
            self._garbage.look()
            self._namespaces.look()
            self._aggregation.look()
            self._tokens.look()
            self._signing.look()
            self._quotas.look()

        self.store.on_undone = undone

    def expire_events(self) -> None:
        """End the Events whose time is over; the server does so by itself within a second or so."""
        self._event_life.expire()

    def stop(self) -> None:
        """Do nothing more by itself."""
        self.store.on_undone = None
        if self._again is not None:
            self._again.cancel()
        self._event_life.stop()
        self.background.stop()

    def _uid_of(self, bucket: str, namespace: str, name: str) -> str | None:
        record = self.store.get(bucket, f"{namespace}/{name}")
        return record.uid if record is not None else None
