"""What the server warns about in objects it takes, and what it judges by rules of their own, as a 1.36 server does."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.names import GroupKind, GroupVersionKind
from tiphys.devcluster.advice import advice
from tiphys.devcluster.defaults import default_in_place
from tiphys.devcluster.validation import validate_create, validate_update

POD = {"containers": [{"name": "c", "image": "i"}]}
META = {"name": "a", "namespace": "n", "uid": "u"}


def deployment(**pod: Any) -> dict[str, Any]:
    labels = {"a": "b"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {**POD, **pod}}}
    return {"metadata": {**META}, "spec": spec}


CASES: list[tuple[dict[str, Any], str]] = [
    (
        {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}]},
        "spec.template.spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
    ),
    (
        {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}]},
        'spec.template.spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
    ),
    (
        {"containers": [{"name": "c", "resources": {"limits": {"memory": "100m"}}}]},
        'spec.template.spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid,'
        " must be an integer",
    ),
    (
        {"containers": [{"name": one, "ports": [{"name": "x", "containerPort": 80}]} for one in "cd"]},
        "spec.template.spec.containers[1].ports[0]: duplicate port definition with spec.template.spec.containers[0].ports[0]",
    ),
    ({"imagePullSecrets": [{}]}, 'spec.template.spec.imagePullSecrets[0].name: invalid empty name ""'),
    (
        {"volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"path": "a"}, {"path": "a/b"}]}}]},
        'volume "v" (Secret "s"): overlapping paths: "a/b" with "a"',
    ),
    (
        {"nodeSelector": {"beta.kubernetes.io/os": "linux"}},
        "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14;"
        ' use "kubernetes.io/os" instead',
    ),
]


@pytest.mark.parametrize(("pod", "said"), CASES)
def test_what_hardly_does_what_was_meant_is_warned_about(pod: dict[str, Any], said: str) -> None:
    assert advice(GroupKind("apps", "Deployment"), deployment(**pod), None)[0] == said


def test_a_template_is_not_warned_about_again_when_the_spec_stays() -> None:
    obj = deployment(imagePullSecrets=[{}])
    assert advice(GroupKind("apps", "Deployment"), obj, obj) == []


def test_services_and_networks_are_warned_about() -> None:
    service = {"metadata": META, "spec": {"type": "ClusterIP", "externalIPs": ["1.2.3.4"]}}
    said = ["spec.externalIPs is deprecated and may no longer be implemented in some clusters"]
    assert advice(GroupKind("", "Service"), service, service) == said
    policy = {"metadata": META, "spec": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}}
    assert advice(GroupKind("networking.k8s.io", "NetworkPolicy"), policy, None) == [
        'spec.egress[0].to[0].ipBlock.cidr: CIDR value "10.0.0.1/8" is ambiguous in this context'
        ' (should be "10.0.0.0/8" or "10.0.0.1/32"?)'
    ]


def _refused(kind: str, group: str, spec: dict[str, Any], version: str = "v1") -> list[tuple[str, str]]:
    found = validate_create({"metadata": META, "spec": spec}, GroupVersionKind(group, version, kind), namespaced=True)
    return [(cause.field, cause.message) for cause in found]


def test_an_autoscaler_has_metrics_with_one_source_and_rules_with_policies() -> None:
    spec = {
        "maxReplicas": 3,
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}],
        "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1900}]}, "scaleDown": {}},
    }
    assert _refused("HorizontalPodAutoscaler", "autoscaling", spec, "v2") == [
        (
            "spec.metrics[0].resource.target.averageUtilization",
            "Required value: must set either a target raw value or a target utilization",
        ),
        ("spec.behavior.scaleUp.policies[0].value", "Invalid value: 0: must be greater than zero"),
        ("spec.behavior.scaleUp.policies[0].periodSeconds", "Invalid value: 1900: must be less than or equal to 1800"),
        ("spec.behavior.scaleDown.policies", "Required value: must specify at least one Policy"),
    ]


def test_a_jobs_rules_about_failed_pods_are_judged() -> None:
    rules = [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [2, 1, 0]}}, {"action": "FailIndex"}]
    template = {"metadata": {}, "spec": {**POD, "restartPolicy": "OnFailure"}}
    spec = {"manualSelector": True, "selector": {}, "template": template, "podFailurePolicy": {"rules": rules}}
    spec["podReplacementPolicy"] = "TerminatingOrFailed"
    found = [one for one in _refused("Job", "batch", spec) if one[1] != "Required value" and "containers" not in one[0]]
    path = "spec.podFailurePolicy.rules"
    assert found == [
        (f"{path}[0].onExitCodes.values[2]", "Invalid value: 0: must not be 0 for the In operator"),
        (f"{path}[0].onExitCodes.values", "Invalid value: [2,1,0]: must be ordered"),
        (f"{path}[1].action", 'Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'),
        (f"{path}[1]", "Invalid value: specifying one of OnExitCodes and OnPodConditions is required"),
        ("spec.podReplacementPolicy", 'Unsupported value: "TerminatingOrFailed": supported values: "Failed"'),
        (
            "spec.template.spec.restartPolicy",
            'Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
        ),
    ]


def test_the_end_of_a_range_of_ports_needs_a_number_to_begin_with() -> None:
    ports = [{"endPort": 9}, {"port": "http", "endPort": 9}, {"port": 10, "endPort": 9}]
    spec = {"podSelector": {}, "egress": [{"ports": ports}]}
    path = "spec.egress[0].ports"
    assert _refused("NetworkPolicy", "networking.k8s.io", spec) == [
        (f"{path}[0].endPort", "Invalid value: 9: may not be specified when `port` is not specified"),
        (f"{path}[1].endPort", "Invalid value: 9: may not be specified when `port` is non-numeric"),
        (f"{path}[2].endPort", "Invalid value: 10: must be greater than or equal to `port`"),
    ]


@pytest.mark.parametrize(("kind", "group", "times"), [("Secret", "", 4), ("Deployment", "apps", 3)])
def test_changed_metadata_is_judged_by_each_layer(kind: str, group: str, times: int) -> None:
    old = deployment()
    old["spec"]["strategy"] = {}
    default_in_place(old, GroupVersionKind(group, "v1", kind))
    new = {**old, "metadata": {**META, "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c"}]}}
    causes = validate_update(new, old, GroupVersionKind(group, "v1", kind), namespaced=True)
    assert [cause.field for cause in causes].count("metadata.ownerReferences.uid") == times


def test_a_strategy_named_without_details_stays_without_them() -> None:
    named: dict[str, Any] = {
        "metadata": {},
        "spec": {"updateStrategy": {"type": "RollingUpdate"}, "template": {"metadata": {}, "spec": {}}},
    }
    bare: dict[str, Any] = {"metadata": {}, "spec": {"template": {"metadata": {}, "spec": {}}}}
    for obj in (named, bare):
        default_in_place(obj, GroupVersionKind("apps", "v1", "StatefulSet"))
    assert named["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
    assert bare["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}


def test_a_policy_has_two_types_at_most() -> None:
    spec = {"podSelector": {}, "policyTypes": ["Egress", "Ingress", "Egress"]}
    assert _refused("NetworkPolicy", "networking.k8s.io", spec) == [
        (
            "spec.policyTypes",
            'Invalid value: ["Egress","Ingress","Egress"]: may not specify more than two policyTypes',
        )
    ]


def test_terms_about_nodes_are_judged() -> None:
    terms = [{"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "b", "operator": "Odd"}]}]
    needed = "requiredDuringSchedulingIgnoredDuringExecution"
    obj = deployment(affinity={"nodeAffinity": {needed: {"nodeSelectorTerms": terms}}})
    obj["spec"]["strategy"] = {}
    default_in_place(obj, GroupVersionKind("apps", "v1", "Deployment"))
    causes = validate_create(obj, GroupVersionKind("apps", "v1", "Deployment"), namespaced=True)
    found = [(one.field.partition("Expressions")[2], one.message) for one in causes if needed in one.field]
    assert found == [
        ("[0].values", "Required value: must be specified when `operator` is 'In' or 'NotIn'"),
        ("[1].operator", 'Invalid value: "Odd": not a valid selector operator'),
    ]


def test_a_job_keeps_its_template_and_the_labels_that_were_made_for_it() -> None:
    labels = {
        f"{prefix}{name}": value
        for prefix in ("", "batch.kubernetes.io/")
        for name, value in (("controller-uid", "u"), ("job-name", "a"))
    }
    selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    pod = {**POD, "restartPolicy": "Never"}
    old: dict[str, Any] = {
        "metadata": META,
        "spec": {"selector": selector, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    default_in_place(old, GroupVersionKind("batch", "v1", "Job"))
    template = {**old["spec"]["template"], "metadata": {"labels": {**labels, "job-name": "b"}}}
    new = {**old, "spec": {**old["spec"], "template": template}}
    found = [one.field for one in validate_update(new, old, GroupVersionKind("batch", "v1", "Job"), namespaced=True)]
    assert [one for one in found if one.startswith("spec.template") and "containers" not in one] == [
        "spec.template.metadata.labels[job-name]",
        "spec.template",
    ]
