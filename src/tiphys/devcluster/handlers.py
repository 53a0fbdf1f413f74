"""Handlers: one request on a resource, from its path and method to an answer. Knows no ASGI."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import ApiError, BadRequest, MethodNotAllowed, NotFound
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.apimachinery.yamljson import YamlError, load_first
from tiphys.devcluster import answers, deletion, notices, subresources
from tiphys.devcluster.answers import View
from tiphys.devcluster.auth import User
from tiphys.devcluster.bodies import read_object
from tiphys.devcluster.conversion import convert
from tiphys.devcluster.core import Core
from tiphys.devcluster.decode import decode_body, decode_options, field_validation, repeated_fields, yaml_problem
from tiphys.devcluster.deletion import Deleted, DeleteOptions, options_of_query, parse_delete_options
from tiphys.devcluster.gojson import read_json
from tiphys.devcluster.namespaces import finalize
from tiphys.devcluster.negotiation import Form, Query, asks_for_list, object_form, patch_type
from tiphys.devcluster.patches import PatchRequest, readable
from tiphys.devcluster.reads import ListOptions, check_version, check_version_form, fetch, list_page, parse_version
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.reviews import answer_review
from tiphys.devcluster.routes import ObjectPath
from tiphys.devcluster.selecting import Selection
from tiphys.devcluster.store import Record
from tiphys.devcluster.watch import Watch
from tiphys.devcluster.writes import Outcome, WriteOptions
from tiphys.runtime.clock import format_time

Object = dict[str, Any]

_CREATED: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
MAX_MANAGER_BYTES = 128
_OPTIONS_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}
_REVIEW_GROUPS = ("authentication.k8s.io", "authorization.k8s.io")


@dataclass(slots=True)
class Request:
    """One request on a resource."""

    method: str
    path: ObjectPath
    query: Query
    user: User
    accept: str = ""
    content_type: str = ""
    user_agent: str = ""
    body: bytes = b""
    warnings: list[str] = field(default_factory=list)  # sent whatever the answer is, an error included


@dataclass(slots=True)
class Answer:
    """A whole answer. `warnings` become Warning headers."""

    code: int
    body: bytes
    content_type: str = "application/json"
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class WatchAnswer:
    """A stream of events to be sent until the client leaves or `timeout_s` has passed."""

    watch: Watch
    view: View
    bookmarks: bool
    timeout_s: float | None
    error: ApiError | None = None  # sent as the only event: the version asked for is too old


class PageNotFoundError(Exception):
    """A path nobody knows: answered in plain text, as the real server's last handler does."""


def not_found_path() -> NotFound:
    """404 of a path nothing is served at."""
    return NotFound("the server could not find the requested resource")


def _not_allowed() -> MethodNotAllowed:
    return MethodNotAllowed("the server does not allow this method on the requested resource")


