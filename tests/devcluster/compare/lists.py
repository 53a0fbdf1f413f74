"""Lists: paging, resourceVersion semantics, selectors, forms; and watches that follow what happens."""

# ruff: noqa: E501 (tables of requests are easier to read in wide rows)

from __future__ import annotations

from typing import Any

from tests.devcluster.compare.step import (
    APPLY,
    JSON_PATCH,
    MERGE,
    PARTIAL,
    PARTIAL_LIST,
    STRATEGIC,
    TABLE,
    Scenario,
    Step,
    namespace_of,
)

MATCHES = ("", "Exact", "NotOlderThan", "Odd")
VERSIONS = ("", "0", "1", "<<then>>", "999999999", "x", "-1")
LIMITS = ("", "0", "1", "2", "-1", "x")


def scenarios() -> list[Scenario]:
    """All about reading many."""
    return [
        _lists(),
        _selectors(),
        _forms(),
        _watch_options(),
        _transitions(""),
        _transitions(TABLE),
        _transitions(PARTIAL),
    ]


def maps(name: str) -> str:
    """The ConfigMaps of a scenario."""
    return f"/api/v1/namespaces/{namespace_of(name)}/configmaps"


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {"a": "b"}}


def _lists() -> Scenario:
    path = maps("lists")
    steps = [Step("POST", path, config_map(f"m{number}", labels={"n": str(number)})) for number in range(5)]
    mine = f"{path}?labelSelector=n"
    steps += [
        Step("GET", path, save={"then": "metadata.resourceVersion"}, label="all"),
        Step("POST", path, config_map("m5", labels={"n": "5"})),
        Step("DELETE", f"{path}/m0"),
    ]
    for version in VERSIONS:
        for match in MATCHES:
            for limit in ("", "2"):
                query = f"{mine}&resourceVersion={version}&resourceVersionMatch={match}" + (
                    f"&limit={limit}" if limit else ""
                )
                steps.append(Step("GET", query, label=f"list rv={version} match={match} limit={limit}"))
    steps += [Step("GET", f"{mine}&limit={limit}", label=f"limit {limit}") for limit in LIMITS]
    steps += [
        Step("GET", f"{mine}&limit=2", save={"next": "metadata.continue"}, label="page 1"),
        Step("POST", path, config_map("m1a", labels={"n": "1a"})),
        Step("GET", f"{mine}&limit=2&continue=<<next>>", save={"third": "metadata.continue"}, label="page 2"),
        Step("GET", f"{mine}&limit=2&continue=<<third>>", label="page 3"),
        Step("GET", f"{mine}&continue=<<next>>", label="the rest"),
        Step("GET", f"{mine}&limit=2&continue=<<next>>&resourceVersion=1", label="page 2 with a version"),
        Step("GET", f"{mine}&limit=2&continue=<<next>>&resourceVersion=0", label="page 2 with version 0"),
        Step(
            "GET",
            f"{mine}&limit=2&continue=<<next>>&resourceVersionMatch=Exact",
            label="page 2 with a match",
        ),
        Step("GET", "/api/v1/secrets?limit=2&continue=<<next>>", label="page of another kind"),
        Step("GET", f"{path}?limit=1&continue=<<next>>", label="page without the selector"),
        Step(
            "GET",
            f"{mine}&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0",
            label="page of an old version",
        ),
        Step(
            "GET",
            f"{mine}&continue=eyJ2Ijoib3RoZXIiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0",
            label="page of another format",
        ),
        Step("GET", f"{mine}&continue=***", label="page of nonsense"),
        Step("GET", f"{path}/m1?resourceVersion=0", label="get rv 0"),
        Step("GET", f"{path}/m1?resourceVersion=1", label="get rv 1"),
        Step("GET", f"{path}/m1?resourceVersion=999999999", label="get rv of the future"),
        Step("GET", f"{path}/m1?resourceVersion=x", label="get rv x"),
        Step("GET", f"{path}?timeoutSeconds=x", label="timeout x"),
        Step("GET", f"{path}?allowWatchBookmarks=true", label="bookmarks of a list"),
        Step("GET", f"{mine}&limit=2&pretty=true", label="pretty"),
        Step("GET", f"{path}?nope=1&labelSelector=none", label="unknown parameter"),
        Step("HEAD", path, label="head list"),
        Step("HEAD", f"{path}/m1", label="head one"),
        Step("OPTIONS", path, label="options"),
        Step("TRACE", path, label="trace"),
        Step("GET", f"{path}/", label="trailing slash"),
        Step("GET", path.replace("/api/v1/", "/api/v1//"), label="double slash"),
    ]
    return Scenario("lists", steps)


