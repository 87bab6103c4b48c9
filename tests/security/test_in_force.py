"""What is configured is in force, or is refused, or is told: TLS, the kernel's settings, fields that do nothing, old runtimes."""

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_fixtures import started_node
from node_under_test import REPO, NodeUnderTest, eventually

from nodeagent.node.kernel_defaults import KERNEL_DEFAULTS

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-in-force")]

CONFIGURED = "ECDHE-ECDSA-CHACHA20-POLY1305"
STRICT = {
    "tlsMinVersion": "VersionTLS12",
    "tlsCipherSuites": ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"],
    "oomScoreAdj": -500,
    "runtimeRequestTimeout": "5m",
    "syncFrequency": "2m",
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """A node with one cipher suite, and fields that this agent does not act on."""
    yield from started_node(tmp_path_factory.mktemp("strict"), demo_image, kubelet=STRICT)


def handshake(port: int, *, ciphers: str = "", version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> str:
    """The suite that was agreed on with a client of one version, or "refused"."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain) as connection,
        ):
            agreed = connection.cipher()
            return agreed[0] if agreed is not None else "none"
    except (ssl.SSLError, ConnectionResetError):
        return "refused"


def api_port(node: NodeUnderTest) -> int:
    server = node.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    return int(server.rpartition(":")[2])


def test_cipher_suites_are_in_force(strict: NodeUnderTest) -> None:
    """On the node's endpoint and on the embedded API: the configured suite, no other of TLS 1.2; TLS 1.3 as always."""
    for port in (strict.port, api_port(strict)):
        assert handshake(port, ciphers="ALL:@SECLEVEL=0") == CONFIGURED
        assert handshake(port, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA256") == "refused"
        assert handshake(port, version=ssl.TLSVersion.TLSv1_3).startswith("TLS_")


def test_what_is_not_in_force_is_told(strict: NodeUnderTest) -> None:
    """In the log with the reason, in an event of the node, and by `nodeagent check`; what nobody relies on, not as a warning."""
    warnings = [line for line in strict.log().splitlines() if "WARNING" in line and "not in force" in line]
    assert len(warnings) == 1
    assert "oomScoreAdj (" in warnings[0] and "runtimeRequestTimeout (" in warnings[0]
    assert "syncFrequency" not in warnings[0] and "syncFrequency (" in strict.log()
    events = eventually(
        lambda: [text for reason, text in strict.events(strict.name) if reason == "ConfigurationNotInForce"], "event"
    )
    assert events == ["Accepted in the configuration, and not in force: oomScoreAdj, runtimeRequestTimeout"]
    found = {item["name"]: item for item in check(strict) if item["group"] == "configuration"}
    assert {name: item["state"] for name, item in found.items()} == {
        "oomScoreAdj": "degraded",
        "runtimeRequestTimeout": "degraded",
        "syncFrequency": "missing",
    }


def test_runtimes_with_published_holes_are_told(strict: NodeUnderTest) -> None:
    """Those of this machine, by their packages: in `nodeagent check`, and once in the log."""
    holes = [item for item in check(strict) if item["group"] == "published holes" and item["state"] == "degraded"]
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "runc"], capture_output=True, text=True, check=False
    ).stdout
    if shown != "1.1.5+ds1-1+deb12u1":
        pytest.skip(f"knows what is open in Debian 12's first runc only, here is {shown!r}")
    named = sorted(item["detail"].partition(":")[0] for item in holes if item["name"] == f"runc {shown}")
    assert named == ["CVE-2024-45310", "CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881", "CVE-2026-41579"]
    eventually(lambda: strict.log().count(f"runc {shown} has published holes") == 1, "told in the log")


def test_exposed_files_are_told(strict: NodeUnderTest) -> None:
    """A kubeconfig that others may read, and a configuration that others may write: told with the command; mended, no more."""
    config = strict.directory / "config.yaml"
    kubeconfig = strict.directory / "state" / "node.kubeconfig"
    config.chmod(0o666)
    kubeconfig.chmod(0o644)
    wrong = {item["fix"] for item in check(strict) if item["group"] == "files" and item["state"] == "degraded"}
    assert {f"chmod 600 {config}", f"chmod 600 {kubeconfig}"} <= wrong
    config.chmod(0o600)
    kubeconfig.chmod(0o600)
    wrong = {item["fix"] for item in check(strict) if item["group"] == "files" and item["state"] == "degraded"}
    assert not {fix for fix in wrong if str(config) in fix or str(kubeconfig) in fix}


def test_the_kernels_settings(strict: NodeUnderTest) -> None:
    """Set when the agent starts."""
    for name, value in KERNEL_DEFAULTS.items():
        assert int(Path("/proc/sys", *name.split(".")).read_text()) == value


def test_a_protected_kernel_that_is_another_is_refused(own_node: Callable[..., NodeUnderTest]) -> None:
    """protectKernelDefaults: the agent ends with one line in upstream's words."""
    node = own_node(kubelet={"protectKernelDefaults": True})
    with held("11\n", Path("/proc/sys/kernel/panic")):
        node.start_with("--standalone", log_level="info")
        assert node.agent is not None
        assert node.agent.wait(60) == 1
    node.agent = None
    # the agent that clears up is not to depend on what the machine's kernel was set to before
    del node.config["kubelet"]
    (line,) = [line for line in node.log().splitlines() if " ERROR " in line]
    assert "protectKernelDefaults: invalid kernel flag: kernel.panic, expected value: 10, actual value: 11 " in line


@contextlib.contextmanager
def held(text: str, path: Path) -> Iterator[None]:
    """Keep a setting of the machine's at a value, against the agents of other tests, which set their own when they start."""
    before, over = path.read_text(), threading.Event()

    def keep() -> None:
        while not over.wait(0.002):
            path.write_text(text)

    path.write_text(text)
    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        path.write_text(before)


def check(node: NodeUnderTest) -> list[dict[str, str]]:
    paths = {"config": "config.yaml", "root-dir": "root", "state-dir": "state"}
    options = [f"--{name}={node.directory / path}" for name, path in paths.items()]
    done = subprocess.run(
        [sys.executable, "-m", "nodeagent", "check", "--standalone", "--output=json", *options],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    findings: list[dict[str, str]] = json.loads(done.stdout)["checks"]
    return findings
