"""Applications that an Application declares."""

from __future__ import annotations

from typing import Any

from tiphys.engine.diff.compare import compare, with_last_applied

CASCADE = "resources-finalizer.argocd.argoproj.io"
PRE = "pre-delete-finalizer.argocd.argoproj.io"


def child(*finalizers: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "child", "namespace": "argocd"}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": {"project": "p"}}


def with_hooks(declared: dict[str, Any]) -> dict[str, Any]:
    live = with_last_applied(declared)
    there = [*live["metadata"].get("finalizers", []), PRE, f"{PRE}/cleanup"]
    live["metadata"] = {**live["metadata"], "finalizers": there}
    return live


def test_finalizers_of_the_childs_delete_hooks_are_no_drift() -> None:
    """Whether or not Git declares finalizers, and an apply leaves them there."""
    assert not compare(child(), with_hooks(child())).modified
    assert not compare(child(CASCADE), with_hooks(child(CASCADE))).modified


def test_a_finalizer_that_git_declares_anew_comes_beside_them() -> None:
    difference = compare(child(CASCADE, "other"), with_hooks(child(CASCADE)))
    assert difference.modified
    assert difference.patch is not None
    assert difference.patch["metadata"]["finalizers"] == [CASCADE, "other", PRE, f"{PRE}/cleanup"]


def test_another_finalizer_that_git_does_not_declare_is_drift() -> None:
    live = with_hooks(child(CASCADE))
    live["metadata"]["finalizers"].append("other")
    assert compare(child(CASCADE), live).modified
