"""A node's identity in a cluster: made by a bootstrap token, approved by a person, and renewed while everything runs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from bootstrap_token import TOKEN_SECRET, bootstrap_kubeconfig, bootstrap_secret
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from joined_node import JoinedNode, joined_node
from node_under_test import eventually, pod_object
from shown_certificate import shown_certificate

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-identity"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[JoinedNode]:
    with joined_node(tmp_path_factory.mktemp("identity"), demo_image, own=False) as made:
        made.config["kubelet"] |= {
            "rotateCertificates": True,
            "serverTLSBootstrap": True,
            "authentication": {"x509": {"clientCAFile": str(made.api_process.folder / "pki" / "ca.crt")}},
        }
        yield made


def start(node: JoinedNode) -> None:
    kubeconfig, bootstrap = node.directory / "kubelet.conf", node.directory / "bootstrap.conf"
    node.start_with(f"--kubeconfig={kubeconfig}", f"--bootstrap-kubeconfig={bootstrap}")


def requests(node: JoinedNode, signer: str) -> list[dict[str, Any]]:
    """For this node, the oldest first."""
    found = json.loads(node.kubectl("get", "csr", "-o", "json", "--sort-by=.metadata.creationTimestamp"))["items"]
    return [each for each in found if each["spec"]["signerName"] == f"kubernetes.io/{signer}"]


def shown(node: JoinedNode) -> dict[str, Any] | None:
    """The certificate of the endpoint, where the cluster's CA has signed it."""
    return shown_certificate(node.port, node.api_process.folder / "pki" / "ca.crt")


def test_a_token_and_a_person(node: JoinedNode) -> None:
    """Without kubeadm's group the request waits, over a restart with the same key; when it is approved the node joins, by itself.
    Nothing of it is in the log, and nobody else can read the files."""
    node.directory.mkdir(exist_ok=True)
    (node.directory / "bootstrap.conf").write_text(yaml.safe_dump(bootstrap_kubeconfig(node.kubeconfig)))
    node.kubectl("apply", "-f", "-", stdin=json.dumps(bootstrap_secret(groups="")))
    start(node)
    eventually(lambda: requests(node, "kube-apiserver-client-kubelet"), "asked for")
    agent = node.agent
    node.stop()
    assert agent is not None and agent.returncode == 0
    start(node)
    eventually(lambda: node.log().count("waits for its approval") == 2, "asked for again")
    (request,) = requests(node, "kube-apiserver-client-kubelet")
    assert request["spec"]["username"] == "system:bootstrap:abcdef"
    assert request["status"] == {}
    node.kubectl("certificate", "approve", request["metadata"]["name"])
    eventually(node._ready, "the node is Ready")
    node.apply(pod_object("runs", "sleep", "100000", nodeName=node.name))
    node.running("runs")
    pki = node.root_dir / "pki"
    assert {path.name: path.stat().st_mode & 0o777 for path in pki.iterdir()} == {
        path.name: 0o600 for path in pki.iterdir()
    }
    assert (pki / "kubelet-client-current.pem").is_symlink() and not (pki / "kubelet-client.key.tmp").exists()
    assert (node.directory / "kubelet.conf").stat().st_mode & 0o777 == 0o600
    assert TOKEN_SECRET not in node.log() + (node.directory / "kubelet.conf").read_text()
    assert "PRIVATE KEY" not in node.log()


def test_a_serving_certificate(node: JoinedNode) -> None:
    """Until a person approves it nobody is shown a certificate; then logs come by it, and it is for the node's addresses."""
    (request,) = eventually(lambda: requests(node, "kubelet-serving"), "asked for")
    assert request["spec"]["username"] == f"system:node:{node.name}"
    assert shown(node) is None
    node.kubectl("certificate", "approve", request["metadata"]["name"])
    found = eventually(lambda: shown(node), "a certificate of the cluster's CA")
    status = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]
    addresses = {each["address"] for each in status["addresses"]}
    assert {value for _, value in found["subjectAltName"]} == addresses
    assert "sleep" in node.kubectl("exec", "runs", "--", "cat", "/proc/1/cmdline")


# A renewal takes two or three of them, on a busy machine some more.
LEFT_SECONDS = 15


def nearly_over(node: JoinedNode) -> str:
    """The node's own certificate, signed anew so that its time is 95 % over, takes the place of it; its serial number."""
    pki = node.api_process.folder / "pki"
    current = node.root_dir / "pki" / "kubelet-client-current.pem"
    pem = current.read_bytes()
    old, key = x509.load_pem_x509_certificate(pem), serialization.load_pem_private_key(pem, None)
    ca = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    ca_key: Any = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
    end = datetime.now(UTC) + timedelta(seconds=LEFT_SECONDS)
    made = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(ca.subject)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(seconds=LEFT_SECONDS / 0.05))
        .not_valid_after(end)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    fresh = current.with_name("kubelet-client-2026-01-01-00-00-00.pem")
    fresh.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    fresh.chmod(0o600)
    link = current.with_name("fresh")
    link.symlink_to(fresh)
    link.replace(current)
    return str(made.serial_number)


def serial(node: JoinedNode) -> str:
    current = node.root_dir / "pki" / "kubelet-client-current.pem"
    return str(x509.load_pem_x509_certificate(current.read_bytes()).serial_number)


def test_renewal_while_everything_runs(node: JoinedNode) -> None:
    """A client certificate near its end is renewed without anybody: the pod's container is the same, and new pods run after the
    end of the old one. No other request was made for it than one."""
    before = node.pod("runs")["status"]["containerStatuses"]
    begin = len(node.log())
    old = nearly_over(node)
    eventually(lambda: serial(node) != old, "renewed")
    node_conf = yaml.safe_load((node.directory / "kubelet.conf").read_text())
    assert node_conf["users"][0]["user"]["client-certificate"].endswith("/kubelet-client-current.pem")
    eventually(lambda: node.log()[begin:].count("client certificate changed: closing all API") == 2, "in use")
    eventually(lambda: datetime.now(UTC) > left_by(node), "the old one is over")
    node.apply(pod_object("after", "sleep", "100000", nodeName=node.name))
    node.running("after")
    assert node.pod("runs")["status"]["containerStatuses"] == before
    assert len(requests(node, "kube-apiserver-client-kubelet")) == 2
    assert len(requests(node, "kubelet-serving")) == 1
    assert "asking for a client certificate" not in node.log()[begin:]
    assert "Traceback" not in node.log()


def left_by(node: JoinedNode) -> datetime:
    """When the certificate before the current one ends."""
    old = node.root_dir / "pki" / "kubelet-client-2026-01-01-00-00-00.pem"
    return x509.load_pem_x509_certificate(old.read_bytes()).not_valid_after_utc
