"""Volumes that need more than the agent: tokens and certificates by the API, drivers on the host. Through pods."""

import base64
import json
import os
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flex_driver import InstalledDriver
from node_under_test import NodeUnderTest, eventually, pod_object

from runtimes.linux.mountinfo import read_mounts

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-volume-types")]

SHORT = {"terminationGracePeriodSeconds": 1}
ASK = """
import json, os, ssl, urllib.request as r
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
headers = {"Authorization": "Bearer " + open(folder + "token").read(), "Content-Type": "application/json"}
url = f"https://{host}:{port}/apis/authentication.k8s.io/v1/selfsubjectreviews"
context = ssl.create_default_context(cafile=folder + "ca.crt")
answer = r.urlopen(r.Request(url, json.dumps(review).encode(), headers), timeout=20, context=context)
user = json.load(answer)["status"]["userInfo"]
print(user["username"], user["extra"]["authentication.kubernetes.io/pod-name"][0])
"""


def said(node: NodeUnderTest, name: str, text: str) -> str:
    """The log of a pod's container, once the text is in it."""
    node.pod_when(name, lambda _: text in node.container_log(name, "c"))
    return node.container_log(name, "c")


def test_a_pod_speaks_to_the_api_with_its_token(node: NodeUnderTest) -> None:
    """From inside, by the Service: the certificate is that of the volume, and the API knows account and pod by the token."""
    host = [("usr", "/usr"), ("lib", "/usr/lib"), ("lib64", "/usr/lib64")]  # the machine's own Python
    volumes = [{"name": name, "hostPath": {"path": path}} for name, path in host]
    mounts = [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name, _ in host]
    spec = {"volumes": volumes, "volumeMounts": mounts, "restartPolicy": "Never", **SHORT}
    node.apply(pod_object("asks", "/usr/bin/python3", "-c", ASK, **spec))
    node.pod_when("asks", lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))
    assert node.container_log("asks", "c") == "system:serviceaccount:default:default asks"
    node.kubectl("delete", "pod", "asks", "--wait=false")


def test_secrets_and_tokens_are_in_memory_alone(node: NodeUnderTest) -> None:
    """By the mount table, and by a search of all that the node has on its disk but for the API's own store."""
    secret = secrets.token_hex(16)
    node.kubectl("create", "secret", "generic", "hidden", f"--from-literal=key={secret}")
    sources = [{"secret": {"name": "hidden"}}, {"serviceAccountToken": {"path": "token"}}]
    volumes = [{"name": "s", "secret": {"secretName": "hidden"}}, {"name": "p", "projected": {"sources": sources}}]
    mounts = [{"name": "s", "mountPath": "/s"}, {"name": "p", "mountPath": "/p"}]
    mounts.append({"name": "s", "mountPath": "/part", "subPath": "key"})
    node.apply(pod_object("keeps", "sleep", "100000", volumes=volumes, volumeMounts=mounts, **SHORT))
    folder = node.root_dir / "pods" / node.running("keeps")["metadata"]["uid"]
    token = (folder / "volumes/kubernetes.io~projected/p/token").read_text()
    kinds = {entry.point: entry.fstype for entry in read_mounts() if entry.point.startswith(f"{folder}/")}
    assert [Path(point).parent.name for point in kinds].count("kubernetes.io~projected") == 2
    assert set(kinds.values()) == {"tmpfs"}
    assert found_on_disk(node.directory, secret, token) == []
    node.kubectl("delete", "pod", "keeps")
    eventually(lambda: not folder.exists(), "the pod's folder is gone")
    assert found_on_disk(node.directory, secret, token) == []


def found_on_disk(top: Path, *texts: str) -> list[str]:
    """Files of the file system of `top` with one of the texts in them, plain or as base64; not the embedded API's store."""
    forms = [form for text in texts for form in (text.encode(), base64.b64encode(text.encode()).rstrip(b"=")[:-1])]
    found: list[str] = []
    device = top.stat().st_dev
    for parent, folders, names in os.walk(top):
        folders[:] = [name for name in folders if os.lstat(f"{parent}/{name}").st_dev == device and name != "images"]
        for name in names:
            path = Path(parent, name)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_dev != device or name.startswith("state.db"):
                continue
            data = path.read_bytes()
            found += [str(path) for form in forms if form in data]
    return found


