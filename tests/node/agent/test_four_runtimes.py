"""runc, crun, gVisor and containerd on one node at the same time, each with the streams that stock kubectl opens."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from components import needs
from containerd_under_test import Containerd, containerd
from kubectl_under_test import CLIENTS, forwarded, in_terminal, run
from node_under_test import NodeUnderTest, eventually, import_image, make_node, pod_object
from runtime_classes import runtime_class

RUNTIMES = ("runc", "crun", "gvisor", "containerd")

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("agent-four-runtimes"),
    needs("runc", "crun", "runsc", "containerd"),
]

WEB = "head -c 3000000 /dev/zero | tr '\\0' x > /www/large; httpd -p 8080 -h /www; sleep 100000"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("c"), demo_image) as started:
        yield started


@pytest.fixture(scope="module")
def node(daemon: Containerd, tmp_path_factory: pytest.TempPathFactory, demo_image: Path) -> Iterator[NodeUnderTest]:
    """One node with four handlers, and a pod of each: a web server that stays."""
    runtimes: dict[str, Any] = {
        "runc": {"type": "oci", "path": shutil.which("runc")},
        "crun": {"type": "oci", "path": shutil.which("crun")},
        "gvisor": {
            "type": "oci",
            "path": shutil.which("runsc"),
            "args": ["--platform=ptrace", "--network=host"],
            "infraContainer": "always",
        },
        "containerd": {"type": "cri", "endpoint": daemon.endpoint, "handler": "runc"},
    }
    made = make_node(tmp_path_factory.mktemp("four"), runtimes=runtimes, defaultRuntime="runc")
    made.directory.mkdir()
    import_image(made, demo_image)
    made.start()
    made.apply(*(runtime_class(name) for name in RUNTIMES))
    made.apply(*(pod_object(f"on-{name}", "sh", "-c", WEB, runtimeClassName=name) for name in RUNTIMES))
    yield made
    made.clean()


@pytest.fixture(params=RUNTIMES)
def pod(node: NodeUnderTest, request: pytest.FixtureRequest) -> str:
    """The pod of one runtime, ready."""
    name = f"on-{request.param}"
    node.running(name)
    return name


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return b"It runs." in answer.read()
    return False


def test_all_four_at_once(node: NodeUnderTest, daemon: Containerd) -> None:
    """Each pod's container id names its runtime, each has an IP of its own, and gVisor proves itself by its kernel."""
    pods = {name: node.running(f"on-{name}") for name in RUNTIMES}
    ids = {name: pod["status"]["containerStatuses"][0]["containerID"].split("://")[0] for name, pod in pods.items()}
    assert ids == {"runc": "runc", "crun": "crun", "gvisor": "gvisor", "containerd": "containerd"}
    assert len({pod["status"]["podIP"] for pod in pods.values()}) == 4
    host = os.uname().release
    for name in RUNTIMES:
        version = node.kubectl("exec", f"on-{name}", "--", "cat", "/proc/version")
        assert (host in version) == (name != "gvisor"), version
    assert "gVisor" in node.kubectl("exec", "on-gvisor", "--", "dmesg")
    inside = node.kubectl("exec", "on-gvisor", "--", "ip", "-4", "addr", "show", "eth0")
    assert f"inet {pods['gvisor']['status']['podIP']}/" in inside


@pytest.mark.parametrize("client", CLIENTS)
def test_exec(node: NodeUnderTest, pod: str, client: str) -> None:
    """Exit codes, both outputs apart, standard input to its end, and a terminal of the caller's size."""
    for code in (0, 3):
        assert run(node, client, "exec", pod, "--", "sh", "-c", f"exit {code}").returncode == code
    both = run(node, client, "exec", pod, "--", "sh", "-c", "echo out; echo err >&2")
    assert (both.returncode, both.stdout, both.stderr) == (0, b"out\n", b"err\n")
    done = run(node, client, "exec", "-i", pod, "--", "sh", "-c", "cat; echo end", stdin=b"one\ntwo\n")
    assert (done.returncode, done.stdout) == (0, b"one\ntwo\nend\n")
    terminal = in_terminal(node, client, "exec", "-it", pod, "--", "sh", "-c", "'sleep 0.5; test -t 0 && stty size'")
    assert b"33 111" in terminal


