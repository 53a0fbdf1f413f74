"""Built-in actions change just what their names say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.controllers.actions import ActionError, available, perform

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def obj(kind: str, version: str = "apps/v1", **parts: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": "n", "uid": "u"}, **parts}


def names(live: dict[str, Any]) -> list[str]:
    return [f"-{action.name}" if action.disabled else action.name for action in available(live)]


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (obj("Deployment", spec={"replicas": 2}), ["pause", "restart", "-resume", "scale"]),
        (obj("Deployment", spec={"paused": True}), ["-pause", "restart", "resume", "scale"]),
        (obj("StatefulSet", spec={}), ["restart", "scale"]),
        (obj("DaemonSet", spec={}), ["restart"]),
        (obj("CronJob", "batch/v1", spec={}), ["create-job", "suspend"]),
        (obj("CronJob", "batch/v1", spec={"suspend": True}), ["create-job", "resume"]),
        (obj("Job", "batch/v1", spec={}, status={}), ["suspend", "terminate"]),
        (obj("Job", "batch/v1", spec={"suspend": True}), ["resume"]),
        (obj("Job", "batch/v1", status={"conditions": [{"type": "Complete", "status": "True"}]}), []),
        (obj("ConfigMap", "v1"), []),
        (
            obj("Rollout", "argoproj.io/v1alpha1", spec={}, status={"currentPodHash": "b", "stableRS": "a"}),
            ["abort", "pause", "promote-full", "restart", "-resume", "-retry", "-skip-current-step"],
        ),
    ],
)
def test_what_can_be_done_depends_on_the_object(live: dict[str, Any], expected: list[str]) -> None:
    assert names(live) == expected


def test_a_restart_stamps_the_pod_template_and_leaves_the_live_object_alone() -> None:
    live = obj("Deployment", spec={"template": {"metadata": {"annotations": {"a": "b"}}}})
    changed = perform(live, "restart", {}, NOW).object
    annotations = changed["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"a": "b", "kubectl.kubernetes.io/restartedAt": "2024-05-06T07:08:09Z"}
    assert live["spec"]["template"]["metadata"]["annotations"] == {"a": "b"}


def test_scale_takes_whole_numbers_only() -> None:
    live = obj("StatefulSet", spec={"replicas": 1})
    assert perform(live, "scale", {"replicas": "5"}, NOW).object["spec"]["replicas"] == 5
    for wrong in ("", "-1", "1.5", "two", "99999999999"):
        with pytest.raises(ActionError, match="invalid number"):
            perform(live, "scale", {"replicas": wrong}, NOW)


def test_pause_and_resume_are_each_others_end() -> None:
    live = obj("Deployment", spec={"replicas": 1})
    paused = perform(live, "pause", {}, NOW).object
    assert paused["spec"] == {"replicas": 1, "paused": True}
    assert perform(paused, "resume", {}, NOW).object["spec"] == {"replicas": 1}
    with pytest.raises(ActionError, match="disabled"):
        perform(live, "resume", {}, NOW)


def test_a_job_is_made_from_a_cron_job() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {}}}}
    impact = perform(obj("CronJob", "batch/v1", spec={"jobTemplate": template}), "create-job", {}, NOW)
    assert impact.creates
    assert impact.object == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "a-202405060708",
            "namespace": "n",
            "labels": {"a": "b"},
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "a", "uid": "u"}],
        },
        "spec": {"template": {"spec": {}}},
    }


def test_a_job_is_terminated_by_its_status() -> None:
    changed = perform(obj("Job", "batch/v1", spec={}, status={"active": 1}), "terminate", {}, NOW).object
    assert changed["status"]["conditions"][0]["type"] == "FailureTarget"
    assert changed["status"]["conditions"][0]["reason"] == "ManuallyTerminated"


def test_a_rollout_is_resumed_aborted_and_moved_on() -> None:
    status = {"currentPodHash": "b", "stableRS": "a", "pauseConditions": [{}], "currentStepIndex": 0}
    spec = {"paused": True, "strategy": {"canary": {"steps": [{}, {}]}}}
    live = obj("Rollout", "argoproj.io/v1alpha1", spec=spec, status=status)
    resumed = perform(live, "resume", {}, NOW).object
    assert resumed["spec"]["paused"] is False
    assert "pauseConditions" not in resumed["status"]
    assert perform(live, "abort", {}, NOW).object["status"]["abort"] is True
    assert perform(live, "skip-current-step", {}, NOW).object["status"]["currentStepIndex"] == 1
    assert perform(live, "promote-full", {}, NOW).object["status"]["promoteFull"] is True


def test_an_unknown_action_is_named() -> None:
    with pytest.raises(ActionError, match=r"there is no action 'explode' for Deployment\.apps"):
        perform(obj("Deployment"), "explode", {}, NOW)