def test_a_flexvolume_driver_of_the_host(node: NodeUnderTest) -> None:
    """A pod waits for its driver, starts when that is installed, has its volume, and leaves it unmounted and detached."""
    driver = InstalledDriver(node.directory / "flexvolume", "staged")
    flex = {"driver": driver.name, "options": {"share": "x"}}
    script = "echo kept > /v/file; cat /v/file; sleep 100000"
    mounts = [{"name": "v", "mountPath": "/v"}]
    node.apply(
        pod_object(
            "flex", "sh", "-c", script, volumes=[{"name": "v", "flexVolume": flex}], volumeMounts=mounts, **SHORT
        )
    )
    assert f"no FlexVolume driver {driver.name} has started" in node.event_when("flex", "FailedMount")
    driver.install()
    node.running("flex")
    assert said(node, "flex", "kept") == "kept"
    node.kubectl("delete", "pod", "flex")
    eventually(lambda: driver.verbs()[-1] == "detach", "the volume is detached")
    assert driver.verbs() == [
        "init",
        "attach",
        "waitforattach",
        "mountdevice",
        "mount",
        "unmount",
        "unmountdevice",
        "detach",
    ]
    assert driver.calls()[1][-1].split()[-1] == node.name


class Signer:
    """Who signs the requests of pods in the name of `example.com/signer`."""

    def __init__(self, node: NodeUnderTest) -> None:
        self._node = node
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
        self._moment = datetime.now(UTC).replace(microsecond=0)

    def authority(self) -> str:
        return self._signed(self._name, self._key.public_key(), authority=True)

    def sign(self) -> int:
        """Answer what waits; the number of the answers."""
        listed = json.loads(self._node.kubectl("get", "podcertificaterequests", "-o", "json"))["items"]
        waiting = [request for request in listed if not request.get("status", {}).get("conditions")]
        for request in waiting:
            asked = x509.load_der_x509_csr(base64.b64decode(request["spec"]["stubPKCS10Request"]))
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, request["spec"]["podName"])])
            stamp = self._moment.strftime("%Y-%m-%dT%H:%M:%SZ")
            later = (self._moment + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            condition = {
                "type": "Issued",
                "status": "True",
                "reason": "Signed",
                "message": "",
                "lastTransitionTime": stamp,
            }
            request["status"] = {
                "conditions": [condition],
                "certificateChain": self._signed(subject, asked.public_key(), authority=False),
                "notBefore": stamp,
                "beginRefreshAt": later,
                "notAfter": later,
            }
            name = request["metadata"]["name"]
            path = f"/apis/certificates.k8s.io/v1beta1/namespaces/default/podcertificaterequests/{name}/status"
            self._node.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(request))
        return len(waiting)

    def _signed(self, subject: x509.Name, key: Any, *, authority: bool) -> str:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.not_valid_before(self._moment).not_valid_after(self._moment + timedelta(hours=1))
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def signer(node: NodeUnderTest) -> Iterator[Signer]:
    yield Signer(node)
    node.kubectl("delete", "clustertrustbundles", "--all")


def bundle(pem: str) -> dict[str, Any]:
    metadata = {"name": "example.com:signer:v1", "labels": {"live": "yes"}}
    spec = {"signerName": "example.com/signer", "trustBundle": pem}
    return {
        "apiVersion": "certificates.k8s.io/v1beta1",
        "kind": "ClusterTrustBundle",
        "metadata": metadata,
        "spec": spec,
    }


def test_certificates_and_trust_anchors(node: NodeUnderTest, signer: Signer) -> None:
    """A pod waits until its request is signed; key and chain belong together, the anchors are the signer's, and new ones come
    while it runs."""
    selector = {"signerName": "example.com/signer", "labelSelector": {"matchLabels": {"live": "yes"}}}
    sources = [
        {
            "podCertificate": {
                "signerName": "example.com/signer",
                "keyType": "ECDSAP256",
                "credentialBundlePath": "pair",
            }
        },
        {"clusterTrustBundle": {**selector, "path": "anchors"}},
        {"clusterTrustBundle": {"name": "none", "optional": True, "path": "empty"}},
    ]
    volumes = [{"name": "v", "projected": {"sources": sources}}]
    script = "wc -c < /v/empty; while :; do grep -c BEGIN /v/anchors; sleep 0.1; done"
    mounts = [{"name": "v", "mountPath": "/v"}]
    node.apply(pod_object("proven", "sh", "-c", script, volumes=volumes, volumeMounts=mounts, **SHORT))
    eventually(signer.sign, "a request is made")
    node.apply(bundle(signer.authority()))
    uid = node.running("proven")["metadata"]["uid"]
    folder = node.root_dir / "pods" / uid / "volumes/kubernetes.io~projected/v"
    pair = (folder / "pair").read_bytes()
    key = serialization.load_pem_private_key(pair, None)
    (certificate,) = x509.load_pem_x509_certificates(pair)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=proven"
    assert said(node, "proven", "1").splitlines()[:2] == ["0", "1"]
    node.apply(bundle(signer.authority() + Signer(node).authority()))
    node.pod_when("proven", lambda _: node.container_log("proven", "c").endswith("2"))
    assert (folder / "pair").read_bytes() == pair
    node.kubectl("delete", "pod", "proven")
    listed = ("get", "podcertificaterequests", "-o", "name")
    eventually(
        lambda: node.kubectl(*listed).strip() in ("", "No resources found in default namespace."),
        "it is gone with its pod",
    )