class Handlers:
    """Answers requests on resources. Raises ApiError for everything that is refused."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def handle(self, request: Request) -> Answer | WatchAnswer:
        """The answer, once what it says is committed."""
        path = request.path
        resource = self._core.registry.lookup(path.group, path.version, path.plural)
        if resource is None and path.group not in self._core.registry.groups():
            raise PageNotFoundError
        if resource is None and self._core.registry.is_custom(path.group, path.version):
            raise PageNotFoundError
        if resource is None or (path.namespace and not resource.namespaced):
            raise not_found_path()
        if path.name and resource.namespaced and not path.namespace:
            raise not_found_path()
        _check_form(resource, request)  # what cannot be written is not done either
        if path.name and not path.subresource and request.method == "POST":
            return await self._post_on_object(resource, request)
        if path.subresource in resource.subresources or (not path.subresource and _verb(request) in resource.verbs):
            request.warnings += notices.deprecation(resource)
        if path.subresource:
            return await self._subresource(resource, request)
        if path.name:
            return await self._object(resource, request)
        return await self._collection(resource, request)

    # ---- collections ----

    async def _post_on_object(self, resource: Resource, request: Request) -> Answer:
        """A POST on an object's own path: only the server of custom resources takes it for one on the collection."""
        if resource.custom is None:
            raise _not_allowed()
        return await self._create(resource, request)

    async def _collection(self, resource: Resource, request: Request) -> Answer | WatchAnswer:
        method = request.method
        if method == "GET":
            if request.query.flag("watch"):
                return await self._watch(resource, request)
            self._allow(resource, "list")
            return await self._list(resource, request)
        if method == "POST":
            self._allow(resource, "create")
            if resource.namespaced and not request.path.namespace:
                raise _not_allowed()
            return await self._create(resource, request)
        if method == "DELETE":
            self._allow(resource, "deletecollection")
            return await self._delete_collection(resource, request)
        raise _not_allowed()

    @staticmethod
    def _allow(resource: Resource, verb: str) -> None:
        if verb not in resource.verbs:
            raise _not_allowed()

    def _selection(self, resource: Resource, request: Request) -> Selection:
        namespace = request.path.namespace or None
        query = request.query
        return Selection(resource, namespace, query.text("labelSelector"), query.text("fieldSelector"))

    def _view(self, resource: Resource, request: Request) -> View:
        form, _ = object_form(request.accept)
        stored = self._core.registry.stored(resource.bucket) or resource
        include = request.query.text("includeObject") or "Metadata"
        return View(resource, stored, form, include, self._core.clock.now())

    async def _list(self, resource: Resource, request: Request) -> Answer:
        options = ListOptions.parse(request.query, watch=False)
        selection = self._selection(resource, request)
        page = await list_page(self._core.store, resource, selection, options)
        return Answer(200, answers.write_list(self._view(resource, request), page))

    async def _watch(self, resource: Resource, request: Request) -> WatchAnswer:
        self._allow(resource, "watch")
        options = ListOptions.parse(request.query, watch=True)
        selection = self._selection(resource, request)
        if request.path.name:
            selection.name = request.path.name
        store = self._core.store
        await store.settled(resource.bucket)
        check_version_form(options.resource_version)
        version = parse_version(options.resource_version)
        watch = Watch(store, resource.bucket, selection)
        answer = WatchAnswer(watch, self._view(resource, request), options.allow_bookmarks, options.timeout_s)
        initial = options.send_initial_events is True or (options.send_initial_events is None and version == 0)
        try:
            if version > store.last_rv and initial:
                raise apierrors.Timeout(f"Too large resource version: {version}, current: {store.committed_rv}")
            if not initial and version == 0:
                version = store.committed_rv
            # A watch in the old way, from the start, is one with initial events if it takes bookmarks.
            legacy = options.send_initial_events is None and not options.match and version == 0
            mark_end = (options.send_initial_events is True or legacy) and options.allow_bookmarks
            watch.start(version, initial=initial, mark_end=mark_end)
        except apierrors.Expired as exc:
            answer.error = exc
        return answer

    async def _create(self, resource: Resource, request: Request) -> Answer:
        if resource.group in _REVIEW_GROUPS and not resource.is_stored:
            return self._review(resource, request)
        if resource.plural == "bindings":
            return await self._bind(resource, request, "")
        validation = field_validation(request.query.text("fieldValidation"), options_kind="CreateOptions")
        obj, warnings = read_object(self._core.rules, resource, request.body, request.content_type, validation)
        request.warnings += warnings
        options = self._options(request, validation)
        outcome = self._core.writer.create(resource, request.path.namespace, obj, options)
        return await self._written(resource, request, outcome)

    async def _delete_collection(self, resource: Resource, request: Request) -> Answer:
        options = self._delete_options(resource, request)
        list_options = ListOptions.parse(request.query, watch=False)
        page = await list_page(self._core.store, resource, self._selection(resource, request), list_options)
        stored = self._core.registry.stored(resource.bucket) or resource
        last = 0
        for record in page.records:
            current = self._core.store.get(resource.bucket, record.key)
            if current is not None:
                done = deletion.delete(self._core.store, stored, current, options, self._core.clock)
                last = max(last, done.rv)
        await self._core.store.committed(last)
        return Answer(200, answers.write_list(self._view(resource, request), page))

    # ---- one object ----

    async def _object(self, resource: Resource, request: Request) -> Answer | WatchAnswer:
        method, path = request.method, request.path
        if method == "GET":
            self._allow(resource, "get")
            check_version(self._core.store, request.query.text("resourceVersion"))
            record = await fetch(self._core.store, resource, path.namespace, path.name)
            if "PartialObjectMetadataList" in request.accept and asks_for_list(request.accept):
                raise apierrors.NotAcceptable(
                    "you requested PartialObjectMetadataList, but the requested object is not a list"
                    f" (*{_package(resource)}.{resource.kind})"
                )
            body = answers.write_record(self._view(resource, request), record)
            return Answer(200, body)
        if method == "PUT":
            self._allow(resource, "update")
            return await self._written(resource, request, self._replace(resource, request))
        if method == "PATCH":
            self._allow(resource, "patch")
            return await self._written(resource, request, self._patch(resource, request))
        if method == "DELETE":
            self._allow(resource, "delete")
            return await self._delete(resource, request)
        raise _not_allowed()

    def _replace(self, resource: Resource, request: Request) -> Outcome:
        path = request.path
        validation = field_validation(request.query.text("fieldValidation"), options_kind="UpdateOptions")
        obj, warnings = read_object(self._core.rules, resource, request.body, request.content_type, validation)
        request.warnings += warnings
        return self._core.writer.replace(
            resource,
            path.namespace,
            path.name,
            obj,
            self._options(request, validation),
            subresource=path.subresource,
        )

    def _patch(self, resource: Resource, request: Request) -> Outcome:
        path = request.path
        validation = field_validation(request.query.text("fieldValidation"), options_kind="PatchOptions")
        patch = self._read_patch(resource, request)
        return self._core.writer.patch(
            resource,
            path.namespace,
            path.name,
            patch,
            self._options(request, validation, apply=patch.kind == "apply"),
            subresource=path.subresource,
            warnings=request.warnings,
        )

    def _read_patch(self, resource: Resource, request: Request) -> PatchRequest:
        kind = patch_type(request.content_type, custom=resource.custom is not None)
        if kind == "apply":
            if not request.query.text("fieldManager"):
                cause = apierrors.required("fieldManager", "is required for apply patch")
                raise apierrors.invalid("PatchOptions", "meta.k8s.io", "", [cause])
            try:
                return PatchRequest("apply", load_first(request.body), request.body)
            except YamlError as exc:
                said = f"error converting YAML to JSON: {yaml_problem(exc)}"
                raise BadRequest(f"error decoding YAML: {said}") from None
        if request.query.flag("force"):
            cause = apierrors.forbidden_value("force", "may not be specified for non-apply patch")
            raise apierrors.invalid("PatchOptions", "meta.k8s.io", "", [cause])
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            try:
                body = read_json(request.body)
            except ValueError as exc:
                said = "" if kind == "strategic" else "error decoding patch: "
                raise BadRequest(f"{said}{exc}") from None
        duplicates = [] if kind == "json" else repeated_fields(body, request.body)
        return PatchRequest(kind, readable(kind, body), request.body, duplicates)  # type: ignore[arg-type]

    async def _delete(self, resource: Resource, request: Request) -> Answer:
        options = self._delete_options(resource, request)
        record = await fetch(self._core.store, resource, request.path.namespace, request.path.name)
        stored = self._core.registry.stored(resource.bucket) or resource
        done = deletion.delete(self._core.store, stored, record, options, self._core.clock)
        answer = await self._deleted(resource, request, done)
        if options.kept_dependents_asked and not done.gone:
            answer.code = 202
        return answer

    @staticmethod
    def _delete_options(resource: Resource, request: Request) -> DeleteOptions:
        """The options of a DELETE: those of the body; only without one those of the query."""
        if request.body:
            options = parse_delete_options(decode_options(request.body, request.content_type))
        else:
            options = parse_delete_options(options_of_query(request.query))
        request.warnings += deletion.advice(resource, options)
        return options

    async def _deleted(self, resource: Resource, request: Request, done: Deleted) -> Answer:
        await self._core.store.committed(done.rv)
        if done.obj is None:
            return Answer(200, orjson.dumps(_success(resource, done.record)))
        view = self._view(resource, request)
        return Answer(200, answers.write_object(view, convert(done.obj, view.stored, resource)))

    # ---- answers to writes ----

    def _dry_run(self, request: Request) -> bool:
        asked = request.query.texts("dryRun")
        if any(one not in ("", "All") for one in asked):
            cause = apierrors.not_supported("dryRun", asked, ("All",))
            raise apierrors.invalid(_OPTIONS_KINDS.get(request.method, "DeleteOptions"), "meta.k8s.io", "", [cause])
        return "All" in asked

    def _options(self, request: Request, validation: str, *, apply: bool = False) -> WriteOptions:
        _check_manager(request.query.text("fieldManager"), request.method)
        manager = request.query.text("fieldManager") or request.user_agent.partition("/")[0][:128] or "unknown"
        return WriteOptions(
            manager=manager,
            dry_run=self._dry_run(request),
            field_validation=validation,
            force=apply and request.query.flag("force"),
            user=request.user.to_json(),
            guard=self._core.gate.guard(request.user, request.path),
        )

    async def _written(self, resource: Resource, request: Request, outcome: Outcome) -> Answer:
        await self._core.store.committed(outcome.rv)
        body = answers.write_object(self._view(resource, request), outcome.obj)
        warnings = outcome.warnings + notices.of_written(resource, outcome.obj)
        if request.path.subresource == "ephemeralcontainers":
            warnings.append(notices.NEVER_ENTERED)
        return Answer(201 if outcome.created else 200, body, warnings=warnings)

    # ---- reviews ----

    def _review(self, resource: Resource, request: Request) -> Answer:
        expected = GroupVersionKind(resource.group, resource.version, resource.kind)
        obj = decode_body(request.body, request.content_type, expected).obj
        now = format_time(self._core.clock.now())
        manager = self._options(request, "Ignore").manager
        track = self._core.writer.ownership.track
        answer = answer_review(
            resource.kind,
            track(resource, None, obj, manager=manager, subresource="", now=now),
            user=request.user,
            namespace=request.path.namespace,
            auth=self._core.auth,
            gate=self._core.gate,
            now=now,
        )
        return Answer(201, orjson.dumps(answer))

    # ---- subresources ----

    async def _subresource(self, resource: Resource, request: Request) -> Answer | WatchAnswer:
        path = request.path
        known = resource.subresources.get(path.subresource)
        if known is None and resource.custom is not None:
            raise apierrors.not_found(resource.plural, resource.group, path.name)
        if known is None:
            raise not_found_path()
        if path.subresource in subresources.REFUSED:
            raise subresources.refusal(path.subresource, await self._asked_of(resource, path))
        verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(
            request.method
        )
        if verb not in known.verbs:
            raise _not_allowed()
        if path.subresource == "scale":
            return await self._scale(resource, request)
        if path.subresource == "finalize":
            return await self._finalize(resource, request)
        if path.subresource == "log":
            pod = await fetch(self._core.store, resource, path.namespace, path.name)
            text = subresources.read_log(pod, request.query.text("container"))
            return Answer(200, text.encode(), "text/plain")
        if path.subresource == "eviction":
            return await self._evict(resource, request)
        if path.subresource == "binding":
            return await self._bind(resource, request, path.name)
        if path.subresource == "token":
            return await self._token(resource, request)
        if verb == "get":
            record = await fetch(self._core.store, resource, path.namespace, path.name)
            return Answer(200, answers.write_record(self._view(resource, request), record))
        outcome = self._replace(resource, request) if verb == "update" else self._patch(resource, request)
        return await self._written(resource, request, outcome)

    async def _asked_of(self, resource: Resource, path: ObjectPath) -> Record:
        """The object of a refused request; a proxied one is named with a scheme and a port. Raises NotFound."""
        parts = path.name.split(":")
        name = parts[1] if len(parts) == 3 else parts[0]
        return await fetch(self._core.store, resource, path.namespace, name)

    async def _scale(self, resource: Resource, request: Request) -> Answer:
        path = request.path
        record = await fetch(self._core.store, resource, path.namespace, path.name)
        stored = self._core.registry.stored(resource.bucket) or resource
        current = subresources.read_scale(resource, convert(record.obj, stored, resource))
        if request.method == "GET":
            return Answer(200, answers.write_scale(self._view(resource, request), current))
        kind = GroupVersionKind("autoscaling", "v1", "Scale")
        applied = False
        if request.method == "PUT":
            wanted = decode_body(request.body, request.content_type, kind).obj
        else:
            patch = self._read_patch(resource, request)
            applied = patch.kind == "apply"
            wanted = patch.body or {} if applied else subresources.patch_scale(current, patch)
        options = self._options(request, "Ignore", apply=applied)
        outcome = subresources.write_scale(self._core.writer, resource, record, wanted, options, applied=applied)
        await self._core.store.committed(outcome.rv)
        return Answer(200, orjson.dumps(outcome.obj), warnings=outcome.warnings)

    async def _finalize(self, resource: Resource, request: Request) -> Answer:
        record = await fetch(self._core.store, resource, "", request.path.name)
        kind = GroupVersionKind("", "v1", "Namespace")
        obj = decode_body(request.body, request.content_type, kind).obj
        version = obj["metadata"].get("resourceVersion")
        if version and version != str(record.rv):
            raise apierrors.conflict("namespaces", "", record.name)
        done = finalize(
            self._core.store, self._core.writer, record, list((obj.get("spec") or {}).get("finalizers") or ())
        )
        await self._core.store.settled(resource.bucket)
        return Answer(200, orjson.dumps(done))

    async def _evict(self, resource: Resource, request: Request) -> Answer:
        record = await fetch(self._core.store, resource, request.path.namespace, request.path.name)
        expected = GroupVersionKind("policy", "v1", "Eviction")
        also = (GroupVersionKind("policy", "v1beta1", "Eviction"),)
        eviction = decode_body(request.body, request.content_type, expected, also=also).obj
        done = subresources.evict(self._core.writer, resource, record, eviction, dry_run=self._dry_run(request))
        await self._core.store.committed(done.rv)
        return Answer(201, orjson.dumps(_CREATED))

    async def _bind(self, resource: Resource, request: Request, name: str) -> Answer:
        binding = decode_body(request.body, request.content_type, GroupVersionKind("", "v1", "Binding")).obj
        pods = self._core.registry.lookup("", "v1", "pods")
        assert pods is not None
        wanted = name or str(binding["metadata"].get("name") or "")
        record = await fetch(self._core.store, pods, request.path.namespace, wanted)
        outcome = subresources.bind(self._core.writer, pods, record, binding, self._options(request, "Ignore"))
        await self._core.store.committed(outcome.rv)
        return Answer(201, orjson.dumps(_CREATED))

    async def _token(self, resource: Resource, request: Request) -> Answer:
        record = await fetch(self._core.store, resource, request.path.namespace, request.path.name)
        kind = GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest")
        asked = decode_body(request.body, request.content_type, kind).obj
        manager = self._options(request, "Ignore").manager
        made = subresources.request_token(self._core.writer, record, asked, self._core.auth, manager=manager)
        return Answer(201, orjson.dumps(made))


