"""Order inside one sync: waves, hooks, custom kinds, pruning."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, deployment

SIMULATED = "embedded.tiphys.dev"


def annotated(manifest: str, **annotations: str) -> str:
    """The manifest with Argo CD's annotations: `sync_wave="1"` is `argocd.argoproj.io/sync-wave`."""
    lines = "".join(
        f'    argocd.argoproj.io/{key.replace("_", "-")}: "{value}"\n' for key, value in sorted(annotations.items())
    )
    return manifest.replace("metadata:\n", f"metadata:\n  annotations:\n{lines}", 1)


def job(name: str, *, exit_code: int = 0, run_seconds: str = "0.3", **annotations: str) -> str:
    """A Job whose simulated Pod runs so long and ends so."""
    manifest = f"""\
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
spec:
  backoffLimit: 0
  template:
    metadata:
      annotations:
        {SIMULATED}/exit-code: "{exit_code}"
        {SIMULATED}/run-seconds: "{run_seconds}"
    spec:
      restartPolicy: Never
      containers:
        - name: main
          image: busybox:1.36
"""
    return annotated(manifest, **annotations)


def files(**manifests: str | None) -> dict[str, str | None]:
    """Files of the application, named after what is in them."""
    return {f"apps/my-app/{name.replace('_', '-')}.yaml": text for name, text in manifests.items()}


def live(environment: Environment, namespace: str, kind: str, name: str) -> Any:
    """The object, None when there is none."""
    return environment.kubectl.json("get", kind, name, "-n", namespace)


def made_at(obj: Any) -> datetime:
    """When the object was made."""
    return datetime.fromisoformat(obj["metadata"]["creationTimestamp"])


def results(app: Any) -> dict[str, Any]:
    """Results of the last operation by name."""
    return {row["name"]: row for row in app["status"]["operationState"]["syncResult"]["resources"]}