@pytest.mark.parametrize("client", CLIENTS)
def test_copy(node: NodeUnderTest, pod: str, client: str, tmp_path: Path) -> None:
    """`cp` takes a file in and out again unchanged."""
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(1_000_000))
    for source, target in ((str(sent), f"{pod}:/tmp/copied"), (f"{pod}:/tmp/copied", str(back))):
        done = run(node, client, "cp", source, target)
        assert done.returncode == 0, done.stderr
    inside = run(node, client, "exec", pod, "--", "sha256sum", "/tmp/copied").stdout.split()[0].decode()
    assert [inside, back.read_bytes()] == [hashlib.sha256(sent.read_bytes()).hexdigest(), sent.read_bytes()]


def whole(url: str) -> bytes | None:
    """What is served there; None where the server hangs up before it has said anything.

    gVisor of 2022 with --network=host: a read of an accepted socket fails while there is nothing to read, so a server that does
    not poll (busybox's) drops a request that comes a moment after its connection.
    """
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())
    except http.client.RemoteDisconnected:
        return None


@pytest.mark.parametrize("client", CLIENTS)
def test_port_forward(node: NodeUnderTest, pod: str, client: str) -> None:
    """A page and a large file arrive whole over one session."""
    at_its_ip = f"http://{node.pod(pod)['status']['podIP']}:8080/"
    eventually(lambda: answers(at_its_ip), "web server")
    with forwarded(node, client, pod, 8080) as address:
        eventually(lambda: answers(f"{address}/"), "the page")
        assert eventually(lambda: whole(f"{address}/large"), "an answer") == b"x" * 3_000_000


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_logs_follow_and_attach(node: NodeUnderTest, runtime: str, client: str) -> None:
    """`attach -i` reaches the process, whose answer comes back; `logs -f` shows every line once and ends with it."""
    name = f"listener-{runtime}-{client.count('1.20')}"
    pod = pod_object(
        name,
        *("sh", "-c", "read word; echo heard $word; for i in $(seq 1 20); do echo $i; sleep 0.05; done"),
        restartPolicy="Never",
        runtimeClassName=runtime,
    )
    pod["spec"]["containers"][0] |= {"stdin": True, "stdinOnce": True}
    node.apply(pod)
    node.running(name)
    assert b"heard hello\n" in run(node, client, "attach", "-i", name, stdin=b"hello\n").stdout
    lines = run(node, client, "logs", "-f", name).stdout.split(b"\n")
    assert lines == [b"heard hello", *(str(number).encode() for number in range(1, 21)), b""]
    node.kubectl("delete", "pod", name, "--wait=false")


def test_what_changes_in_volumes_is_seen(node: NodeUnderTest) -> None:
    """A ConfigMap's new content, and the new size of a volume in memory, in running pods of every runtime."""
    node.kubectl("create", "configmap", "settings", "--from-literal=k=old")
    memory = {"medium": "Memory", "sizeLimit": "1Mi"}
    volumes = [{"name": "c", "configMap": {"name": "settings"}}, {"name": "m", "emptyDir": memory}]
    mounts = [{"name": "c", "mountPath": "/c"}, {"name": "m", "mountPath": "/m"}]
    script = "while :; do echo $(cat /c/k) $(df -k /m | tail -1); sleep 0.2; done"
    limits = {"limits": {"cpu": "200m", "memory": "64Mi"}}
    spec = {"volumes": volumes, "volumeMounts": mounts, "resources": limits, "terminationGracePeriodSeconds": 1}
    names = {runtime: f"sees-{runtime}" for runtime in RUNTIMES}
    node.apply(*(pod_object(name, "sh", "-c", script, runtimeClassName=on, **spec) for on, name in names.items()))

    def seen(content: str, kibibytes: int) -> None:
        for name in names.values():
            node.running(name)
            wanted = [content, str(kibibytes)]
            node.pod_when(name, lambda _, name=name, wanted=wanted: _last(node, name)[:3:2] == wanted)

    seen("old", 1024)
    node.kubectl("patch", "configmap", "settings", "--patch", json.dumps({"data": {"k": "new"}}))
    patch = json.dumps({"spec": {"volumes": [{"name": "m", "emptyDir": {"sizeLimit": "8Mi"}}]}})
    for name in names.values():
        node.kubectl("patch", "pod", name, "--subresource", "resize", "--patch", patch)
    seen("new", 8192)
    node.kubectl("delete", "pod", *names.values(), "--wait=false")


def _last(node: NodeUnderTest, name: str) -> list[str]:
    """The words of the last line that the pod has written."""
    return (node.container_log(name, "c").splitlines() or [""])[-1].split()