def _success(resource: Resource, record: Record) -> Object:
    details: Object = {"name": record.name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    details["uid"] = record.uid
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _verb(request: Request) -> str:
    named = bool(request.path.name)
    many = {"GET": "list", "DELETE": "deletecollection", "POST": "create"}
    one = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
    return (one if named else many).get(request.method, "")


def _package(resource: Resource) -> str:
    return resource.group.partition(".")[0] or "core"


_PROTOBUF_STREAM = "application/vnd.kubernetes.protobuf;stream=watch"


def _check_form(resource: Resource, request: Request) -> None:
    """Refuse a form that cannot be written. Raises NotAcceptable."""
    is_list = request.method == "GET" and not request.path.name
    try:
        form, yaml = object_form(request.accept)
    except apierrors.NotAcceptable as exc:
        if is_list and exc.message.startswith("406: ") and resource.custom is None:
            streams = f"application/json;stream=watch, {_PROTOBUF_STREAM}"
            raise apierrors.NotAcceptable(f"{exc.message}, {streams}") from None
        raise
    if yaml and is_list and request.query.flag("watch"):
        streams = "application/json;stream=watch" + ("" if resource.custom else f", {_PROTOBUF_STREAM}")
        raise apierrors.NotAcceptable(f"only the following media types are accepted: {streams}")
    of_one = form is Form.PARTIAL and not asks_for_list(request.accept)
    if of_one and is_list and not request.query.flag("watch"):
        raise apierrors.NotAcceptable(
            "you requested PartialObjectMetadata, but the requested object is a list"
            f" (*{_package(resource)}.{resource.kind}List)"
        )


def _check_manager(manager: str, method: str) -> None:
    """Refuse a field manager nobody could read. Source: apimachinery meta/v1/validation ValidateFieldManager."""
    causes = []
    if len(manager.encode()) > MAX_MANAGER_BYTES:
        causes.append(apierrors.too_long("fieldManager", MAX_MANAGER_BYTES))
    for index, char in enumerate(manager):
        if not char.isprintable():
            problem = f"invalid character U+{ord(char):04X} (at position {index})"
            causes.append(apierrors.invalid_value("fieldManager", manager, problem))
            break
    if causes:
        raise apierrors.invalid(_OPTIONS_KINDS.get(method, "DeleteOptions"), "meta.k8s.io", "", causes)
