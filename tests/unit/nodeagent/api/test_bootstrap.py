"""TLS bootstrap: what is asked for, what its answers mean, and what is written."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lightkube.models.certificates_v1 import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
)

from nodeagent.api.bootstrap import BootstrapError, outcome, signing_request, usable, written
from nodeagent.api.certificates import self_signed

BOOTSTRAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [
        {"name": "other", "cluster": {"server": "https://other"}},
        {"name": "kubernetes", "cluster": {"server": "https://api:6443", "certificate-authority": "pki/ca.crt"}},
    ],
    "contexts": [{"name": "tls", "context": {"cluster": "kubernetes", "user": "tls"}}],
    "current-context": "tls",
    "users": [{"name": "tls", "user": {"token": "abcdef.0123456789abcdef"}}],
}


def test_the_request() -> None:
    """The node's identity for the kubelet's client signer; the same key asks under the same name, another under another."""
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    request = signing_request(key, "n1")
    asked = x509.load_pem_x509_csr(base64.b64decode(request.spec.request or ""))
    assert asked.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    assert (request.spec.signerName, request.spec.usages) == (
        "kubernetes.io/kube-apiserver-client-kubelet",
        ["digital signature", "client auth"],
    )
    names = [
        made.metadata.name
        for made in (request, signing_request(key, "n1"), signing_request(other, "n1"))
        if made.metadata
    ]
    assert names[0] == names[1] != names[2]
    assert str(names[0]).startswith("node-csr-") and len(str(names[0])) == len("node-csr-") + 43


def answered(certificate: str | None, *conditions: str) -> CertificateSigningRequest:
    made = [
        CertificateSigningRequestCondition(type=each, status="True", reason="R", message="m") for each in conditions
    ]
    return CertificateSigningRequest(
        spec=CertificateSigningRequestSpec(request="", signerName=""),
        status=CertificateSigningRequestStatus(certificate=certificate, conditions=made),
    )


def test_answers() -> None:
    """A certificate counts when it is approved; a refusal is final, and says why."""
    pem = base64.b64encode(b"PEM").decode()
    assert outcome(answered(None)) is None
    assert outcome(answered(None, "Approved")) is None
    assert outcome(answered(pem)) is None
    assert outcome(answered(pem, "Approved")) == b"PEM"
    for refusal in ("Denied", "Failed"):
        with pytest.raises(BootstrapError, match=f"is {refusal.lower()}: R: m"):
            outcome(answered(pem, "Approved", refusal))


def test_the_kubeconfig(tmp_path: Path) -> None:
    """The same cluster, by absolute paths, with the pair of the certificate; the bootstrap token is not in it."""
    file = tmp_path / "bootstrap-kubelet.conf"
    file.write_text(yaml.safe_dump(BOOTSTRAP))
    text = written(file, Path("/var/lib/kubelet/pki/kubelet-client-current.pem"))
    found = yaml.safe_load(text)
    assert found["clusters"] == [
        {
            "name": "default-cluster",
            "cluster": {"server": "https://api:6443", "certificate-authority": f"{tmp_path}/pki/ca.crt"},
        }
    ]
    assert (found["current-context"], found["users"][0]["name"]) == ("default-context", "default-auth")
    assert "0123456789abcdef" not in text


async def test_when_a_kubeconfig_can_be_used(tmp_path: Path) -> None:
    """Not when it is missing or its certificate has ended; one with a token is its owner's affair."""
    now = datetime.now(UTC)
    file, pair = tmp_path / "kubelet.conf", tmp_path / "pair.pem"
    assert not await usable(file, now)
    chain, key = self_signed("n", (), now)
    pair.write_bytes(chain + key)
    user = {"client-certificate": str(pair), "client-key": str(pair)}
    file.write_text(
        yaml.safe_dump(
            {
                **BOOTSTRAP,
                "clusters": [{"name": "kubernetes", "cluster": {"server": "https://api"}}],
                "users": [{"name": "tls", "user": user}],
            }
        )
    )
    assert await usable(file, now)
    assert not await usable(file, now + timedelta(days=366))
    pair.unlink()
    assert not await usable(file, now)
