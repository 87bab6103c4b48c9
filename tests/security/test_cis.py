"""CIS Kubernetes Benchmark, section 4 (worker nodes), item by item, on running agents.

`node` has the defaults of standalone mode; `advised` what an operator adds, because only an operator can decide on it.
docs/security.md has the table.
"""

import base64
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from node_fixtures import started_node
from node_under_test import REPO, NodeUnderTest, eventually
from pods_under_test import container, make_pod
from shown_certificate import shown_certificate

from nodeagent.api.certificates import self_signed
from nodeagent.config import Options, load
from nodeagent.node.exposed_files import Exposed, Watched, exposed

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-cis")]

UNIT = REPO / "hack" / "nodeagent.service"


@pytest.fixture(scope="module")
def advised(tmp_path_factory: pytest.TempPathFactory, demo_image: Path, node: NodeUnderTest) -> Iterator[NodeUnderTest]:
    """A node with all that is an operator's to add. After `node`, which has set the kernel as protectKernelDefaults wants it."""
    kubelet = {
        "tlsMinVersion": "VersionTLS13",
        "podPidsLimit": 1024,
        "seccompDefault": True,
        "protectKernelDefaults": True,
        "rotateCertificates": True,
        "serverTLSBootstrap": True,
    }
    for made in started_node(tmp_path_factory.mktemp("advised"), demo_image, kubelet=kubelet):
        eventually(lambda: verified(made), "the serving certificate is issued")  # noqa: B023  # there is one
        yield made


def verified(node: NodeUnderTest) -> dict[str, Any] | None:
    """The certificate of the endpoint, where the cluster's CA has signed it."""
    return shown_certificate(node.port, node.directory / "state/pki/ca.crt")


# -- 4.1 files -------------------------------------------------------------------------------------------------------------


def judged(path: Path) -> list[str]:
    """The commands that `nodeagent check` tells for one file itself."""
    found: list[Exposed] = list(exposed([Watched(what="file", path=path)]))
    return [each.command for each in found if each.path == path]


@pytest.mark.parametrize("item", ["4.1.1 mode of the unit file", "4.1.2 its owner"])
def test_unit_file(tmp_path: Path, item: str) -> None:
    """Installed as it says itself it is root's, 0600; another mode or owner is told with the command."""
    installed = tmp_path / "nodeagent.service"
    subprocess.run(["install", "-m", "0600", str(UNIT), str(installed)], check=True)
    assert (installed.stat().st_mode & 0o777, installed.stat().st_uid) == (0o600, 0)
    assert judged(installed) == []
    if item.startswith("4.1.1"):
        installed.chmod(0o644)
        assert judged(installed) == [f"chmod 600 {installed}"]
    else:
        shutil.chown(installed, 1000, 1000)
        assert judged(installed) == [f"chown root:root {installed}"]


@pytest.mark.parametrize("item", ["4.1.3 mode of kube-proxy's kubeconfig", "4.1.4 its owner", "4.3.1 its metrics"])
def test_there_is_no_proxy(node: NodeUnderTest, item: str) -> None:
    """Not applicable: no process and no file of a kube-proxy."""
    assert node.agent is not None
    children = psutil.Process(node.agent.pid).children(recursive=True)
    assert not [each for each in children if "proxy" in each.name()], item
    assert not list(node.directory.rglob("*proxy*.kubeconfig"))


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("4.1.5, 4.1.6 kubelet kubeconfig", "state/node.kubeconfig"),
        ("4.1.5, 4.1.6 the administrator's", "state/admin.kubeconfig"),
        ("4.1.7, 4.1.8 client CA", "state/pki/ca.crt"),
        ("the CA's key", "state/pki/ca.key"),
        ("the serving key", "root/pki/kubelet.key"),
        ("the store", "state/state.db"),
    ],
)
def test_files_of_the_agent(node: NodeUnderTest, item: str, name: str) -> None:
    """Made 0600 and root's."""
    found = (node.directory / name).stat()
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (0o600, 0, 0), item


@pytest.mark.parametrize("item", ["4.1.5 --kubeconfig", "4.1.7 the CA file", "4.1.9 --config"])
def test_files_of_the_operator(node: NodeUnderTest, tmp_path: Path, item: str) -> None:
    """A given file that others may read is told by `nodeagent check`; with the command that it tells it no longer is."""
    ca, kubeconfig, config = tmp_path / "ca.crt", tmp_path / "kubeconfig", tmp_path / "config.yaml"
    shutil.copy(node.directory / "state/pki/ca.crt", ca)
    shutil.copy(node.directory / "state/node.kubeconfig", kubeconfig)
    document = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    config.write_text(yaml.safe_dump(document | {"authentication": {"x509": {"clientCAFile": str(ca)}}}))
    path = {"4.1.5": kubeconfig, "4.1.7": ca, "4.1.9": config}[item.split()[0]]
    for each in (ca, kubeconfig, config):
        each.chmod(0o644 if each == path else 0o600)
    arguments = [f"--config={config}", f"--kubeconfig={kubeconfig}"]
    (fix,) = [fix for fix in fixes(*arguments) if str(tmp_path) in fix]
    assert fix == f"chmod 600 {path}"
    subprocess.run(fix.split(), check=True)
    assert not [fix for fix in fixes(*arguments) if str(tmp_path) in fix]


