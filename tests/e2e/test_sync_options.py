"""Sync options: how objects are written, pruned and waited for."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from tests.e2e.test_waves_and_hooks import CRD, annotated, files, job, live, results, until_ended
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, deployment

SERVER_SIDE = "CreateNamespace=true\n      - ServerSideApply=true"


def managers(obj: Any) -> set[tuple[str, str]]:
    """Who manages fields of the object, and how."""
    return {(e["manager"], e["operation"]) for e in obj["metadata"]["managedFields"] if not e.get("subresource")}


def read(environment: Environment, namespace: str, kind: str, name: str) -> Any:
    """The object with its managedFields, None when there is none."""
    return environment.kubectl.json("get", kind, name, "-n", namespace, "--show-managed-fields")


def sync(environment: Environment, name: str, **operation: Any) -> None:
    """Ask for a sync."""
    body = {"operation": {"sync": operation, "initiatedBy": {"username": "jo"}}}
    environment.kubectl("patch", "application", name, "-n", "argocd", "--type=merge", "-p", json.dumps(body))


def last_start(app: Any) -> str:
    """When the last operation of the Application began."""
    found: str = app["status"]["operationState"]["startedAt"]
    return found


def until_data(environment: Environment, namespace: str, name: str, data: dict[str, str] | None) -> None:
    """Until the ConfigMap holds just this; None: until it is gone."""

    def look() -> bool | Pending:
        found = live(environment, namespace, "configmap", name)
        now = found.get("data") if found is not None else None
        return now == data or Pending(now)

    environment.until(look, within_s=30, what=f"the ConfigMap {name} to be {data}")


def test_server_side_apply_owns_what_git_declares_and_nothing_else(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Fields of others stay and are no drift; what Git drops goes; what somebody changes comes back."""
    repo.commit(files(web=deployment("web", replicas=1), config=config_map("settings", a="1", b="2")))
    environment.apply(application("ssa", repo.url, namespace=namespace, options=SERVER_SIDE))
    app = environment.until_app("ssa")
    assert results(app)["web"]["message"] == "deployment.apps/web serverside-applied"
    settings = read(environment, namespace, "configmap", "settings")
    assert managers(settings) == {("argocd-controller", "Apply")}
    assert "kubectl.kubernetes.io/last-applied-configuration" not in settings["metadata"]["annotations"]

    # Somebody adds an entry of their own: no drift.
    patch = '{"data": {"theirs": "x"}}'
    environment.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", patch)
    repo.commit(files(config=config_map("settings", a="7")))
    until_data(environment, namespace, "settings", {"a": "7", "theirs": "x"})
    environment.until_app("ssa")

    patch = '{"data": {"a": "wrong"}}'
    environment.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", patch)
    until_data(environment, namespace, "settings", {"a": "7", "theirs": "x"})
    environment.until_app("ssa")


