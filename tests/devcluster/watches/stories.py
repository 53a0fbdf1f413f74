"""Stories: watchers, and what is done while they look."""

# ruff: noqa: E501 (stories are easier to read in wide rows)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.devcluster.compare.step import JSON, MERGE, PARTIAL, STRATEGIC, TABLE, Scenario, Step, namespace_of

THINGS = "/apis/things.compared.io/v1"
END = "timeoutSeconds=55"  # the watch is left before

OWN = "metadata.name!=kube-root-ca.crt"  # what the controllers make, and would make again
FIRST = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"


@dataclass(frozen=True)
class Watcher:
    """One watch: a path without `watch=true` and what it accepts. It ends when the server ends it."""

    path: str
    accept: str = JSON


@dataclass(frozen=True)
class Story:
    """`before` is done before anybody looks, `writes` while all watchers do."""

    name: str
    watchers: Mapping[str, Watcher]
    before: list[Step] = field(default_factory=list)
    writes: list[Step] = field(default_factory=list)

    @property
    def scenario(self) -> Scenario:
        """What has to be prepared: a namespace."""
        return Scenario(f"watch {self.name}", [])


def _of(story: str, plural: str = "configmaps", root: str = "/api/v1") -> str:
    return f"{root}/namespaces/{namespace_of(f'watch {story}')}/{plural}"


def _map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, **({"labels": labels} if labels else {})}, "data": data}


def _labels(path: str, labels: Any) -> Step:
    return Step("PATCH", path, {"metadata": {"labels": labels}}, MERGE)


def _life(path: str, name: str = "one") -> list[Step]:
    """An object that comes into selections, changes within them, leaves them and ends."""
    one = f"{path}/{name}"
    return [
        Step("POST", path, _map(name)), _labels(one, {"app": "a"}), Step("PATCH", one, {"data": {"x": "1"}}, MERGE),
        Step("PATCH", one, {"data": {"x": "1"}}, MERGE), Step("PATCH", f"{one}?dryRun=All", {"data": {"x": "9"}}, MERGE),
        _labels(one, {"app": "b"}), _labels(one, {"app": "c"}), _labels(one, {"app": None}), _labels(one, {"app": "a", "tier": "t"}), Step("DELETE", one),
        Step("POST", path, _map(name, {"app": "b"})), Step("DELETE", f"{path}?fieldSelector={OWN}"),
    ]  # fmt: skip


def stories() -> list[Story]:
    """All."""
    return [
        _selectors(), _fields(), _pods(), _secrets(), _versions(), _initial(), _times(), _names(), _forms(), _ends(), _custom(), _everywhere(), _refused(), _gone(),
    ]  # fmt: skip


def _selectors() -> Story:
    path = _of("labels")
    wanted = ("", "app=a", "app!=a", "app in (a,b)", "app notin (a,b)", "app", "!app", "app=a,tier=t", "app=a,tier!=t")
    watchers = {f"labels {one or 'none'}": Watcher(f"{path}?{END}&labelSelector={one}") for one in wanted}
    return Story("labels", watchers, writes=_life(path))


def _fields() -> Story:
    path = _of("fields")
    space = namespace_of("watch fields")
    wanted = (
        "metadata.name=one",
        "metadata.name!=one",
        f"metadata.namespace={space}",
        "metadata.namespace=other",
        "metadata.name=one,metadata.name=two",
    )
    watchers = {f"fields {one.replace(space, 'NS')}": Watcher(f"{path}?{END}&fieldSelector={one}") for one in wanted}
    watchers["fields and labels"] = Watcher(f"{path}?{END}&fieldSelector=metadata.name=one&labelSelector=app=a")
    return Story("fields", watchers, writes=[*_life(path), *_life(path, "two")])


