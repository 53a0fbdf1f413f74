"""The kubeconfig that reaches the embedded cluster as its administrator."""

from __future__ import annotations

import base64

from tiphys.runtime.secret import Secret


def build_kubeconfig(*, name: str, url: str, ca_pem: str, token: Secret) -> str:
    """YAML text with one cluster, one user and one context, all called `name`."""
    ca = base64.b64encode(ca_pem.encode()).decode()
    return (
        "apiVersion: v1\n"
        "kind: Config\n"
        "clusters:\n"
        f"- name: {name}\n"
        "  cluster:\n"
        f"    server: {url}\n"
        f"    certificate-authority-data: {ca}\n"
        "users:\n"
        f"- name: {name}\n"
        "  user:\n"
        f"    token: {token.reveal()}\n"
        "contexts:\n"
        f"- name: {name}\n"
        "  context:\n"
        f"    cluster: {name}\n"
        f"    user: {name}\n"
        f"current-context: {name}\n"
    )
