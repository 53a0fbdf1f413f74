"""Create, update and patch: from a request's body to an object in the store, in the order of the real server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import ApiError, BadRequest, invalid_value
from tiphys.devcluster import objectmeta
from tiphys.devcluster.conversion import convert
from tiphys.devcluster.deletion import finish_if_due
from tiphys.devcluster.ownership import Ownership
from tiphys.devcluster.patches import PatchRequest, check_type, patched, unreadable
from tiphys.devcluster.patchtexts import converter_problem
from tiphys.devcluster.resources import Registry, Resource
from tiphys.devcluster.store import Record, Store
from tiphys.devcluster.strategy import Rules
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.ids import Ids

Object = dict[str, Any]

# Built-in resources a PUT may create, and those it may not change without saying from which version.
_CREATE_ON_UPDATE = frozenset(
    (
        "endpoints",
        "events",
        "limitranges",
        "services",
        "leases.coordination.k8s.io",
        "runtimeclasses.node.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
    )
)
_VERSION_REQUIRED = frozenset(
    (
        "leases.coordination.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "poddisruptionbudgets.policy",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "csistoragecapacities.storage.k8s.io",
        "runtimeclasses.node.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
    )
)


_OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of a writing request. `manager` is who the fields will belong to."""

    manager: str
    dry_run: bool = False
    field_validation: str = "Warn"  # Ignore, Warn or Strict
    force: bool = False
    user: Mapping[str, Any] | None = None  # the caller as a TokenReview shows it
    guard: Callable[[Object, Object | None], None] | None = None  # refuses what (new, live) must not become


@dataclass(slots=True)
class Outcome:
    """What a write left behind. `rv` is what must be committed before the answer is sent."""

    obj: Object
    created: bool = False
    rv: int = 0
    warnings: list[str] = field(default_factory=list)