def until_ended(environment: Environment, name: str, phase: str = "Succeeded", *, after: str = "") -> Any:
    """Until an operation that started after `after` has ended like this; the Application."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending:
        found["app"] = environment.application(name) or {}
        state = (found["app"].get("status") or {}).get("operationState") or {}
        ended = state.get("phase") == phase and state.get("startedAt", "") > after
        return ended or Pending({k: state.get(k) for k in ("phase", "message", "startedAt", "syncResult")})

    environment.until(look, within_s=60, what=f"the operation of {name} {phase}")
    return found["app"]


def test_hooks_run_in_the_order_of_their_phases(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """PreSync is complete before anything is made, PostSync starts when everything is Healthy; none is drift."""
    repo.commit(
        files(
            before=job("before", hook="PreSync"),
            within=job("within", hook="Sync"),
            after=job("after", hook="PostSync"),
            web=deployment("web", replicas=1),
            config=config_map("settings", a="b"),
        )
    )
    environment.apply(application("phases", repo.url, namespace=namespace))
    app = environment.until_app("phases")

    before, within, after = (live(environment, namespace, "job", n) for n in ("before", "within", "after"))
    config, web = (
        live(environment, namespace, "configmap", "settings"),
        live(environment, namespace, "deployment", "web"),
    )
    ended = datetime.fromisoformat(before["status"]["completionTime"])
    assert made_at(before) <= ended <= min(made_at(config), made_at(web), made_at(within))
    available = next(c for c in web["status"]["conditions"] if c["type"] == "Available")
    assert datetime.fromisoformat(available["lastTransitionTime"]) <= made_at(after)
    assert datetime.fromisoformat(within["status"]["completionTime"]) <= made_at(after)
    rows = results(app)
    assert [rows[n]["hookType"] for n in ("before", "within", "after")] == ["PreSync", "Sync", "PostSync"]
    assert {rows[n]["hookPhase"] for n in ("before", "within", "after")} == {"Succeeded"}
    assert app["status"]["operationState"]["message"] == "successfully synced (no more tasks)"
    assert {r["name"] for r in app["status"]["resources"]} == {"web", "settings"}
    assert [j["metadata"].get("finalizers", []) for j in (before, within, after)] == [[], [], []]


def test_a_hook_is_made_anew_in_the_next_sync(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """BeforeHookCreation is the default: the old Job goes first. A commit that changes nothing runs no hook."""
    repo.commit(files(before=job("before", hook="PreSync"), config=config_map("settings", a="b")))
    environment.apply(application("anew", repo.url, namespace=namespace))
    first = environment.until_app("anew")
    uid = live(environment, namespace, "job", "before")["metadata"]["uid"]

    repo.commit({"README.md": "nothing to deploy"})
    repo.commit(files(config=config_map("settings", a="c")))

    app = until_ended(environment, "anew", after=first["status"]["operationState"]["startedAt"])
    again = live(environment, namespace, "job", "before")
    assert again["metadata"]["uid"] != uid
    assert [h["id"] for h in app["status"]["history"]] == [0, 1]
    assert live(environment, namespace, "configmap", "settings")["data"] == {"a": "c"}


def test_hooks_with_generated_names_are_kept_side_by_side(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """generateName gets revision, phase and time of the operation."""
    named = job("x", hook="PostSync").replace("  name: x", "  generateName: report-")
    revision = repo.commit(files(report=named, config=config_map("settings", a="b")))
    environment.apply(application("generated", repo.url, namespace=namespace))
    first = environment.until_app("generated")
    repo.commit(files(config=config_map("settings", a="c")))
    until_ended(environment, "generated", after=first["status"]["operationState"]["startedAt"])

    jobs = [j["metadata"]["name"] for j in environment.kubectl.json("get", "jobs", "-n", namespace)["items"]]
    assert len(jobs) == 2
    assert any(name.startswith(f"report-{revision[:7]}-postsync-") for name in jobs)


def test_delete_policies_decide_what_is_left_of_hooks(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """HookSucceeded goes when all went well; HookFailed stays then."""
    repo.commit(
        files(
            clean=job("clean", hook="PreSync", hook_delete_policy="HookSucceeded"),
            kept=job("kept", hook="PreSync", hook_delete_policy="HookFailed"),
            config=config_map("settings", a="b"),
        )
    )
    environment.apply(application("policies", repo.url, namespace=namespace))
    environment.until_app("policies")

    def gone() -> bool | Pending:
        return live(environment, namespace, "job", "clean") is None or Pending("still there")

    environment.until(gone, within_s=30, what="the succeeded hook to go")
    assert live(environment, namespace, "job", "kept") is not None


def test_a_failed_presync_hook_stops_the_sync_and_runs_syncfail(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Nothing is applied, the SyncFail hook runs, the operation fails with the Job's words; HookFailed deletes it."""
    repo.commit(files(config=config_map("settings", a="b")))
    environment.apply(application("failing", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))
    first = environment.until_app("failing")

    repo.commit(
        files(
            before=job("before", hook="PreSync", exit_code=3, hook_delete_policy="HookFailed"),
            rescue=job("rescue", hook="SyncFail"),
            after=job("after", hook="PostSync"),
            config=config_map("settings", a="c"),
        )
    )
    app = until_ended(environment, "failing", "Failed", after=first["status"]["operationState"]["startedAt"])

    state = app["status"]["operationState"]
    assert state["message"].startswith("one or more synchronization tasks completed unsuccessfully")
    rows = results(app)
    assert (rows["before"]["hookPhase"], rows["rescue"]["hookPhase"]) == ("Failed", "Succeeded")
    assert "after" not in rows
    assert live(environment, namespace, "configmap", "settings")["data"] == {"a": "b"}
    assert live(environment, namespace, "job", "after") is None
    assert live(environment, namespace, "job", "rescue")["status"]["succeeded"] == 1
    assert app["status"]["sync"]["status"] == "OutOfSync"

    def gone() -> bool | Pending:
        return live(environment, namespace, "job", "before") is None or Pending("still there")

    environment.until(gone, within_s=30, what="the failed hook to go")

    def told() -> bool | Pending:
        conditions = environment.application("failing")["status"].get("conditions", [])
        texts = [c["message"] for c in conditions if c["type"] == "SyncError"]
        return any(t.startswith("Failed last sync attempt to [") for t in texts) or Pending(conditions)

    environment.until(told, within_s=30, what="the condition about the failed attempt")

    repo.commit(files(before=job("before", hook="PreSync")))
    environment.until_app("failing")
    assert live(environment, namespace, "configmap", "settings")["data"] == {"a": "c"}