def test_a_resource_may_choose_its_own_way(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The annotation wins over the Application's option, in both directions."""
    repo.commit(
        files(
            one=annotated(config_map("one", a="1"), sync_options="ServerSideApply=false"),
            two=config_map("two", a="1"),
        )
    )
    environment.apply(application("choice", repo.url, namespace=namespace, options=SERVER_SIDE))
    environment.until_app("choice")
    assert managers(read(environment, namespace, "configmap", "one")) == {("argocd-controller", "Update")}
    assert managers(read(environment, namespace, "configmap", "two")) == {("argocd-controller", "Apply")}


def test_what_was_applied_client_side_moves_to_the_server_side(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """After the switch what Git drops is removed, whether kubectl or we applied it before."""
    repo.commit(files(ours=config_map("ours", a="1", b="2"), theirs=config_map("theirs", a="1", b="2")))
    environment.kubectl("create", "namespace", namespace)
    environment.kubectl("apply", "-n", namespace, "-f", "-", stdin=config_map("theirs", a="1", b="2", c="3"))
    environment.apply(application("migrate", repo.url, namespace=namespace).replace("- CreateNamespace=true", "- A=b"))
    app = environment.until_app("migrate")
    assert ("argocd-controller", "Update") in managers(read(environment, namespace, "configmap", "ours"))

    change = {"spec": {"syncPolicy": {"syncOptions": ["ServerSideApply=true"]}}}
    environment.kubectl("patch", "application", "migrate", "-n", "argocd", "--type=merge", "-p", json.dumps(change))
    repo.commit(files(ours=config_map("ours", a="1"), theirs=config_map("theirs", a="9")))
    until_ended(environment, "migrate", after=last_start(app))
    for name, value in (("ours", "1"), ("theirs", "9")):
        found = read(environment, namespace, "configmap", name)
        assert found["data"] == {"a": value}
        assert managers(found) == {("argocd-controller", "Apply")}
        assert "kubectl.kubernetes.io/last-applied-configuration" not in found["metadata"]["annotations"]
    environment.until_app("migrate")


def test_a_dropped_field_alone_is_drift_although_it_was_applied_client_side(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The switch to server-side apply and the change come together; nothing else differs."""
    repo.commit(files(config=config_map("settings", a="1", b="2")))
    environment.apply(application("dropped", repo.url, namespace=namespace))
    app = environment.until_app("dropped")
    dropped = annotated(config_map("settings", a="1"), sync_options="ServerSideApply=true")
    environment.kubectl(
        "annotate", "configmap", "settings", "-n", namespace, "argocd.argoproj.io/sync-options=ServerSideApply=true"
    )
    repo.commit(files(config=dropped))
    until_ended(environment, "dropped", after=last_start(app))
    until_data(environment, namespace, "settings", {"a": "1"})


def test_replace_puts_the_manifest_in_the_objects_place(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """What Git does not say goes; the object stays the same one, even against ServerSideApply."""
    repo.commit(files(config=config_map("settings", a="1")))
    options = SERVER_SIDE + "\n      - Replace=true"
    environment.apply(application("replace", repo.url, namespace=namespace, options=options))
    app = environment.until_app("replace")
    assert results(app)["settings"]["message"] == "configmap/settings created"
    before = read(environment, namespace, "configmap", "settings")
    assert managers(before) == {("argocd-controller", "Update")}
    patch = '{"data": {"theirs": "x"}}'
    environment.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", patch)

    repo.commit(files(config=config_map("settings", a="2")))
    until_data(environment, namespace, "settings", {"a": "2"})
    app = until_ended(environment, "replace", after=last_start(app))
    assert results(app)["settings"]["message"] == "configmap/settings replaced"
    after = read(environment, namespace, "configmap", "settings")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_force_makes_an_object_anew_that_cannot_be_changed(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Without it the operation fails in the server's words and names the field."""
    manifest = "immutable: true\n" + config_map("settings", a="1")
    repo.commit(files(config=manifest))
    environment.apply(application("force", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))
    app = environment.until_app("force")
    uid = live(environment, namespace, "configmap", "settings")["metadata"]["uid"]

    repo.commit(files(config=manifest.replace('"1"', '"2"')))
    app = until_ended(environment, "force", "Failed", after=last_start(app))
    message = app["status"]["operationState"]["message"]
    assert message.startswith("one or more objects failed to apply, reason: ")
    assert "field is immutable when `immutable` is set" in message

    sync(environment, "force", syncStrategy={"hook": {"force": True}})
    until_data(environment, namespace, "settings", {"a": "2"})
    found = live(environment, namespace, "configmap", "settings")
    assert found["metadata"]["uid"] != uid
    environment.until_app("force")

    repo.commit(files(config=annotated(manifest.replace('"1"', '"3"'), sync_options="Force=true")))
    until_data(environment, namespace, "settings", {"a": "3"})


def test_the_role_of_a_binding_may_change(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The binding is made anew, because its roleRef cannot be changed."""

    def binding(role: str) -> str:
        return (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: readers\n"
            f"roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: {role}\n"
            "subjects:\n  - kind: ServiceAccount\n    name: default\n    namespace: default\n"
        )

    repo.commit(files(binding=binding("view")))
    environment.apply(application("binding", repo.url, namespace=namespace))
    app = environment.until_app("binding")
    repo.commit(files(binding=binding("edit")))
    until_ended(environment, "binding", after=last_start(app))
    assert live(environment, namespace, "rolebinding", "readers")["roleRef"]["name"] == "edit"
    environment.until_app("binding")


def approve(environment: Environment, name: str) -> None:
    """Say that what asks for approval may be deleted from now on."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    environment.kubectl(
        "annotate", "application", name, "-n", "argocd", "--overwrite", f"argocd.argoproj.io/deletion-approved={at}"
    )


def until_message(environment: Environment, name: str, text: str) -> Any:
    """Until the running operation says so."""

    def look() -> bool | Pending:
        state = (environment.application(name).get("status") or {}).get("operationState") or {}
        return text in state.get("message", "") or Pending(state)

    environment.until(look, within_s=30, what=f"{name} to say {text!r}")
    return environment.application(name)


def test_a_prune_that_asks_for_approval_waits_for_it(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The operation stays Running; an approval from before it began does not count."""
    careful = annotated(config_map("careful", a="1"), sync_options="Prune=confirm")
    repo.commit(files(careful=careful, config=config_map("settings", a="1")))
    environment.apply(application("confirm", repo.url, namespace=namespace))
    app = environment.until_app("confirm")
    asks = {r["name"]: r.get("requiresDeletionConfirmation", False) for r in app["status"]["resources"]}
    assert asks == {"careful": True, "settings": False}
    approve(environment, "confirm")
    time.sleep(1.1)  # approvals and starts are told to the second

    repo.commit(files(careful=None))
    app = until_message(environment, "confirm", "Waiting for pruning confirmation of v1/ConfigMap/careful")
    assert app["status"]["operationState"]["phase"] == "Running"
    assert live(environment, namespace, "configmap", "careful") is not None

    time.sleep(1.1)
    approve(environment, "confirm")
    until_data(environment, namespace, "careful", None)
    app = environment.until_app("confirm")
    assert results(app)["careful"]["status"] == "Pruned"


def test_an_object_of_another_application_may_fail_the_sync(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """FailOnSharedResource=true: it is left to its owner."""
    repo.commit(
        {**files(config=config_map("settings", a="1")), "apps/other/config.yaml": config_map("settings", a="2")}
    )
    environment.apply(application("owner", repo.url, namespace=namespace))
    environment.until_app("owner")
    options = "CreateNamespace=true\n      - FailOnSharedResource=true"
    text = application("taker", repo.url, path="apps/other", namespace=namespace, options=options, finalizer=False)
    environment.apply(text.replace("limit: 3", "limit: 0"))
    app = until_ended(environment, "taker", "Failed")
    message = app["status"]["operationState"]["message"]
    assert message == "Shared resource found: ConfigMap/settings is part of applications argocd/taker and owner"
    assert live(environment, namespace, "configmap", "settings")["data"] == {"a": "1"}


def test_nothing_is_touched_when_one_manifest_cannot_be_applied(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Not even a PreSync hook runs; Validate=false lets the object through without the field."""
    broken = config_map("broken", a="1") + "dat: {}\n"
    repo.commit(files(config=config_map("settings", a="1"), broken=broken, hook=job("before", hook="PreSync")))
    environment.apply(application("looked-at-first", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))
    app = until_ended(environment, "looked-at-first", "Failed")
    assert app["status"]["operationState"]["message"] == "one or more objects failed to apply (dry run)"
    (row,) = app["status"]["operationState"]["syncResult"]["resources"]
    assert (row["name"], row["status"]) == ("broken", "SyncFailed")
    assert row["message"].endswith('strict decoding error: unknown field "dat"')
    assert live(environment, namespace, "configmap", "settings") is None
    assert live(environment, namespace, "job", "before") is None

    repo.commit(files(broken=annotated(broken, sync_options="Validate=false"), hook=None))
    until_data(environment, namespace, "broken", {"a": "1"})
    environment.until_app("looked-at-first")


def test_a_kind_may_be_defined_by_a_hook_of_the_same_sync(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """SkipDryRunOnMissingResource=true: the plan does not hold it against the operation that the kind is not there yet."""
    group = f"{namespace}.example.com"
    gizmo = f"apiVersion: {group}/v1\nkind: Gizmo\nmetadata:\n  name: one\nspec:\n  size: 1\n"
    crd = CRD.format(group=group, scope="Namespaced", kind="Gizmo", plural="gizmos")
    repo.commit(files(gizmo=gizmo))
    environment.apply(application("missing", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))
    app = until_ended(environment, "missing", "Failed")
    assert app["status"]["operationState"]["message"].startswith("one or more synchronization tasks are not valid")

    skip = "SkipDryRunOnMissingResource=true"
    repo.commit(files(gizmo=annotated(gizmo, sync_options=skip), crd=annotated(crd, hook="PreSync")))
    app = until_ended(environment, "missing", after=last_start(app))
    assert environment.kubectl.json("get", f"gizmos.{group}", "one", "-n", namespace) is not None


def test_the_namespace_gets_the_metadata_the_application_asks_for(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """When it is made, and when that changes; it is nobody's resource and stays when it is not asked for."""
    repo.commit(files(config=config_map("settings", a="1")))
    extra = (
        "    managedNamespaceMetadata:\n      labels:\n        team: red\n        old: 'yes'\n"
        "      annotations:\n        note: one\n"
    )
    environment.apply(application("ns-meta", repo.url, namespace=namespace, extra=extra))
    app = environment.until_app("ns-meta")
    wanted = {"labels": {"team": "red", "old": "yes"}, "annotations": {"note": "one"}}
    assert app["status"]["operationState"]["syncResult"]["managedNamespaceMetadata"] == wanted
    assert results(app)[namespace]["message"] == f"namespace/{namespace} serverside-applied"
    made = environment.kubectl.json("get", "namespace", namespace)
    assert made["metadata"]["labels"].items() >= wanted["labels"].items()
    assert made["metadata"]["annotations"]["note"] == "one"
    assert "argocd.argoproj.io/tracking-id" not in made["metadata"]["annotations"]

    environment.kubectl("label", "namespace", namespace, "theirs=x")
    change = {"spec": {"syncPolicy": {"managedNamespaceMetadata": {"labels": {"team": "blue", "old": None}}}}}
    environment.kubectl("patch", "application", "ns-meta", "-n", "argocd", "--type=merge", "-p", json.dumps(change))

    def relabelled() -> bool | Pending:
        labels = environment.kubectl.json("get", "namespace", namespace)["metadata"]["labels"]
        return (labels.get("team"), labels.get("old"), labels.get("theirs")) == ("blue", None, "x") or Pending(labels)

    environment.until(relabelled, within_s=30, what="the namespace to be relabelled")
    environment.until_app("ns-meta")


def test_options_that_only_say_when_and_how_objects_go(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """PruneLast comes after every wave, Prune=false stays, orphan leaves children behind."""
    repo.commit(
        files(
            kept=annotated(config_map("kept", a="1"), sync_options="Prune=false"),
            web=deployment("web", replicas=1),
            config=config_map("settings", a="1"),
        )
    )
    options = "CreateNamespace=true\n      - PruneLast=true\n      - PrunePropagationPolicy=orphan"
    environment.apply(application("prunes", repo.url, namespace=namespace, options=options))
    app = environment.until_app("prunes")
    late = annotated(config_map("late", a="1"), sync_wave="5")
    repo.commit(files(kept=None, web=None, late=late))
    app = until_ended(environment, "prunes", after=last_start(app))
    rows = app["status"]["operationState"]["syncResult"]["resources"]
    assert [r["name"] for r in rows] == ["settings", "late", "kept", "web"]
    assert [(r["status"], r["message"]) for r in rows if r["name"] in ("kept", "web")] == [
        ("PruneSkipped", "ignored (no prune)"),
        ("Pruned", "pruned"),
    ]
    assert live(environment, namespace, "deployment", "web") is None
    sets = environment.kubectl.json("get", "replicasets", "-n", namespace)["items"]
    assert [s["metadata"].get("ownerReferences", []) for s in sets] == [[]]
    assert live(environment, namespace, "configmap", "kept") is not None


def test_only_what_differs_is_applied_and_hooks_run(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """ApplyOutOfSyncOnly=true."""
    repo.commit(files(one=config_map("one", a="1"), two=config_map("two", a="1"), hook=job("before", hook="PreSync")))
    options = "CreateNamespace=true\n      - ApplyOutOfSyncOnly=true"
    environment.apply(application("only", repo.url, namespace=namespace, options=options))
    app = environment.until_app("only")
    repo.commit(files(two=config_map("two", a="2")))
    app = until_ended(environment, "only", after=last_start(app))
    assert sorted(results(app)) == ["before", "two"]


def test_a_namespace_is_never_deleted_to_be_replaced(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Replace=true and Force=true put it in place; what is in it stays."""

    def declared(team: str) -> str:
        text = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels:\n    team: {team}\n"
        return annotated(text, sync_options="Replace=true,Force=true")

    repo.commit(files(space=declared("red"), config=config_map("settings", a="1")))
    environment.apply(application("spaces", repo.url, namespace=namespace))
    app = environment.until_app("spaces")
    before = environment.kubectl.json("get", "namespace", namespace)
    uid = live(environment, namespace, "configmap", "settings")["metadata"]["uid"]
    repo.commit(files(space=declared("blue")))
    app = until_ended(environment, "spaces", after=last_start(app))
    after = environment.kubectl.json("get", "namespace", namespace)
    assert after["metadata"]["labels"]["team"] == "blue"
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert results(app)[namespace]["message"] == f"Namespace/{namespace} updated"
    assert live(environment, namespace, "configmap", "settings")["metadata"]["uid"] == uid


def test_replace_by_force_makes_the_object_anew(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """Also where a change would have done."""
    both = "Replace=true,Force=true"
    repo.commit(files(config=annotated(config_map("settings", a="1"), sync_options=both)))
    environment.apply(application("anew-by-force", repo.url, namespace=namespace))
    app = environment.until_app("anew-by-force")
    uid = live(environment, namespace, "configmap", "settings")["metadata"]["uid"]
    repo.commit(files(config=annotated(config_map("settings", a="2"), sync_options=both)))
    app = until_ended(environment, "anew-by-force", after=last_start(app))
    found = live(environment, namespace, "configmap", "settings")
    assert found["data"] == {"a": "2"}
    assert found["metadata"]["uid"] != uid
    assert results(app)["settings"]["message"] == "configmap/settings replaced"


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Not even the namespace is made."""
    repo.commit(files(config=config_map("settings", a="1"), hook=job("before", hook="PreSync")))
    environment.apply(application("tried", repo.url, namespace=namespace, automated=False))
    environment.until_app("tried", sync="OutOfSync", health="Missing")
    sync(environment, "tried", dryRun=True, syncOptions=["CreateNamespace=true", "ServerSideApply=true"])
    app = until_ended(environment, "tried")
    rows = results(app)
    assert rows["settings"]["message"] == "configmap/settings created (dry run)"
    assert rows[namespace]["message"] == f"namespace/{namespace} created (dry run)"
    assert environment.kubectl.json("get", "namespace", namespace) is None
    assert "history" not in app["status"]


def test_server_side_apply_of_custom_resources_knows_drift_from_defaults(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Values the cluster fills in inside a list are no drift: the API server is asked once."""
    group = f"{namespace}.example.com"
    crd = CRD.format(group=group, scope="Namespaced", kind="Gizmo", plural="gizmos").replace(
        "          x-kubernetes-preserve-unknown-fields: true\n",
        """\
          properties:
            spec:
              type: object
              properties:
                parts:
                  type: array
                  x-kubernetes-list-type: map
                  x-kubernetes-list-map-keys: [name]
                  items:
                    type: object
                    required: [name]
                    properties:
                      name:
                        type: string
                      size:
                        type: integer
                        default: 5
""",
    )
    gizmo = (
        f"apiVersion: {group}/v1\nkind: Gizmo\nmetadata:\n  name: one\nspec:\n  parts:\n    - name: a\n    - name: b\n"
    )
    repo.commit(files(crd=crd, gizmo=gizmo))
    environment.apply(application("gizmos", repo.url, namespace=namespace, options=SERVER_SIDE))
    app = environment.until_app("gizmos")
    parts = environment.kubectl.json("get", f"gizmos.{group}", "one", "-n", namespace)["spec"]["parts"]
    assert parts == [{"name": "a", "size": 5}, {"name": "b", "size": 5}]
    assert len(app["status"]["history"]) == 1
    repo.commit(files(gizmo=gizmo.replace("    - name: b\n", "")))
    until_ended(environment, "gizmos", after=last_start(app))
    parts = environment.kubectl.json("get", f"gizmos.{group}", "one", "-n", namespace)["spec"]["parts"]
    assert parts == [{"name": "a", "size": 5}]
    environment.until_app("gizmos")