SELECTORS = (
    "x=y",
    "x==y",
    "x!=y",
    "x",
    "!x",
    "x in (y,z)",
    "x notin (y)",
    "x in ()",
    "x in (",
    "x,",
    ",x",
    "x=y,!z",
    "=y",
    "x===y",
    "x>1",
    "x<5",
    "x>z",
    "x=a b",
    "-x=y",
    "x in (y",
    "x y",
    "x=",
    "x in y",
    "a/b/c=d",
    "A.b/c=d",
    "x=y,x=z",
    "x in (y) , n=1",
    "x=ÿ",
    "(x=y)",
    "x!=",
    "notin",
    "in=1",
    "x notin ()",
)
FIELDS = (
    "metadata.name=s1",
    "metadata.name!=s1",
    "metadata.name==s1",
    "metadata.name in (s1)",
    "metadata.namespace=nope",
    "metadata.name=s1,metadata.name=s2",
    "metadata.name=",
    "metadata.labels.x=y",
    "data.a=b",
    "=",
    "a",
    "a=b=c",
    "metadata.name=s1,",
    "metadata.name=a\\,b",
    "metadata.uid=x",
    "status.phase=Running",
)


def _selectors() -> Scenario:
    path = maps("selectors")
    steps = [
        Step("POST", path, config_map("s1", labels={"x": "y", "n": "1"})),
        Step("POST", path, config_map("s2", labels={"x": "z", "n": "7"})),
        Step("POST", path, config_map("s3", labels={"n": ""})),
    ]
    steps += [Step("GET", f"{path}?labelSelector={one}", label=f"labels {one}") for one in SELECTORS]
    steps += [Step("GET", f"{path}?fieldSelector={one}", label=f"fields {one}") for one in FIELDS]
    for plural, field in (
        ("pods", "spec.nodeName=x"),
        ("pods", "status.phase!=Running"),
        ("pods", "spec.hostNetwork=false"),
        ("pods", "status.podIPs=1"),
        ("secrets", "type=Opaque"),
        ("events", "reason=x"),
        ("events", "source=x"),
        ("events", "involvedObject.kind=Pod"),
        ("events", "regarding.kind=Pod"),
        ("services", "spec.type=ClusterIP"),
        ("replicationcontrollers", "status.replicas=0"),
        ("nodes", "spec.unschedulable=false"),
        ("namespaces", "status.phase=Odd"),
        ("namespaces", "name=default"),
        ("serviceaccounts", "secrets=x"),
        ("persistentvolumes", "name=x"),
    ):
        scope = (
            "" if plural in ("nodes", "namespaces", "persistentvolumes") else f"namespaces/{namespace_of('selectors')}/"
        )
        steps.append(Step("GET", f"/api/v1/{scope}{plural}?fieldSelector={field}", label=f"{plural} {field}"))
    for place, field in (
        ("apps/v1/replicasets", "status.replicas=0"),
        ("batch/v1/jobs", "status.successful=0"),
        ("events.k8s.io/v1/events", "regarding.kind=Pod"),
        ("events.k8s.io/v1/events", "involvedObject.kind=Pod"),
        ("certificates.k8s.io/v1/certificatesigningrequests", "spec.signerName=x"),
        ("resource.k8s.io/v1/resourceslices", "spec.driver=x"),
        ("batch/v1/cronjobs", "metadata.name=x"),
        ("things.compared.io/v1/things", "metadata.name=x"),
        ("things.compared.io/v1/things", "spec.word=x"),
    ):
        steps.append(Step("GET", f"/apis/{place}?fieldSelector={field}&limit=500", label=f"{place} {field}"))
    steps += [
        Step("DELETE", f"{path}?labelSelector=x in (", label="delete with a bad selector"),
        Step("DELETE", f"{path}?labelSelector=x=y&fieldSelector=metadata.name=s2", label="delete nothing"),
        Step("DELETE", f"{path}?fieldSelector=metadata.name=s1", label="delete by field"),
        Step("GET", f"{path}?labelSelector=n", label="what is left"),
    ]
    return Scenario("selectors", steps)


