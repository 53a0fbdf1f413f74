"""CertificateSigningRequests with unmodified kubectl: from a key to a login, as tutorials do it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.support.embedded import KUBECTL, Embedded, embedded

pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed beside this Python")

CLIENT = "kubernetes.io/kube-apiserver-client"
SIGNERS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: signer}
rules:
- {apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [kubernetes.io/*], verbs: [approve]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with embedded(tmp_path_factory.mktemp("cluster"), "--in-memory", "--no-simulation") as running:
        yield running


def request(
    name: str,
    key: ec.EllipticCurvePrivateKey | None = None,
    *,
    groups: tuple[str, ...] = ("devs",),
    signer: str = CLIENT,
    usage: str = "client auth",
) -> str:
    """The manifest of a request for the user `name`."""
    rows = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    rows += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in groups]
    key = key or ec.generate_private_key(ec.SECP256R1())
    pem = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(rows)).sign(key, hashes.SHA256())
    encoded = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    return json.dumps(
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {"request": encoded, "signerName": signer, "usages": [usage], "expirationSeconds": 3600},
        }
    )


def test_an_approved_request_is_signed_and_its_certificate_is_a_login(cluster: Embedded, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert "jane created" in cluster.kubectl("create", "-f", "-", stdin=request("jane", key))
    assert cluster.kubectl("get", "csr", "jane").splitlines()[1].split()[-1] == "Pending"
    cluster.kubectl("certificate", "approve", "jane")
    cluster.kubectl("wait", "--for=jsonpath={.status.certificate}", "csr/jane", "--timeout=5s")

    assert cluster.kubectl("get", "csr", "jane").splitlines()[1].split()[-1] == "Approved,Issued"
    certificate = base64.b64decode(cluster.kubectl("get", "csr", "jane", "-o", "jsonpath={.status.certificate}"))
    held = x509.load_pem_x509_certificate(certificate)
    assert list(held.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    (tmp_path / "jane.crt").write_bytes(certificate)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "jane.key").write_bytes(pem)
    login = ("--client-certificate", str(tmp_path / "jane.crt"), "--client-key", str(tmp_path / "jane.key"))
    place = ("--server", cluster.url, "--insecure-skip-tls-verify", "--kubeconfig", "/dev/null")
    who = cluster.kubectl("auth", "whoami", *login, *place)
    assert "jane" in who
    assert "[devs system:authenticated]" in who


def test_what_was_said_about_a_request_is_not_taken_back(cluster: Embedded) -> None:
    cluster.kubectl("create", "-f", "-", stdin=request("refused"))
    cluster.kubectl("certificate", "deny", "refused")

    assert cluster.kubectl("get", "csr", "refused").splitlines()[1].split()[-1] == "Denied"
    assert "is already Denied" in cluster.kubectl("certificate", "approve", "refused", check=False)
    undo = '{"status":{"conditions":[{"type":"Approved","status":"True"}]}}'
    said = cluster.kubectl("patch", "csr", "refused", "--subresource=status", "--type=merge", "-p", undo, check=False)
    assert '* status.conditions: Forbidden: updates may not remove a condition of type "Denied"' in said
    assert '* status.conditions: Forbidden: updates may not add a condition of type "Approved"' in said


def test_a_usage_that_clients_do_not_have_fails_the_request(cluster: Embedded) -> None:
    cluster.kubectl("create", "-f", "-", stdin=request("server", usage="server auth"))
    cluster.kubectl("certificate", "approve", "server")
    cluster.kubectl("wait", "--for=condition=Failed", "csr/server", "--timeout=5s")

    message = cluster.kubectl(
        "get", "csr", "server", "-o", 'jsonpath={.status.conditions[?(@.type=="Failed")].message}'
    )
    assert message == "invalid usage for client certificate: server auth"
    assert cluster.kubectl("get", "csr", "server").splitlines()[1].split()[-1] == "Approved,Failed"


def test_nobody_gets_a_certificate_of_the_masters(cluster: Embedded) -> None:
    said = cluster.kubectl("create", "-f", "-", stdin=request("root", groups=("system:masters",)), check=False)

    assert f'"root" is forbidden: use of {CLIENT} signer with system:masters group is not allowed' in said


def test_signers_that_are_not_there_are_told_at_once(cluster: Embedded) -> None:
    said = cluster.kubectl("create", "-f", "-", stdin=request("kubelet", signer="kubernetes.io/kubelet-serving"))

    assert f"Warning: the embedded cluster signs for {CLIENT} only: nothing signs for kubernetes.io/kubelet-s" in said


def test_who_approves_has_to_be_allowed_to_for_that_signer(cluster: Embedded) -> None:
    cluster.kubectl("create", "-f", "-", stdin=request("asked"))
    resources = "--resource=certificatesigningrequests,certificatesigningrequests/approval"
    cluster.kubectl("create", "clusterrole", "approver", "--verb=update,get", resources)
    cluster.kubectl("create", "clusterrolebinding", "approver", "--clusterrole=approver", "--user=bob")

    refused = cluster.kubectl("certificate", "approve", "asked", "--as", "bob", check=False)
    cluster.kubectl("apply", "-f", "-", stdin=SIGNERS)
    cluster.kubectl("create", "clusterrolebinding", "signer", "--clusterrole=signer", "--user=bob")

    assert f'user not permitted to approve requests with signerName "{CLIENT}"' in refused
    assert "asked approved" in cluster.kubectl("certificate", "approve", "asked", "--as", "bob")