def _pods() -> Story:
    path = _of("pods", "pods")
    one = f"{path}/one"
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0}
    wanted = (
        "status.phase=Pending",
        "status.phase!=Pending",
        "spec.nodeName=",
        "spec.nodeName=n",
        "spec.restartPolicy=Always",
        "status.podIP=10.9.9.9",
    )
    writes = [
        Step("POST", path, {"metadata": {"name": "one"}, "spec": spec}),
        Step("PATCH", f"{one}/status", {"status": {"phase": "Running", "podIP": "10.9.9.9", "podIPs": [{"ip": "10.9.9.9"}]}}, STRATEGIC),
        Step("POST", f"{one}/binding", {"metadata": {"name": "one"}, "target": {"kind": "Node", "name": "n"}}),
        Step("PATCH", f"{one}/status", {"status": {"phase": "Succeeded"}}, STRATEGIC), Step("DELETE", f"{one}?gracePeriodSeconds=0"),
    ]  # fmt: skip
    return Story("pods", {f"pods {one}": Watcher(f"{path}?{END}&fieldSelector={one}") for one in wanted}, writes=writes)


def _secrets() -> Story:
    path = _of("secrets", "secrets")
    writes = []
    for name, kind in (("a", "Opaque"), ("b", "example.com/t")):
        writes += [
            Step("POST", path, {"metadata": {"name": name}, "type": kind}),
            Step("PATCH", f"{path}/{name}", {"stringData": {"k": "v"}}, MERGE),
        ]
    writes.append(Step("DELETE", path))
    wanted = ("type=Opaque", "type!=Opaque", "type=example.com/t,metadata.name=b")
    return Story(
        "secrets", {f"secrets {one}": Watcher(f"{path}?{END}&fieldSelector={one}") for one in wanted}, writes=writes
    )


def _versions() -> Story:
    path = _of("versions")
    saved = {"old": "metadata.resourceVersion"}
    before = [
        Step("POST", path, _map("a", {"app": "a"}), save=saved), Step("POST", path, _map("b", {"app": "b"})), _labels(f"{path}/b", {"app": "a"}), _labels(f"{path}/a", {"app": "b"}),
        Step("POST", path, _map("gone", {"app": "a"})), Step("DELETE", f"{path}/gone"),
    ]  # fmt: skip
    wanted = {
        "none": "",
        "nought": "&resourceVersion=0",
        "old": "&resourceVersion=<<old>>",
        "large": "&resourceVersion=99999999999",
        "one": "&resourceVersion=1",
    }
    watchers: dict[str, Watcher] = {}
    for label, query in wanted.items():
        watchers[f"versions {label}"] = Watcher(f"{path}?{END}{query}")
        if label != "large":
            watchers[f"versions {label} app=a"] = Watcher(f"{path}?{END}{query}&labelSelector=app=a")
    return Story("versions", watchers, before, _life(path))


def _initial() -> Story:
    path = _of("initial")
    before = [
        Step("POST", path, _map("a", {"app": "a"})),
        Step("POST", path, _map("b", {"app": "b"}), save={"old": "metadata.resourceVersion"}),
        _labels(f"{path}/b", {"x": "y"}),
    ]
    wanted = {
        "with bookmark": f"{FIRST}&allowWatchBookmarks=true", "without bookmark": FIRST, "selected": f"{FIRST}&allowWatchBookmarks=true&labelSelector=app=a",
        "by name": f"{FIRST}&allowWatchBookmarks=true&fieldSelector=metadata.name=b", "none of them": "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        "from nought": f"{FIRST}&allowWatchBookmarks=true&resourceVersion=0", "from old": f"{FIRST}&allowWatchBookmarks=true&resourceVersion=<<old>>",
        "not from old": "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=<<old>>", "of nothing": f"{FIRST}&allowWatchBookmarks=true&labelSelector=nobody=has",
    }  # fmt: skip
    return Story(
        "initial",
        {f"initial {label}": Watcher(f"{path}?{END}&{query}") for label, query in wanted.items()},
        before,
        _life(path),
    )


def _times() -> Story:
    path = _of("times")
    watchers = {
        "times one second": Watcher(f"{path}?timeoutSeconds=1"), "times bookmarks": Watcher(f"{path}?timeoutSeconds=4&allowWatchBookmarks=true"),
        "times no bookmarks": Watcher(f"{path}?timeoutSeconds=4&allowWatchBookmarks=false"), "times capital": Watcher(f"{path}?timeoutSeconds=3&allowWatchBookmarks=True"),
    }  # fmt: skip
    return Story("times", watchers)