ACCEPTS = (
    "*/*",
    "",
    "application/*",
    "text/html",
    "application/yaml",
    "application/json;q=0.1,application/yaml",
    "text/plain,*/*",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
    "application/json;as=Table;v=v9;g=meta.k8s.io",
    "application/json;as=Odd;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v1;g=meta.k8s.io;q=0.5,text/html",
    PARTIAL,
    PARTIAL_LIST,
    "application/yaml;as=Table;v=v1;g=meta.k8s.io",
    "application/cbor",
    "application/json;charset=utf-8",
    "application/json;stream=watch",
    "application/json;pretty=1",
    "nonsense",
    "application/xml, text/html;q=0.9",
)
CONTENT_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "application/yaml",
    "text/yaml",
    "application/cbor",
    "text/plain",
    "",
    "application/x-www-form-urlencoded",
    "nonsense",
    "application/vnd.kubernetes.protobuf",
    APPLY,
    MERGE,
    "application/JSON",
)
BODIES: tuple[tuple[str, bytes], ...] = (
    ("empty", b""), ("null", b"null"), ("list", b"[]"), ("text", b'"x"'), ("number", b"1"), ("open", b"{"), ("two", b"{}{}"),
    ("trailing", b'{"metadata":{"name":"t1"}} x'), ("not utf-8", b'{"metadata":{"name":"\xff"}}'),
    ("kind of number", b'{"kind":1}'), ("metadata of text", b'{"metadata":"x"}'), ("labels of list", b'{"metadata":{"labels":[]}}'),
    ("label of number", b'{"metadata":{"name":"t","labels":{"a":1}}}'), ("data of number", b'{"metadata":{"name":"t"},"data":{"a":1}}'),
    ("data of text", b'{"metadata":{"name":"t"},"data":"x"}'), ("null data", b'{"metadata":{"name":"t"},"data":null}'),
    ("null value", b'{"metadata":{"name":"t2"},"data":{"a":null}}'), ("other case", b'{"Metadata":{"Name":"t3"},"DATA":{"a":"b"}}'),
    ("bad time", b'{"metadata":{"name":"t","creationTimestamp":"x"}}'), ("bad base64", b'{"metadata":{"name":"t"},"binaryData":{"a":"*"}}'),
    ("deep", b'{"metadata":' * 30 + b"{}" + b"}" * 30), ("escapes", b'{"metadata":{"name":"t4"},"data":{"a":"\\u0000\\ud800 <&>"}}'),
    ("bool name", b'{"metadata":{"name":true}}'), ("float generation", b'{"metadata":{"name":"t","generation":1.5}}'),
    ("twice", b'{"metadata":{"name":"t","name":"u"},"data":{"a":"b","a":"c"}}'), ("no name", b'{"data":{}}'),
)  # fmt: skip