def test_a_wave_waits_until_the_one_before_is_healthy(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The slow Deployment of wave -1 is available before the ConfigMap of wave 0 is made."""
    slow = deployment("slow", replicas=1).replace(
        "      labels:\n        app: slow\n    spec:",
        f'      labels:\n        app: slow\n      annotations:\n        {SIMULATED}/start-delay: "2"\n    spec:',
    )
    assert "start-delay" in slow
    repo.commit(
        files(
            slow=annotated(slow, sync_wave="-1"),
            config=config_map("settings", a="b"),
            last=annotated(config_map("last", a="b"), sync_wave="5"),
        )
    )
    environment.apply(application("waves", repo.url, namespace=namespace))

    def waiting() -> bool | Pending:
        state = (environment.application("waves").get("status") or {}).get("operationState") or {}
        said = state.get("message", "")
        return said == "waiting for healthy state of apps/Deployment/slow" or Pending(state)

    environment.until(waiting, within_s=30, what="the operation to say what it waits for")
    assert live(environment, namespace, "configmap", "settings") is None

    app = environment.until_app("waves")
    available = next(
        c
        for c in live(environment, namespace, "deployment", "slow")["status"]["conditions"]
        if c["type"] == "Available"
    )
    settings, last = (live(environment, namespace, "configmap", n) for n in ("settings", "last"))
    assert datetime.fromisoformat(available["lastTransitionTime"]) <= made_at(settings) <= made_at(last)
    assert {r["name"]: r.get("syncWave", 0) for r in app["status"]["resources"]} == {
        "slow": -1,
        "settings": 0,
        "last": 5,
    }


def test_a_degraded_wave_fails_the_sync(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """What comes after it is not applied."""
    broken = deployment("broken", image="nginx:does-not-exist", replicas=1).replace(
        "  replicas: 1\n", "  replicas: 1\n  progressDeadlineSeconds: 2\n"
    )
    repo.commit(files(broken=annotated(broken, sync_wave="-1"), config=config_map("settings", a="b")))
    environment.apply(application("degraded", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))

    app = until_ended(environment, "degraded", "Failed")

    assert 'Deployment "broken" exceeded its progress deadline' in app["status"]["operationState"]["message"]
    assert live(environment, namespace, "configmap", "settings") is None


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {plural}.{group}
spec:
  group: {group}
  scope: {scope}
  names:
    kind: {kind}
    plural: {plural}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          x-kubernetes-preserve-unknown-fields: true
"""


def test_a_custom_kind_and_its_objects_come_in_one_sync(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Namespaced and cluster-scoped; the CRD goes first although its wave is later, and carries no mark."""
    group = f"{namespace}.example.com"
    gadget = f"apiVersion: {group}/v1\nkind: Gadget\nmetadata:\n  name: one\nspec:\n  size: 1\n"
    planet = f"apiVersion: {group}/v1\nkind: Planet\nmetadata:\n  name: earth\nspec:\n  size: 2\n"
    repo.commit(
        files(
            a_gadget=gadget,
            a_planet=planet,
            z_gadgets=annotated(
                CRD.format(group=group, scope="Namespaced", kind="Gadget", plural="gadgets"), sync_wave="3"
            ),
            z_planets=CRD.format(group=group, scope="Cluster", kind="Planet", plural="planets"),
        )
    )
    environment.apply(application("custom", repo.url, namespace=namespace))
    app = environment.until_app("custom")

    assert app["status"]["operationState"].get("retryCount", 0) == 0
    assert len(app["status"]["history"]) == 1
    rows = {r["kind"]: r.get("namespace", "") for r in app["status"]["resources"]}
    assert rows == {"Gadget": namespace, "Planet": "", "CustomResourceDefinition": ""}
    earth = environment.kubectl.json("get", f"planets.{group}", "earth")
    assert earth["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] == (
        f"custom:{group}/Planet:{namespace}/earth"
    )
    crd = environment.kubectl.json("get", "crd", f"gadgets.{group}")
    assert "argocd.argoproj.io/tracking-id" not in crd["metadata"]["annotations"]
    assert made_at(crd) <= made_at(environment.kubectl.json("get", f"gadgets.{group}", "one", "-n", namespace))

    repo.commit(files(a_gadget=gadget.replace("size: 1", "size: 7")))

    def changed() -> bool | Pending:
        found = environment.kubectl.json("get", f"gadgets.{group}", "one", "-n", namespace)
        return found["spec"] == {"size": 7} or Pending(found["spec"])

    environment.until(changed, within_s=30, what="the custom resource to change")

    # It is watched at once, although its kind did not exist when the sync began.
    patch = '{"spec": {"size": 9}}'
    environment.kubectl("patch", f"gadgets.{group}", "one", "-n", namespace, "--type=merge", "-p", patch)
    environment.until(changed, within_s=30, what="the drift of the custom resource to be reverted")

    repo.commit(files(a_gadget=None, a_planet=None, z_gadgets=None, z_planets=None, config=config_map("left", a="b")))

    def pruned() -> bool | Pending:
        found = environment.kubectl.json("get", f"planets.{group}", "earth")
        return found is None or Pending("planet earth is still there")

    environment.until(pruned, within_s=30, what="the custom resources to be pruned")
    app = environment.until_app("custom")
    assert {r["kind"] for r in app["status"]["resources"]} == {"ConfigMap"}

    # Definitions are nobody's, so they stay. When somebody deletes them nothing is out of order, and they may come back.
    environment.kubectl("delete", "crd", f"planets.{group}", f"gadgets.{group}")
    repo.commit(files(config=config_map("left", a="c")))
    environment.until(
        lambda: live(environment, namespace, "configmap", "left")["data"] == {"a": "c"} or Pending("not changed"),
        within_s=30,
    )
    environment.until_app("custom")
    repo.commit(
        files(
            a_gadget=gadget.replace("size: 1", "size: 7"),
            z_gadgets=CRD.format(group=group, scope="Namespaced", kind="Gadget", plural="gadgets"),
        )
    )
    environment.until(lambda: _exists(environment, f"gadgets.{group}", namespace), within_s=30, what="the gadget again")
    app = environment.until_app("custom")
    assert {r["kind"]: r["status"] for r in app["status"]["resources"]} == {
        "ConfigMap": "Synced",
        "CustomResourceDefinition": "Synced",
        "Gadget": "Synced",
    }


def _exists(environment: Environment, kind: str, namespace: str) -> bool | Pending:
    done = environment.kubectl.run("get", kind, "one", "-n", namespace)
    return done.returncode == 0 or Pending(done.stderr)


def held(name: str, *, wave: str, **annotations: str) -> str:
    """A ConfigMap that stays a while when it is deleted, so that the order of deletions shows."""
    manifest = config_map(name, a="b").replace("metadata:\n", "metadata:\n  finalizers: [example.com/hold]\n", 1)
    return annotated(manifest, sync_wave=wave, **annotations)


def let_go(environment: Environment, namespace: str, name: str) -> None:
    """Take the finalizer off."""
    environment.kubectl(
        "patch", "configmap", name, "-n", namespace, "--type=merge", "-p", '{"metadata": {"finalizers": null}}'
    )


def test_prunes_go_in_reverse_order_of_waves(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """What was made last is deleted first, and the next wave waits until it is gone."""
    repo.commit(files(one=held("one", wave="1"), two=held("two", wave="2"), stays=config_map("stays", a="b")))
    environment.apply(application("reverse", repo.url, namespace=namespace))
    environment.until_app("reverse")

    repo.commit(files(one=None, two=None))

    def going(name: str) -> bool:
        found = live(environment, namespace, "configmap", name)
        return found is not None and "deletionTimestamp" in found["metadata"]

    environment.until(lambda: going("two") or Pending("not deleted"), within_s=30, what="two to be deleted")
    assert not going("one")
    let_go(environment, namespace, "two")
    environment.until(lambda: going("one") or Pending("not deleted"), within_s=30, what="one to be deleted")
    let_go(environment, namespace, "one")
    app = environment.until_app("reverse")
    assert {n: r["status"] for n, r in results(app).items()} == {"one": "Pruned", "two": "Pruned", "stays": "Synced"}
    assert live(environment, namespace, "configmap", "stays") is not None


def test_prune_last_waits_for_everything_else(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """PruneLast on the object that goes: the Deployment that takes its place is Healthy first."""
    repo.commit(
        files(old=annotated(config_map("old", a="b"), sync_options="PruneLast=true"), keep=config_map("k", a="b"))
    )
    environment.apply(application("prune-last", repo.url, namespace=namespace))
    environment.until_app("prune-last")

    slow = deployment("new", replicas=1).replace(
        "      labels:\n        app: new\n    spec:",
        f'      labels:\n        app: new\n      annotations:\n        {SIMULATED}/start-delay: "2"\n    spec:',
    )
    repo.commit(files(old=None, new=slow))

    def made() -> bool | Pending:
        return live(environment, namespace, "deployment", "new") is not None or Pending("no Deployment")

    environment.until(made, within_s=30, what="the new Deployment")
    assert live(environment, namespace, "configmap", "old") is not None
    environment.until_app("prune-last")
    environment.until(
        lambda: live(environment, namespace, "configmap", "old") is None or Pending("still there"),
        within_s=30,
        what="the old ConfigMap to be pruned",
    )


def test_prune_false_keeps_the_object_and_says_so(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The Application stays OutOfSync, the result says PruneSkipped, no operation follows another."""
    repo.commit(
        files(keep=annotated(config_map("keep", a="b"), sync_options="Prune=false"), other=config_map("other", a="b"))
    )
    environment.apply(application("prune-false", repo.url, namespace=namespace))
    first = environment.until_app("prune-false")

    repo.commit(files(keep=None, other=config_map("other", a="c")))

    app = until_ended(environment, "prune-false", after=first["status"]["operationState"]["startedAt"])
    row = results(app)["keep"]
    assert (row["status"], row["message"]) == ("PruneSkipped", "ignored (no prune)")
    rows = {r["name"]: (r["status"], r.get("requiresPruning", False)) for r in app["status"]["resources"]}
    assert rows == {"keep": ("OutOfSync", True), "other": ("Synced", False)}
    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert live(environment, namespace, "configmap", "keep") is not None
    environment.kubectl(
        "annotate", "app", "prune-false", "-n", "argocd", "argocd.argoproj.io/refresh=normal", "--overwrite"
    )
    environment.until(
        lambda: (
            "argocd.argoproj.io/refresh"
            not in (environment.application("prune-false")["metadata"].get("annotations") or {})
            or Pending("refresh not done")
        ),
        within_s=30,
    )
    again = environment.application("prune-false")["status"]["operationState"]["startedAt"]
    assert again == app["status"]["operationState"]["startedAt"]


def test_the_application_option_prune_false_keeps_everything(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Unless the object itself says Prune=true."""
    repo.commit(
        files(
            keep=config_map("keep", a="b"),
            goes=annotated(config_map("goes", a="b"), sync_options="Prune=true"),
            other=config_map("other", a="b"),
        )
    )
    text = application("prune-none", repo.url, namespace=namespace)
    environment.apply(text.replace("      - CreateNamespace=true", "      - CreateNamespace=true\n      - Prune=false"))
    first = environment.until_app("prune-none")

    repo.commit(files(keep=None, goes=None))

    app = until_ended(environment, "prune-none", after=first["status"]["operationState"]["startedAt"])
    assert {n: r["status"] for n, r in results(app).items()} == {
        "keep": "PruneSkipped",
        "goes": "Pruned",
        "other": "Synced",
    }
    assert live(environment, namespace, "configmap", "keep") is not None
    assert live(environment, namespace, "configmap", "goes") is None