def _names() -> Story:
    path = _of("names")
    watchers = {
        "names one": Watcher(f"{path}/one?{END}"), "names absent": Watcher(f"{path}/absent?{END}"), "names old path": Watcher(path.replace("/v1/", "/v1/watch/") + f"/one?{END}"),
        "names old list": Watcher(path.replace("/v1/", "/v1/watch/") + f"?{END}"), "names and selector": Watcher(f"{path}/one?{END}&fieldSelector=metadata.name=one"),
        "names and other": Watcher(f"{path}/one?{END}&fieldSelector=metadata.name=two"), "names by label": Watcher(f"{path}/one?{END}&labelSelector=app=a"),
    }  # fmt: skip
    return Story(
        "names", watchers, [Step("POST", path, _map("absent", x="y")), Step("DELETE", f"{path}/absent")], _life(path)
    )


def _forms() -> Story:
    path, deployments = _of("forms"), _of("forms", "deployments", "/apis/apps/v1")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    deployment = {
        "metadata": {"name": "d"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    watchers = {
        "forms table": Watcher(f"{path}?{END}", TABLE), "forms table with objects": Watcher(f"{path}?{END}&includeObject=Object", TABLE), "forms table without": Watcher(f"{path}?{END}&includeObject=None", TABLE),
        "forms metadata": Watcher(f"{path}?{END}", PARTIAL), "forms table of deployments": Watcher(f"{deployments}?{END}", TABLE), "forms metadata initial": Watcher(f"{path}?{END}&{FIRST}&allowWatchBookmarks=true", PARTIAL),
        "forms table initial": Watcher(f"{path}?{END}&{FIRST}&allowWatchBookmarks=true", TABLE), "forms yaml": Watcher(f"{path}?{END}", "application/yaml"), "forms selected": Watcher(f"{path}?{END}&labelSelector=app=a", TABLE),
        "forms stream": Watcher(f"{path}?{END}", "application/json;stream=watch"), "forms odd": Watcher(f"{path}?{END}", "text/plain"),
    }  # fmt: skip
    writes = [
        *_life(path), Step("POST", deployments, deployment), Step("PATCH", f"{deployments}/d/scale", {"spec": {"replicas": 2}}, MERGE),
        Step("PATCH", f"{deployments}/d/status", {"status": {"replicas": 1}}, MERGE), Step("DELETE", f"{deployments}/d?propagationPolicy=Background"),
    ]  # fmt: skip
    return Story("forms", watchers, [Step("POST", path, _map("there", {"app": "a"}, x="y"))], writes)


def _ends() -> Story:
    path = _of("ends")
    one = f"{path}/held"
    writes = [
        Step("POST", path, {"metadata": {"name": "held", "labels": {"app": "a"}, "finalizers": ["x.io/a", "x.io/b"]}}), Step("DELETE", one), Step("DELETE", one), _labels(one, {"app": "b"}),
        Step("PATCH", one, {"metadata": {"finalizers": ["x.io/b"]}}, MERGE), _labels(one, {"app": "a"}), Step("PATCH", one, {"metadata": {"finalizers": None, "labels": {"app": "b"}}}, MERGE),
        Step("POST", path, _map("plain", {"app": "a"})), Step("DELETE", f"{path}/plain?propagationPolicy=Background"), Step("POST", path, _map("x1", {"app": "a"})), Step("POST", path, _map("x2", {"app": "b"})), Step("DELETE", f"{path}?labelSelector=app=a"),
    ]  # fmt: skip
    watchers = {
        "ends all": Watcher(f"{path}?{END}"),
        "ends app=a": Watcher(f"{path}?{END}&labelSelector=app=a"),
        "ends held": Watcher(f"{path}?{END}&fieldSelector=metadata.name=held"),
        "ends app=b": Watcher(f"{path}?{END}&labelSelector=app=b"),
    }
    return Story("ends", watchers, writes=writes)


def _custom() -> Story:
    path = _of("custom", "things", THINGS)
    one = f"{path}/one"
    writes = [
        Step("POST", path, {"apiVersion": "things.compared.io/v1", "kind": "Thing", "metadata": {"name": "one", "labels": {"app": "a"}}, "spec": {"word": "x"}}), Step("PATCH", one, {"spec": {"word": "y"}}, MERGE),
        Step("PATCH", f"{one}/status", {"status": {"replicas": 2}}, MERGE), Step("PATCH", f"{one}/scale", {"spec": {"replicas": 3}}, MERGE), _labels(one, {"app": "b"}), Step("DELETE", one),
    ]  # fmt: skip
    watchers = {
        "custom all": Watcher(f"{path}?{END}"), "custom app=a": Watcher(f"{path}?{END}&labelSelector=app=a"), "custom by name": Watcher(f"{path}?{END}&fieldSelector=metadata.name=one"), "custom table": Watcher(f"{path}?{END}", TABLE),
        "custom metadata": Watcher(f"{path}?{END}", PARTIAL), "custom initial": Watcher(f"{path}?{END}&{FIRST}&allowWatchBookmarks=true"), "custom by no field": Watcher(f"{path}?{END}&fieldSelector=spec.word=x"),
    }  # fmt: skip
    return Story("custom", watchers, writes=writes)


def _everywhere() -> Story:
    path = _of("everywhere")
    watchers = {
        "everywhere": Watcher(f"/api/v1/configmaps?{END}&labelSelector=everywhere=yes"), "everywhere initial": Watcher(f"/api/v1/configmaps?{END}&{FIRST}&allowWatchBookmarks=true&labelSelector=everywhere=yes"),
        "everywhere by namespace": Watcher(f"/api/v1/configmaps?{END}&fieldSelector=metadata.namespace={namespace_of('watch everywhere')}&labelSelector=everywhere"),
    }  # fmt: skip
    writes = [
        Step("POST", path, _map("a", {"everywhere": "yes"})),
        _labels(f"{path}/a", {"everywhere": "no"}),
        _labels(f"{path}/a", {"everywhere": "yes"}),
        Step("DELETE", f"{path}/a"),
    ]
    return Story("everywhere", watchers, [Step("POST", path, _map("before", {"everywhere": "yes"}))], writes)


def _refused() -> Story:
    path = _of("refused")
    queries = {
        "initial without match": "sendInitialEvents=true", "initial with exact": "sendInitialEvents=true&resourceVersionMatch=Exact", "match alone": "resourceVersionMatch=NotOlderThan", "odd match": "resourceVersionMatch=Odd",
        "bad version": "resourceVersion=abc", "negative version": "resourceVersion=-1", "bad label": "labelSelector=a==b==c", "bad field": "fieldSelector=spec.x=y", "bad timeout": "timeoutSeconds=x", "continued": "continue=abc", "limited": "limit=1", "bad initial": "sendInitialEvents=maybe",
    }  # fmt: skip
    watchers = {f"refused {label}": Watcher(f"{path}?timeoutSeconds=1&{query}") for label, query in queries.items()}
    watchers["refused no namespace"] = Watcher("/api/v1/namespaces/there-is-none/configmaps?timeoutSeconds=1")
    watchers["refused reviews"] = Watcher("/apis/authorization.k8s.io/v1/subjectaccessreviews?timeoutSeconds=1")
    return Story("refused", watchers, [Step("POST", path, _map("a"))])


def _gone() -> Story:
    """A namespace that is deleted while it is watched; the content is deleted here, as its controller would."""
    path, space = _of("gone"), namespace_of("watch gone")
    watchers = {
        "gone maps": Watcher(f"{path}?{END}&fieldSelector={OWN}"), "gone accounts": Watcher(_of("gone", "serviceaccounts") + f"?{END}&fieldSelector=metadata.name=robot"),
    }  # fmt: skip
    writes = [
        Step("POST", path, _map("a")), Step("POST", _of("gone", "serviceaccounts"), {"metadata": {"name": "robot"}}), Step("DELETE", f"{path}/a"), Step("DELETE", _of("gone", "serviceaccounts") + "/robot"),
        Step("DELETE", f"/api/v1/namespaces/{space}"),
    ]  # fmt: skip
    return Story("gone", watchers, writes=writes)
