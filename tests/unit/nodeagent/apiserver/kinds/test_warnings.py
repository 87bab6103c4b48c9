"""Warnings about the kinds other than pods, on creates and on updates."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from nodeagent.apiserver.kinds import hooks_for

OS = "beta.kubernetes.io/os"
OS_TEXT = 'deprecated since v1.14; use "kubernetes.io/os" instead'
PV, PVC, SC = "persistentvolumes", "persistentvolumeclaims", "storageclasses.storage.k8s.io"
CLASS = "volume.beta.kubernetes.io/storage-class"
CLASS_TEXT = f'metadata.annotations[{CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
ODD = "will be considered invalid in a future Kubernetes release"


def claim(**spec: Any) -> Any:
    return {"metadata": {"name": "x"}, "spec": {"accessModes": ["ReadWriteOnce"], **spec}}


def volume(**spec: Any) -> Any:
    base = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    return {"metadata": {"name": "x"}, "spec": {**base, **spec}}


def service(annotations: Any = None, **spec: Any) -> Any:
    return {"metadata": {"name": "x", "annotations": annotations or {}}, "spec": {"ports": [{"port": 80}], **spec}}


def annotated(obj: Any, key: str) -> Any:
    return {**obj, "metadata": {**obj["metadata"], "annotations": {key: ""}}}


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        (PVC, claim(resources={"requests": {"storage": "1Gi"}}), []),
        (
            PVC,
            annotated(claim(resources={"requests": {"storage": "1500m"}}), CLASS),
            [
                CLASS_TEXT,
                'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer',
            ],
        ),
        (PV, volume(hostPath={"path": "/x"}), []),
        (
            PV,
            annotated(
                volume(
                    cephfs={"monitors": ["m"]},
                    persistentVolumeReclaimPolicy="Recycle",
                    nodeAffinity={
                        "required": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": OS, "operator": "In", "values": ["linux"]}]}
                            ]
                        }
                    },
                ),
                CLASS,
            ),
            [
                CLASS_TEXT,
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
                "approach is to use dynamic provisioning.",
                f"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: {OS} is {OS_TEXT}",
                "spec.cephfs: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            SC,
            {
                "metadata": {"name": "x"},
                "provisioner": "p",
                "allowedTopologies": [
                    {"matchLabelExpressions": [{"key": "a", "values": ["b"]}, {"key": OS, "values": ["b"]}]}
                ],
            },
            [f"allowedTopologies[0].matchLabelExpressions[1].key: {OS_TEXT}"],
        ),
        (
            "runtimeclasses.node.k8s.io",
            {"metadata": {"name": "x"}, "handler": "runc", "scheduling": {"nodeSelector": {OS: "linux"}}},
            [f"scheduling.nodeSelector: {OS_TEXT}"],
        ),
        (
            "nodes",
            {"metadata": {"name": "x"}, "spec": {"externalID": "e"}},
            ["spec.externalID: this field is deprecated, and is unused by Kubernetes"],
        ),
        ("services", service(), []),
        (
            "services",
            service(
                {"service.kubernetes.io/topology-aware-hints": "auto"},
                externalIPs=["1.2.3.4"],
                trafficDistribution="PreferClose",
            ),
            [
                "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
                "service.kubernetes.io/topology-mode instead",
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
                'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
            ],
        ),
        (
            "services",
            service(clusterIP="None", sessionAffinity="ClientIP", externalIPs=["1.2.3.4"], loadBalancerIP="010.0.0.1"),
            [
                "spec.loadBalancerIP is ignored for headless services",
                "spec.externalIPs is ignored for headless services",
                "spec.SessionAffinity is ignored for headless services",
                f'spec.loadBalancerIP: non-standard IP address "010.0.0.1" {ODD}: use "10.0.0.1"',
            ],
        ),
        (
            "services",
            service(type="LoadBalancer", externalName="x", loadBalancerSourceRanges=["10.0.0.1/8", "10.0.0.0/8"]),
            [
                'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" is ambiguous in this context (should be '
                '"10.0.0.0/8" or "10.0.0.1/32"?)',
                'spec.externalName is ignored when spec.type is not "ExternalName"',
            ],
        ),
        (
            "endpoints",
            {"metadata": {"name": "x"}, "subsets": [{"addresses": [{"ip": "fd00::0:1"}]}]},
            ['subsets[0].addresses[0].ip: IPv6 address "fd00::0:1" should be in RFC 5952 canonical format ("fd00::1")'],
        ),
        (
            "endpointslices.discovery.k8s.io",
            {"metadata": {"name": "x"}, "addressType": "IPv6", "endpoints": [{"addresses": ["::ffff:1.2.3.4"]}]},
            [f'endpoints[0].addresses[0]: non-standard IP address "::ffff:1.2.3.4" {ODD}: use "1.2.3.4"'],
        ),
    ],
)
def test_on_create_and_update(cluster: Any, resource: str, obj: Any, expected: list[str]) -> None:
    """The same warnings come with a create and with an update of the main resource; subresources are silent."""
    hooks = hooks_for(resource)
    hooks.prepare_create(obj, cluster.context(resource, "default", "x"))
    assert hooks.warnings(obj, None, None) == expected
    assert hooks.warnings(obj, obj, None) == expected
    assert hooks.warnings(obj, obj, "status") == []


def test_mountable_secrets_are_warned_of_once() -> None:
    """The deprecated annotation of a service account is news only when it comes."""
    hooks, key = hooks_for("serviceaccounts"), "kubernetes.io/enforce-mountable-secrets"
    plain = {"metadata": {"name": "x"}}
    limited = annotated(plain, key)
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    expected = [f"metadata.annotations[{key}]: {text}"]
    assert hooks.warnings(limited, None, None) == hooks.warnings(limited, plain, None) == expected
    assert hooks.warnings(limited, limited, None) == hooks.warnings(plain, None, None) == []


def pair() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))).sign(
        key, hashes.SHA256()
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), pem


def test_tls_secrets() -> None:
    """A certificate and a key that do not belong together, or are none, in the words of Go."""
    certificate, key = pair()
    other = pair()[1]

    def warned(one: bytes, two: bytes) -> list[str]:
        data = {"tls.crt": base64.b64encode(one).decode(), "tls.key": base64.b64encode(two).decode()}
        secret = {"metadata": {"name": "x"}, "type": "kubernetes.io/tls", "data": data}
        return hooks_for("secrets").warnings(secret, None, None)

    assert warned(certificate, key) == []
    assert warned(certificate, other) == ["tls: private key does not match public key"]
    assert warned(b"", key) == ["tls: failed to find any PEM data in certificate input"]
    assert warned(certificate, b"x") == ["tls: failed to find any PEM data in key input"]
    assert warned(key, certificate) == [
        "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been "
        "switched"
    ]
    assert warned(certificate, certificate) == [
        "tls: found a certificate rather than a key in the PEM for the private key"
    ]
