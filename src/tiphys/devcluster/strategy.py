"""Rules: what the server does to an object of a kind between the request's body and the store.

Reading into the kind's form, defaults, admission, validation. Built-in kinds follow their Go structs; custom ones the
schema of their definition. The steps are in the order of the real server: decode, default, (ownership), prepare, validate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tiphys.apimachinery import apierrors, goshapes
from tiphys.apimachinery.apierrors import BadRequest, FieldCause, invalid_value
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster import admission, certificates, limitranges, quota, resize, validation
from tiphys.devcluster.addresses import Addresses, AddressPool
from tiphys.devcluster.admission import Admission
from tiphys.devcluster.advice import advice
from tiphys.devcluster.defaults import default_in_place
from tiphys.devcluster.resources import Registry, Resource
from tiphys.devcluster.store import Event, Store
from tiphys.runtime.ids import Ids

Object = dict[str, Any]

_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_SIGNING_REQUESTS = "certificatesigningrequests.certificates.k8s.io"


class Decoded(NamedTuple):
    """An object in its kind's form, sharing nothing with the input, and the fields the kind does not have."""

    obj: Object
    unknown: list[str]


class StoreLookup:
    """Reading the store as admission does: by `group/version/plural`."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """One object, None when there is none."""
        bucket = self._bucket(resource)
        record = self._store.get(bucket, f"{namespace}/{name}") if bucket else None
        return record.obj if record is not None else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Mapping[str, Any]]:
        """All objects of a namespace, or of all with None."""
        bucket = self._bucket(resource)
        return [record.obj for record in self._store.scan(bucket, namespace)] if bucket else []

    def _bucket(self, name: str) -> str:
        found = find_resource(self._registry, name)
        return found.bucket if found is not None else ""


def find_resource(registry: Registry, name: str) -> Resource | None:
    """The resource `apps/v1/deployments` or `v1/pods` names."""
    parts = name.split("/")
    group, version, plural = parts if len(parts) == 3 else ("", *parts)
    return registry.lookup(group, version, plural)


class Rules:
    """What is particular to kinds; one for the whole server."""

    def __init__(self, *, store: Store, registry: Registry, ids: Ids) -> None:
        self._store = store
        self._lookup = StoreLookup(store, registry)
        self._ids = ids
        self.adopt_addresses()
        store.watch("services", self)

    def adopt_addresses(self) -> None:
        """Take the addresses and ports in use from the stored Services."""
        self.addresses = AddressPool()
        for record in self._store.scan("services"):
            self.addresses.adopt(record.obj)

    def decode(self, resource: Resource, raw: Mapping[str, Any]) -> Decoded:
        """`raw` as an object of the resource. Raises BadRequest on a value of the wrong type."""
        if resource.custom is not None:
            return Decoded(*resource.custom.decode(raw, resource))
        try:
            found = goshapes.decode(raw, _gvk(resource))
        except goshapes.DecodeError as exc:
            raise BadRequest(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {exc}'
            ) from None
        return Decoded(found.obj, found.unknown)

    def check_kind(self, resource: Resource, gvk: GroupVersionKind, name: str) -> None:
        """A body of a custom resource that says it is of another kind or version. Raises Invalid, BadRequest."""
        if gvk.kind != resource.kind:
            cause = invalid_value("kind", gvk.kind, f"must be {resource.kind}")
            raise apierrors.invalid(gvk.kind, gvk.group, name, [cause])
        if (gvk.group, gvk.version) != (resource.group, resource.version):
            raise BadRequest(
                f"the API version in the data ({gvk.api_version}) does not match the expected API version"
                f" ({resource.api_version})"
            )

    def default(self, resource: Resource, obj: Object, *, applied: bool = False) -> None:
        """Fill the kind's defaults into `obj`, which belongs to the caller. `applied`: nulls are not left out of it."""
        if resource.custom is None:
            default_in_place(obj, _gvk(resource))
        else:
            resource.custom.default(obj, keep_nulls=applied)

    def prepare_create(self, resource: Resource, obj: Object, *, now: str, user: Mapping[str, Any] | None) -> None:
        """What the kind's strategy and admission put into a new object. Raises ApiError."""
        context = self._context(resource, now, str(obj["metadata"].get("uid") or ""), user)
        admission.prepare_create(obj, _gvk(resource), context, has_status=resource.has_status)

    def prepare_update(self, resource: Resource, old: Object, new: Object, subresource: str, *, now: str) -> None:
        """Carry over what an update through this path may not change; count the generation. Raises ApiError."""
        context = self._context(resource, now, "", None)
        admission.prepare_update(old, new, _gvk(resource), subresource, context, has_status=resource.has_status)

    def validate(self, resource: Resource, obj: Object, old: Object | None, subresource: str) -> list[FieldCause]:
        """Every problem of an object about to be stored."""
        gvk = _gvk(resource)
        if old is None:
            causes = validation.validate_create(obj, gvk, namespaced=resource.namespaced)
        else:
            causes = validation.validate_update(obj, old, gvk, subresource, namespaced=resource.namespaced)
        if resource.custom is not None:
            found = resource.custom.validate(obj, old)
            causes += found if subresource != "status" else [_below_status(one) for one in found]
        if resource.bucket == "pods" and subresource == "resize" and old is not None:
            causes += resize.problems(old, obj)
        if resource.bucket == _SIGNING_REQUESTS and old is not None and subresource:
            causes += certificates.status_problems(old, obj, approving=subresource == "approval")
        return causes

    def advice(self, resource: Resource, obj: Object, old: Object | None, subresource: str) -> list[str]:
        """What the server says in warnings about an object it takes."""
        if resource.custom is not None:
            return _finalizer_advice(obj, old)
        return [] if subresource else advice(_gvk(resource).group_kind, obj, old)

    def check_limits(self, resource: Resource, new: Object, old: Object | None) -> None:
        """Whether an object keeps to the limits of its namespace, which has enough left for it. Raises Forbidden."""
        if old is not None and resource.bucket not in ("services", quota.CLAIMS):
            return
        namespace = str(new["metadata"].get("namespace") or "")
        if resource.bucket in limitranges.BUCKETS:
            for record in self._store.scan("limitranges", namespace):
                if why := limitranges.why_not(record.obj, resource.bucket, new):
                    name = str(new["metadata"].get("name") or "")
                    raise apierrors.forbidden(resource.plural, resource.group, name, why)
        quotas = self._store.scan("resourcequotas", namespace) if namespace else []
        if not quotas:
            return
        shares = [quota.read_share(record.obj) for record in quotas]
        bucket = resource.bucket
        others = {bucket: [record.obj for record in self._store.scan(bucket, namespace)]}
        why = quota.why_not(shares, bucket, new, old, others)
        if why:
            raise apierrors.forbidden(resource.plural, resource.group, str(new["metadata"].get("name") or ""), why)

    def stored(self, resource: Resource, new: Object, old: Object | None) -> None:
        """Take note that an object was stored."""
        if resource.bucket == "services":
            if old is not None:
                self.addresses.release(old)
            self.addresses.adopt(new)

    def offer(self, event: Event) -> None:
        """Take note of the end of a Service: what it had is free again."""
        if event.type == "DELETED":
            self.addresses.release(event.record.obj)

    def _context(self, resource: Resource, now: str, uid: str, user: Mapping[str, Any] | None) -> Admission:
        # What a request takes from the pool is its own until the Service is stored.
        addresses: Addresses = self.addresses.fork() if resource.bucket == "services" else self.addresses
        return Admission(self._lookup, addresses, self._ids.suffix, now, uid, user)


_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")


def _finalizer_advice(obj: Object, old: Object | None) -> list[str]:
    """Source: apiextensions-apiserver pkg/registry/customresource/strategy.go."""
    known = (old or {}).get("metadata", {}).get("finalizers") or ()
    advised = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    return [
        f'metadata.finalizers: "{one}": {advised}'
        for one in obj["metadata"].get("finalizers") or ()
        if "/" not in one and one not in _STANDARD_FINALIZERS and one not in known
    ]


def _below_status(cause: FieldCause) -> FieldCause:
    """The cause as it is said of an update of the status, which is judged by itself."""
    name = cause.field.removeprefix("status.")
    return FieldCause(cause.reason, cause.message.replace(f": {cause.field} in body", f": {name} in body"), cause.field)


def _gvk(resource: Resource) -> GroupVersionKind:
    return GroupVersionKind(resource.group, resource.version, resource.kind)