def fixes(*arguments: str) -> list[str]:
    """Of `nodeagent check`: the commands about files."""
    done = subprocess.run(
        [sys.executable, "-m", "nodeagent", "check", "--output=json", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return [item["fix"] for item in json.loads(done.stdout)["checks"] if item["group"] == "files" and item["fix"]]


# -- 4.2 the kubelet's settings ----------------------------------------------------------------------------------------------


def configz(node: NodeUnderTest) -> dict[str, Any]:
    shown = json.loads(node.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/configz"))
    config: dict[str, Any] = shown["kubeletconfig"]
    return config


def request(node: NodeUnderTest, path: str, *options: str) -> int:
    """The status of a GET on the node's own port."""
    url = f"https://127.0.0.1:{node.port}{path}"
    done = subprocess.run(
        ["curl", "-ks", "-o", "/dev/null", "-w", "%{http_code}", *options, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return int(done.stdout)


def client_certificate(node: NodeUnderTest, folder: Path) -> tuple[str, ...]:
    """curl's options for the administrator's certificate."""
    user = yaml.safe_load(node.kubeconfig.read_text())["users"][0]["user"]
    for name in ("client-certificate", "client-key"):
        (folder / name).write_bytes(base64.b64decode(user[f"{name}-data"]))
    return "--cert", str(folder / "client-certificate"), "--key", str(folder / "client-key")


def handshake(port: int, suites: str, version: ssl.TLSVersion) -> str:
    """The suite agreed on, or empty."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if suites:
        context.set_ciphers(suites)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, context.wrap_socket(plain) as done:
            return str((done.cipher() or ("",))[0])
    except (ssl.SSLError, ConnectionResetError):
        return ""


def test_4_2_1_no_strangers(node: NodeUnderTest) -> None:
    """anonymous-auth is off: 401 without credentials."""
    assert [request(node, path) for path in ("/pods", "/metrics", "/exec/a/b/c", "/configz")] == [401] * 4


def test_4_2_2_not_everything_is_allowed(node: NodeUnderTest) -> None:
    """authorization-mode is Webhook: a service account that the API knows gets nothing."""
    token = node.kubectl("create", "token", "default").strip()
    assert request(node, "/pods", "-H", f"Authorization: Bearer {token}") == 403
    assert configz(node)["authorization"]["mode"] == "Webhook"


def test_4_2_3_client_ca(node: NodeUnderTest, tmp_path: Path) -> None:
    """A certificate of the cluster's CA is known; one that somebody made is refused in the handshake."""
    assert request(node, "/pods", *client_certificate(node, tmp_path)) == 200
    chain, key = self_signed("system:masters", (), datetime.now(UTC))
    (tmp_path / "own.crt").write_bytes(chain)
    (tmp_path / "own.key").write_bytes(key)
    assert request(node, "/pods", "--cert", str(tmp_path / "own.crt"), "--key", str(tmp_path / "own.key")) in (0, 401)


def test_4_2_4_no_read_only_port(node: NodeUnderTest) -> None:
    """The agent listens on its HTTPS port alone (and the embedded API on its own; cluster DNS is for pods, at their gateway)."""
    assert node.agent is not None
    gateway = str(ipaddress.ip_network(node.subnet)[1])
    listening = {
        each.laddr.port
        for each in psutil.Process(node.agent.pid).net_connections("inet")
        if each.status == psutil.CONN_LISTEN and each.laddr.ip != gateway
    }
    assert (configz(node)["readOnlyPort"], listening) == (0, {node.port})


def test_4_2_5_idle_streams_end(node: NodeUnderTest) -> None:
    """streaming-connection-idle-timeout is not 0 (that it is in force: tests/node/server)."""
    assert configz(node)["streamingConnectionIdleTimeout"] in ("4h", "4h0m0s")


def test_4_2_6_iptables_chains(node: NodeUnderTest) -> None:
    """make-iptables-util-chains: the rule that keeps pods from the host's 127.0.0.1 is there (test_loopback.py: it works)."""
    assert configz(node)["makeIPTablesUtilChains"] is True

    def rules() -> bool:
        shown = subprocess.run(
            ["iptables", "-w", "5", "-S", "KUBE-FIREWALL"], capture_output=True, text=True, check=False
        )
        return "127.0.0.0/8" in shown.stdout

    eventually(rules, "KUBE-FIREWALL")


def test_4_2_7_the_hosts_own_name() -> None:
    """Without --node-name the node has the machine's name, which the API's certificates name."""
    assert load(Options(standalone=True)).node_name == socket.gethostname().lower()


def test_4_2_8_events(node: NodeUnderTest) -> None:
    """eventRecordQPS is a limit that loses no event of a node in trouble (that it is in force: tests/unit/nodeagent/api)."""
    assert configz(node)["eventRecordQPS"] == 50


def shown(node: NodeUnderTest) -> set[str]:
    """The names and addresses of the certificate that is shown."""
    return {value for _, value in (verified(node) or {}).get("subjectAltName", ())}


@pytest.mark.parametrize("item", ["4.2.9 tlsCertFile, or a certificate of the cluster's", "4.2.11 serverTLSBootstrap"])
def test_serving_certificate(node: NodeUnderTest, advised: NodeUnderTest, item: str) -> None:
    """Issued by the cluster's CA for the node's addresses (its renewal: tests/node/agent/test_identity.py; of files:
    tests/unit/nodeagent/assembly/test_server.py). Without it the certificate is self-signed, as a kubelet's."""
    status = json.loads(advised.kubectl("get", "node", advised.name, "-o", "json"))["status"]
    assert shown(advised) == {each["address"] for each in status["addresses"]}, item
    assert verified(node) is None


def test_4_2_10_client_certificate_rotates(advised: NodeUnderTest) -> None:
    """rotateCertificates is in force (that it renews in time: tests/node/agent/test_identity.py), and nothing is told as not."""
    assert configz(advised)["rotateCertificates"] is True
    assert "client certificate: ends at " in advised.log()
    assert not [line for line in advised.log().splitlines() if "WARNING" in line and "not in force" in line]


def test_4_2_12_strong_ciphers(node: NodeUnderTest, advised: NodeUnderTest) -> None:
    """By default forward secret, authenticated suites of TLS 1.2 and TLS 1.3; with VersionTLS13 nothing older."""
    every = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
    cbc = (
        "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"
    )
    assert handshake(node.port, every, ssl.TLSVersion.TLSv1_2).startswith("ECDHE-ECDSA-")
    assert handshake(node.port, cbc, ssl.TLSVersion.TLSv1_2) == ""
    assert handshake(node.port, "kRSA:@SECLEVEL=0", ssl.TLSVersion.TLSv1_2) == ""
    assert handshake(node.port, every, ssl.TLSVersion.TLSv1_1) == ""
    assert handshake(advised.port, every, ssl.TLSVersion.TLSv1_2) == ""
    assert handshake(advised.port, "", ssl.TLSVersion.TLSv1_3).startswith("TLS_")


@pytest.mark.parametrize("limit", [16384, 1024])
def test_4_2_13_pids(node: NodeUnderTest, advised: NodeUnderTest, limit: int) -> None:
    """A pod may have 16384 processes in standalone mode, or as many as podPidsLimit says; its cgroup has the limit."""
    chosen = node if limit == 16384 else advised
    chosen.apply(make_pod("pids", container("c")))
    uid = chosen.running("pids")["metadata"]["uid"]
    roots = [path for path in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")) if path.is_dir()]
    (found,) = (roots[0] / chosen.cgroup.strip("/")).rglob(f"*{uid}/pids.max")
    assert found.read_text() == f"{limit}\n"


def test_4_2_14_seccomp_default(node: NodeUnderTest, advised: NodeUnderTest) -> None:
    """With seccompDefault a pod that says nothing has the runtime's filter; the default is off, as upstream."""
    for chosen, mode in ((node, "0"), (advised, "2")):
        chosen.apply(make_pod("seccomp", container("c")))
        chosen.running("seccomp")
        status = chosen.kubectl("exec", "seccomp", "--", "cat", "/proc/self/status")
        assert [line.split()[1] for line in status.splitlines() if line.startswith("Seccomp:")] == [mode]


def test_4_2_15_ip_address_deny() -> None:
    """A drop-in beside the unit denies all addresses but those named in it (what systemd makes of it: test_unit_file.py)."""
    lines = (REPO / "hack" / "nodeagent-addresses.conf").read_text().splitlines()
    assert "IPAddressDeny=any" in lines and "IPAddressAllow=localhost" in lines


def test_protect_kernel_defaults(advised: NodeUnderTest) -> None:
    """Of older editions: the agent compares and starts; on another kernel it does not (test_in_force.py)."""
    assert configz(advised)["protectKernelDefaults"] is True