class Writer:
    """Creates and changes objects of all kinds. Synchronous: what it reads and what it writes cannot interleave."""

    def __init__(
        self, *, store: Store, registry: Registry, rules: Rules, ownership: Ownership, clock: Clock, ids: Ids
    ) -> None:
        self.store = store
        self.registry = registry
        self.rules = rules
        self.ownership = ownership
        self.clock = clock
        self.ids = ids

    # ---- create ----

    def create(
        self,
        resource: Resource,
        namespace: str,
        obj: Object,
        options: WriteOptions,
        *,
        warnings: list[str] | None = None,
        name: str = "",
    ) -> Outcome:
        """Store a new object, decoded and the store's from here on.

        `name` is set when the object must be that one (PUT or apply of what is not there).
        """
        metadata = _metadata(obj)
        self._check_namespace(resource, namespace, metadata)
        if (given := metadata.get("resourceVersion") or "0").isdigit() and int(given):
            raise ApiError("resourceVersion should not be set on objects to be created")
        self._check_parent(resource, namespace, metadata.get("name") or "")
        self.rules.default(resource, obj)
        objectmeta.drop_own(metadata)
        now = format_time(self.clock.now())
        obj = self.ownership.track(resource, None, obj, manager=options.manager, subresource="", now=now)
        return self._insert(resource, namespace, obj, options, now, warnings or [], name)

    def _insert(
        self,
        resource: Resource,
        namespace: str,
        obj: Object,
        options: WriteOptions,
        now: str,
        warnings: list[str],
        name: str,
    ) -> Outcome:
        metadata = obj["metadata"]
        if name and metadata.get("name") not in (None, "", name):
            raise _wrong_name(metadata.get("name"), name)
        base = metadata.get("generateName") or ""
        if name:
            metadata["name"] = name
        elif not metadata.get("name") and base:
            metadata["name"] = objectmeta.generated_name(base, self.ids)
            while self.store.get(resource.bucket, _key(resource, namespace, metadata["name"])) is not None:
                metadata["name"] = objectmeta.generated_name(base, self.ids)
        if options.guard is not None:
            options.guard(obj, None)
        objectmeta.stamp_created(obj, resource, namespace, now=now, uid=self.ids.uuid())
        self.rules.prepare_create(resource, obj, now=now, user=options.user)
        causes = self.rules.validate(resource, obj, None, "")
        if causes:
            raise apierrors.invalid(resource.kind, _judging_group(resource), metadata.get("name") or "", causes)
        warnings = warnings + self.rules.advice(resource, obj, None, "")
        self.rules.check_limits(resource, obj, None)
        key = _key(resource, namespace, metadata["name"])
        if self.store.get(resource.bucket, key) is not None:
            raise apierrors.already_exists(resource.plural, resource.group, metadata["name"])
        if options.dry_run:
            return Outcome(obj, created=True, warnings=warnings)
        metadata.pop("resourceVersion", None)
        stored = self.registry.stored(resource.bucket) or resource
        record = self.store.put(resource.bucket, key, _as_kept(obj, resource, stored))
        self.rules.stored(resource, record.obj, None)
        return Outcome(convert(record.obj, stored, resource), created=True, rv=record.rv, warnings=warnings)

    def _check_namespace(self, resource: Resource, namespace: str, metadata: Object) -> None:
        given = metadata.get("namespace") or ""
        if resource.namespaced and not namespace:
            raise BadRequest("an empty namespace may not be set during creation")
        if given and given != namespace:
            raise BadRequest(_OTHER_NAMESPACE)

    def _check_parent(self, resource: Resource, namespace: str, name: str) -> None:
        """The namespace exists and takes new content."""
        if not resource.namespaced:
            return
        parent = self.store.get("namespaces", "/" + namespace)
        if parent is None:
            raise apierrors.not_found("namespaces", "", namespace)
        if parent.obj["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = apierrors.forbidden(resource.plural, resource.group, name, why)
            error.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise error

    # ---- update ----

    def replace(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        obj: Object,
        options: WriteOptions,
        *,
        subresource: str = "",
        warnings: list[str] | None = None,
    ) -> Outcome:
        """PUT: the object becomes `obj`, decoded and the store's from here on."""
        record = self.store.get(resource.bucket, _key(resource, namespace, name))
        if record is None:
            if subresource == "" and resource.bucket in _CREATE_ON_UPDATE:
                return self.create(resource, namespace, obj, options, warnings=warnings, name=name)
            raise apierrors.not_found(resource.plural, resource.group, name)
        metadata = _metadata(obj)
        self._check_namespace(resource, namespace if resource.namespaced else "", metadata)
        if (metadata.get("name") or "") != name:
            raise _wrong_name(metadata.get("name"), name)
        if resource.namespaced:
            metadata["namespace"] = namespace
        if (uid := metadata.get("uid")) and uid != record.uid:
            raise apierrors.conflict(
                resource.plural,
                resource.group,
                name,
                f"StorageError: invalid object, Code: 4, Key: {_storage_key(resource, record, options)}, ResourceVersion: 0,"
                f" AdditionalErrorMsg: Precondition failed: UID in precondition: {uid},"
                f" UID in object meta: {record.uid}",
            )
        if not metadata.get("resourceVersion") and subresource == "" and self._needs_version(resource):
            raise _version_missing(resource, name)
        return self.update(resource, record, lambda live: obj, options, subresource=subresource, warnings=warnings)

    def _needs_version(self, resource: Resource) -> bool:
        return resource.custom is not None or resource.bucket in _VERSION_REQUIRED

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        request: PatchRequest,
        options: WriteOptions,
        *,
        subresource: str = "",
        warnings: list[str] | None = None,
    ) -> Outcome:
        """PATCH in any of its four kinds; an apply of an object that is not there creates it."""
        record = self.store.get(resource.bucket, _key(resource, namespace, name))
        if request.kind == "apply":
            return self._apply(resource, namespace, name, record, request, options, subresource)
        if record is None:
            raise apierrors.not_found(resource.plural, resource.group, name)
        warnings = warnings if warnings is not None else []

        def make(live: Object) -> Object:
            raw = patched(resource, live, request)
            check_type(resource, name, raw, request, live, field_validation=options.field_validation, warnings=warnings)
            obj, found = self._ingest(resource, raw, options, request, live)
            warnings.extend(found)
            metadata = obj["metadata"]
            if metadata.get("name") != name:
                raise _wrong_name(metadata.get("name"), name)
            if resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
                raise BadRequest(_OTHER_NAMESPACE)
            if metadata.get("resourceVersion") in (None, "0") and self._needs_version(resource) and not subresource:
                raise _version_missing(resource, name)
            return obj

        return self.update(resource, record, make, options, subresource=subresource, warnings=warnings)

    def _apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        record: Record | None,
        request: PatchRequest,
        options: WriteOptions,
        subresource: str,
    ) -> Outcome:
        config = self._applied_config(resource, namespace, name, request)
        metadata = config.get("metadata") or {}
        warnings: list[str] = []
        now = format_time(self.clock.now())

        stored = self.registry.stored(resource.bucket) or resource

        def merged(live: Object | None) -> Object:
            known = live
            if live is not None and resource.custom is not None and stored is not resource:
                known = resource.custom.decode(live, resource)[0]  # what only the other version has is not merged
            found = self.ownership.apply(
                resource,
                known,
                config,
                manager=options.manager,
                force=options.force,
                subresource=subresource,
                now=now,
            )
            if (given := metadata.get("name")) and given != name:
                raise _wrong_name(given, name)  # conflicts are looked for first
            if found is known:
                return live if live is not None else found
            try:
                return self.rules.decode(resource, found).obj
            except BadRequest as exc:
                raise _unconvertible(resource, name, exc) from None

        if record is None:
            if subresource:
                raise apierrors.not_found(resource.plural, resource.group, name)
            self._check_parent(resource, namespace, name)
            if (config.get("metadata") or {}).get("uid"):
                raise apierrors.conflict(
                    resource.plural,
                    resource.group,
                    name,
                    f"uid mismatch: the provided object specified uid {config['metadata']['uid']},"
                    " and no existing object was found",
                )
            obj = merged(None)
            if not obj["metadata"].get("name"):
                raise _wrong_name("", name)
            if (given := obj["metadata"].get("resourceVersion") or "0") and not given.isdigit():
                raise ApiError(f'strconv.ParseUint: parsing "{given}": invalid syntax')
            self.rules.default(resource, obj)
            return self._insert(resource, namespace, obj, options, now, warnings, name)
        return self.update(resource, record, merged, options, subresource=subresource, warnings=warnings, tracked=True)

    def _applied_config(self, resource: Resource, namespace: str, name: str, request: PatchRequest) -> Object:
        config: Any = request.body if request.body is not None else {}
        if not isinstance(config, dict):
            kind = {list: "array", str: "string", bool: "bool"}.get(type(config), "number")
            raise BadRequest(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
                f" {kind} into Go value of type map[string]interface {{}}"
            )
        metadata = config.get("metadata")
        metadata = dict(metadata) if isinstance(metadata, dict) else {}
        if config.get("kind") != resource.kind:
            group, _, version = str(config.get("apiVersion") or "").rpartition("/")
            named = config.get("kind")
            raise BadRequest(f"invalid object type: {group}/{version}, Kind={named if isinstance(named, str) else ''}")
        if resource.namespaced:
            self._check_namespace(resource, namespace, metadata)
        return config

    def update(
        self,
        resource: Resource,
        record: Record,
        make: Callable[[Object], Object],
        options: WriteOptions,
        *,
        subresource: str = "",
        warnings: list[str] | None = None,
        tracked: bool = False,
    ) -> Outcome:
        """Store what `make` gives for the live object; nothing is written when that changes nothing.

        `make` returns an object it owns, or the live one itself for "no change". `tracked`: it has done field ownership.
        """
        stored = self.registry.stored(resource.bucket) or resource
        live = convert(record.obj, stored, resource)
        new = make(live)
        warnings = warnings if warnings is not None else []
        name = record.name
        if new is live:
            return Outcome(live, rv=record.rv, warnings=warnings + self.rules.advice(resource, live, live, subresource))
        given = new["metadata"].get("resourceVersion")
        if given and not given.isdigit():
            raise ApiError(f'strconv.ParseUint: parsing "{given}": invalid syntax')
        if given and given != "0" and given != str(record.rv):
            raise apierrors.conflict(resource.plural, resource.group, name)
        new["metadata"]["resourceVersion"] = str(record.rv)
        self.rules.default(resource, new, applied=tracked and not subresource)
        if options.guard is not None:
            options.guard(new, live)
        now = format_time(self.clock.now())
        objectmeta.carry_over(new, live)
        if not tracked:
            new = self.ownership.track(resource, live, new, manager=options.manager, subresource=subresource, now=now)
        causes = objectmeta.metadata_changes(new, live, resource)
        status = new.get("status")
        self.rules.prepare_update(resource, live, new, subresource, now=now)
        if subresource == "binding":
            # A Pod that is put on a node is told so in its status, and that is no change of its spec by anyone.
            new["status"] = status
            new["metadata"]["generation"] = live["metadata"]["generation"]
        causes += self.rules.validate(resource, new, live, subresource)
        if causes:
            raise apierrors.invalid(resource.kind, _judging_group(resource), name, causes)
        warnings = warnings + self.rules.advice(resource, new, live, subresource)
        self.rules.check_limits(resource, new, live)
        if objectmeta.same_but_times(new, live):
            return Outcome(live, rv=record.rv, warnings=warnings)
        if options.dry_run:
            return Outcome(new, warnings=warnings)
        final = _as_kept(new, resource, stored)
        gone = finish_if_due(self.store, resource, record, final)
        if gone is not None:
            return Outcome(new, rv=gone.rv, warnings=warnings)
        written = self.store.put(resource.bucket, record.key, final)
        self.rules.stored(resource, written.obj, record.obj)
        return Outcome(convert(written.obj, stored, resource), rv=written.rv, warnings=warnings)

    def change_metadata(
        self, resource: Resource, record: Record, change: Callable[[Object], None], *, manager: str
    ) -> Record:
        """The server's own change of an object's metadata; a last finalizer taken away ends the object."""
        live = record.obj
        metadata = {**live["metadata"]}
        change(metadata)
        new = {**live, "metadata": metadata}
        objectmeta.carry_over(new, live)
        now = format_time(self.clock.now())
        new = self.ownership.track(resource, live, new, manager=manager, subresource="", now=now)
        if objectmeta.same_but_times(new, live):
            return record
        gone = finish_if_due(self.store, resource, record, new)
        return gone if gone is not None else self.store.put(resource.bucket, record.key, new)

    def change_status(self, resource: Resource, record: Record, status: Object, *, manager: str) -> Record:
        """The server's own change of an object's status."""
        live = record.obj
        new = {**live, "metadata": {**live["metadata"]}, "status": status}
        now = format_time(self.clock.now())
        new = self.ownership.track(resource, live, new, manager=manager, subresource="status", now=now)
        if objectmeta.same_but_times(new, live):
            return record
        return self.store.put(resource.bucket, record.key, new)

    def _ingest(
        self, resource: Resource, raw: Object, options: WriteOptions, request: PatchRequest, live: Object
    ) -> tuple[Object, list[str]]:
        """What a patch made, as an object of the resource, and warnings about fields it does not have."""
        try:
            decoded = self.rules.decode(resource, raw)
        except BadRequest as exc:
            said = exc.message.partition(" cannot be handled as a ")[2].partition(": ")[2] or exc.message
            if request.kind == "strategic":
                said = converter_problem(said)
            raise unreadable(resource, request, live, raw, said) from None
        obj = decoded.obj
        _metadata(obj)
        problems = [f'duplicate field "{path}"' for path in request.duplicates]
        problems += [f'unknown field "{path}"' for path in decoded.unknown]
        if not problems or options.field_validation == "Ignore":
            return obj, []
        if options.field_validation == "Strict":
            said = "strict decoding error: " + ", ".join(problems)
            raise unreadable(resource, request, live, raw, said)
        return obj, problems