def _forms() -> Scenario:
    path = maps("forms")
    steps = [Step("POST", path, config_map("one"))]
    for accept in ACCEPTS:
        steps.append(Step("GET", f"{path}/one", accept=accept, label=f"get as {accept}"))
        steps.append(Step("GET", f"{path}?fieldSelector=metadata.name=one", accept=accept, label=f"list as {accept}"))
        steps.append(Step("GET", f"{path}/nope", accept=accept, label=f"error as {accept}"))
    for kind in CONTENT_TYPES:
        body = b'{"metadata":{"name":"typed"}}'
        steps.append(Step("POST", f"{path}?dryRun=All", body, kind, label=f"post of {kind}"))
        steps.append(
            Step("PUT", f"{path}/one?dryRun=All", b'{"metadata":{"name":"one"}}', kind, label=f"put of {kind}")
        )
        steps.append(Step("PATCH", f"{path}/one?dryRun=All", b"{}", kind, label=f"patch of {kind}"))
        steps.append(Step("DELETE", f"{path}/one?dryRun=All", b'{"dryRun":["All"]}', kind, label=f"delete of {kind}"))
    for name, body in BODIES:
        for check in ("", "?fieldValidation=Strict", "?fieldValidation=Ignore"):
            steps.append(Step("POST", path + (check or "?dryRun=All"), body, label=f"body {name} {check}"))
        steps.append(Step("PUT", f"{path}/one?dryRun=All", body, label=f"put body {name}"))
        steps.append(Step("DELETE", f"{path}/nope", body, label=f"delete body {name}"))
        for kind in (MERGE, STRATEGIC, JSON_PATCH):
            steps.append(Step("PATCH", f"{path}/one?dryRun=All", body, kind, label=f"{kind} body {name}"))
        steps.append(Step("PATCH", f"{path}/one?dryRun=All&fieldManager=m", body, APPLY, label=f"apply body {name}"))
    yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: y\ndata: {a: 'on', b: \"2\"}\n"
    for name, body in (
        ("plain", yaml), ("twice", yaml + b"data: {c: d}\n"), ("tab", b"a:\n\t- b"), ("alias", b"metadata: &m {name: y}\nx: *m\n"),
        ("two documents", yaml + b"---\n" + yaml), ("a number", b"metadata: {name: y}\ndata: {a: 1}\n"), ("empty", b"# nothing\n"),
        ("bool key", b"metadata: {name: y}\ndata: {on: 'x', 1: 'y'}\n"), ("a date", b"metadata: {name: y, labels: {a: 2020-01-01}}\n"),
    ):  # fmt: skip
        for check in ("Strict", "Warn", "Ignore"):
            query = f"?dryRun=All&fieldValidation={check}"
            steps.append(Step("POST", path + query, body, "application/yaml", label=f"yaml {name} {check}"))
        steps.append(Step("PATCH", f"{path}/y?dryRun=All&fieldManager=m", body, APPLY, label=f"apply yaml {name}"))
    return Scenario("forms", steps)


def _watch_options() -> Scenario:
    path = maps("watch options")
    steps = [Step("POST", path, config_map("w1")), Step("GET", path, save={"then": "metadata.resourceVersion"})]
    only = "fieldSelector=metadata.name=w1"
    for initial in ("", "true", "false"):
        for match in ("", "NotOlderThan", "Exact"):
            for version in ("", "0", "1", "<<then>>"):
                for bookmarks in ("", "true"):
                    query = f"{only}&resourceVersion={version}&timeoutSeconds=1"
                    query += f"&resourceVersionMatch={match}" if match else ""
                    query += f"&sendInitialEvents={initial}" if initial else ""
                    query += f"&allowWatchBookmarks={bookmarks}" if bookmarks else ""
                    good = match == "" if not initial else match == "NotOlderThan"
                    if good:
                        continue  # answered by a stream, see below
                    steps.append(Step("GET", f"{path}?watch=1&{query}", label=f"watch {query[len(only) + 1 :]}"))
    opened = "watch=1&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&sendInitialEvents=true"
    for number, version in enumerate(("", "0", "1", "<<then>>")):
        steps.append(
            Step(
                "GET",
                f"{path}?{only}&{opened}&resourceVersion={version}",
                opens=str(number),
                label=f"initial {version}",
            )
        )
        steps.append(Step("GET", "", reads=str(number), label=f"initial events {version}"))
    for number, version in enumerate(("", "0", "<<then>>"), 10):
        steps.append(
            Step("GET", f"{path}?{only}&watch=1&resourceVersion={version}", opens=str(number), label=f"plain {version}")
        )
    steps += [
        Step("PATCH", f"{path}/w1", {"data": {"c": "d"}}, MERGE),
        Step("DELETE", f"{path}/w1"),
        Step("POST", path, config_map("w1", {"x": "y"})),
        Step("PATCH", f"{path}/w1", {"metadata": {"name": "w1", "labels": {"z": "z"}}}, MERGE),
    ]
    steps += [Step("GET", "", reads=str(number), last="w1", label=f"plain events {number}") for number in (10, 11, 12)]
    steps += [
        Step("GET", f"{path}/w1?watch=1&resourceVersion=<<then>>&timeoutSeconds=1", label="watch one by path"),
        Step("GET", f"/api/v1/watch/namespaces/{namespace_of('watch options')}/configmaps?timeoutSeconds=1", label="watch prefix"),
        Step("GET", f"{path}?watch=1&timeoutSeconds=1&resourceVersion=999999999", label="watch from the future"),
        Step("GET", f"{path}?watch=1&limit=1&timeoutSeconds=1&{only}&resourceVersion=<<then>>", label="watch with a limit"),
        Step("GET", f"{path}?watch=1&continue=x&timeoutSeconds=1", label="watch with a continuation"),
        Step("POST", f"{path}?watch=1", config_map("w2"), label="post with watch"),
    ]  # fmt: skip
    return Scenario("watch options", steps)


def _transitions(accept: str) -> Scenario:
    """Two watchers with selectors while objects enter and leave what they select."""
    form = {"": "objects", TABLE: "tables", PARTIAL: "metadata"}[accept]
    name = f"transitions of {form}"
    path = maps(name)
    accept = accept or "application/json"
    watch = "watch=1&allowWatchBookmarks=true&resourceVersion=<<then>>"
    initial = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    finalizer = {"finalizers": ["compared.io/f"]}
    steps = [
        Step("POST", path, config_map("t1", labels={"c": "red"})),
        Step("POST", path, config_map("t2", labels={"c": "blue"})),
        Step("GET", path, save={"then": "metadata.resourceVersion"}),
        Step("GET", f"{path}?{watch}&labelSelector=c=red", accept=accept, opens="red"),
        Step("GET", f"{path}?{initial}&labelSelector=c in (blue,end)", accept=accept, opens="blue"),
        Step("GET", "", reads="blue", label="initial events"),
        Step("PATCH", f"{path}/t1", {"metadata": {"labels": {"c": "blue"}}}, MERGE),
        Step("PATCH", f"{path}/t1", {"data": {"x": "1"}}, MERGE),
        Step("PATCH", f"{path}/t2", {"metadata": {"labels": {"c": "red"}}}, MERGE),
        Step("PATCH", f"{path}/t2", {"metadata": finalizer}, MERGE),
        Step("PATCH", f"{path}/t2", {"metadata": {"labels": {"c": None}}}, MERGE),
        Step("PATCH", f"{path}/t2", {"metadata": {"labels": {"c": "red"}}}, MERGE),
        Step("DELETE", f"{path}/t2"),
        Step("PATCH", f"{path}/t2", {"metadata": {"finalizers": None, "labels": {"c": "blue"}}}, MERGE),
        Step("DELETE", f"{path}/t1"),
        Step("PATCH", f"{path}/t1?fieldManager=m", config_map("t1", labels={"c": "red"}), APPLY),
        Step("PATCH", f"{path}/t1?fieldManager=m", config_map("t1", labels={"c": "red"}), APPLY),
        Step("PUT", f"{path}/t1", config_map("t1", labels={"c": "green"})),
        Step("DELETE", f"{path}?labelSelector=c=green"),
        Step("POST", f"{path}?dryRun=All", config_map("t3", labels={"c": "red"})),
        Step("POST", path, config_map("end", labels={"c": "red"})),
        Step("PATCH", f"{path}/end", {"metadata": {"labels": {"c": "end"}}}, MERGE),
        Step("GET", "", reads="red", last="end", label="events of red"),
        Step("GET", "", reads="blue", last="end", label="events of blue"),
        Step("GET", f"{path}?{watch}&labelSelector=c=red", accept=accept, opens="late"),
        Step("GET", "", reads="late", last="end", label="the same from history"),
    ]
    return Scenario(name, steps)
