"""ClusterRoles that gather the rules of others: kept up to date as the others change.

Source: kubernetes pkg/controller/clusterroleaggregation; it applies the rules server-side, as here.
"""

from __future__ import annotations

import orjson

from tiphys.apimachinery.selector import SelectorError, parse_label_selector
from tiphys.devcluster.background import Background
from tiphys.devcluster.patches import PatchRequest
from tiphys.devcluster.rbac_index import CLUSTER_ROLES, GROUP
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Store
from tiphys.devcluster.writes import WriteOptions, Writer

MANAGER = "clusterrole-aggregation-controller"


class Aggregation:
    """Follows ClusterRoles."""

    def __init__(self, *, store: Store, registry: Registry, writer: Writer, background: Background) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._background = background

    def start(self) -> None:
        """Bring every role up to date and follow changes from now on."""
        self.look()
        self._store.watch(CLUSTER_ROLES, self)

    def look(self) -> None:
        """Look at every role, once the current turn is over."""
        self._background.add(("aggregate",), self._gather_all)

    def offer(self, event: Event) -> None:
        """Any role may be one that is gathered."""
        del event
        self.look()

    def _gather_all(self) -> None:
        for record in self._store.scan(CLUSTER_ROLES):
            if b'"aggregationRule"' in record.data:
                self._gather(record.name)

    def _gather(self, name: str) -> None:
        record = self._store.get(CLUSTER_ROLES, "/" + name)
        resource = self._registry.stored(CLUSTER_ROLES)
        selectors = ((record.obj.get("aggregationRule") or {}).get("clusterRoleSelectors")) if record else None
        if record is None or resource is None or not selectors:
            return
        rules: list[object] = []
        seen: set[bytes] = set()
        for raw in selectors:
            try:
                selector = parse_label_selector(raw)
            except SelectorError:
                return
            for one in self._store.scan(CLUSTER_ROLES):
                if one.name == name or not selector.matches(one.labels):
                    continue
                for rule in one.obj.get("rules") or ():
                    key = orjson.dumps(rule, option=orjson.OPT_SORT_KEYS)
                    if key not in seen:
                        seen.add(key)
                        rules.append(rule)
        if rules == (record.obj.get("rules") or []):
            return
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules,
        }
        options = WriteOptions(manager=MANAGER, field_validation="Ignore", force=True)
        self._writer.patch(resource, "", name, PatchRequest("apply", body), options)