def _unconvertible(resource: Resource, name: str, problem: BadRequest) -> ApiError:
    """What an apply made is no object of its kind. Of bytes and amounts that are none this is said as of a fault within."""
    said = problem.message.partition(": ")[2]
    if said.startswith("illegal base64"):
        said = f"error decoding from json: {said}"
    elif not said.startswith("quantities must match"):
        return problem
    kind = f"{resource.group}/{resource.version}, Kind={resource.kind}"
    return ApiError(
        f"failed to convert new object (/{name}; {kind}) to proper version: unable to convert unstructured object to"
        f" {kind}: {said}"
    )


def _metadata(obj: Object) -> Object:
    """The object's metadata, made when there is none."""
    found = obj.get("metadata")
    if not isinstance(found, dict):
        found = obj["metadata"] = {}
    return found


def _key(resource: Resource, namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if resource.namespaced else "/" + name


def _version_missing(resource: Resource, name: str) -> ApiError:
    cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
    return apierrors.invalid(resource.plural, resource.group, name, [cause])


def _judging_group(resource: Resource) -> str:
    """The group a refused object is said to be of: Events are always judged in the form of the core group."""
    return "" if resource.bucket == "events" else resource.group


def _as_kept(obj: Object, resource: Resource, stored: Resource) -> Object:
    """The object in the version it is kept in; a custom one loses what that version does not know."""
    kept = convert(obj, resource, stored)
    if stored is resource or stored.custom is None:
        return kept
    pruned, _ = stored.custom.decode(kept, stored)
    stored.custom.default(pruned)
    return pruned


_STORAGE_PLACES = {
    "services": "services/specs",
    "endpoints": "services/endpoints",
    "nodes": "minions",
    "replicationcontrollers": "controllers",
    "ingresses.networking.k8s.io": "ingress",
    "apiservices.apiregistration.k8s.io": "apiregistration.k8s.io/apiservices",
    "customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/customresourcedefinitions",
}


def _storage_key(resource: Resource, record: Record, options: WriteOptions) -> str:
    """Where the real server would keep the object; it says so in a few messages. A dry run leaves the prefix out."""
    group = f"{resource.group}/" if resource.group and resource.custom is not None else ""
    place = _STORAGE_PLACES.get(resource.bucket) or f"{group}{resource.plural}"
    prefix = "" if options.dry_run else "/registry"
    return f"{prefix}/{place}/{record.key.lstrip('/')}"


def _wrong_name(given: object, expected: str) -> BadRequest:
    if not given:
        return BadRequest(f"the name of the object ({expected} based on URL) was undeterminable: name must be provided")
    return BadRequest(f"the name of the object ({given}) does not match the name on the URL ({expected})")
