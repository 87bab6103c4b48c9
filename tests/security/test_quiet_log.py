"""Errors of strangers cost no log; what variables are put into lies on no disk. A real agent and its embedded API."""

import contextlib
import json
import socket
import ssl
from pathlib import Path

import pytest
from node_under_test import NodeUnderTest, eventually
from pods_under_test import finished, make_pod, shell

from nodeagent.volumes.types.empty_dir import supports_noswap

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("security-quiet")]

NONSENSE = (
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n",
    b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 2_000_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
)


def say(address: str, port: int, data: bytes, *, tls: bool) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, port), timeout=10) as plain,
        context.wrap_socket(plain) if tls else contextlib.nullcontext(plain) as connection,
    ):
        connection.sendall(data)
        while connection.recv(65536):
            pass


def test_strangers_errors_are_not_logged(node: NodeUnderTest) -> None:
    """Malformed requests, with TLS and without, to the node and to the API: answered or ended, and not a line in the log."""
    address = json.loads(node.kubectl("get", "node", node.name, "-o", "json"))["status"]["addresses"][0]["address"]
    api = int(node.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").rpartition(":")[2])
    before = len(node.log())
    for host, port in ((address, node.port), ("127.0.0.1", api)):
        for data in NONSENSE:
            for tls in (True, False):
                say(host, port, data, tls=tls)
    node.kubectl("get", "nodes")
    said = [line for line in node.log()[before:].splitlines() if " DEBUG " not in line]
    assert not [line for line in said if "Error handling request" in line or "Traceback" in line], said


def test_secrets_in_a_command_line_are_not_on_the_disk(node: NodeUnderTest) -> None:
    """A secret that is put into args is seen by the container and lies in no record of the runtime's that outlives a reboot."""
    secret = "TOPSECRETVALUE"
    node.kubectl("create", "secret", "generic", "s", f"--from-literal=k={secret}")
    variable = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    node.apply(make_pod("told", shell("c", "test $(S) = $S; echo $?; sleep 100000", env=[variable])))
    node.apply(make_pod("ends", shell("c", "test $(S) = $S", env=[variable]), restartPolicy="Never"))
    node.running("told")
    assert node.pod_when("ends", finished)["status"]["phase"] == "Succeeded"
    state = node.directory / "state" / "runtimes"
    found = [path for path in state.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert found == []
    assert node.kubectl("logs", "told") == "0\n"


def test_what_a_pod_cannot_have_is_no_mistake_of_ours(node: NodeUnderTest) -> None:
    """Names and paths with a NUL, in pods that an API lets through: a warning each, no traceback, and the agent goes on."""
    before = len(node.log())
    mount, odd = {"name": "v", "mountPath": "/v"}, "a\0b"
    field = {"path": odd, "fieldRef": {"fieldPath": "metadata.name"}}
    seccomp = {"seccompProfile": {"type": "Localhost", "localhostProfile": odd}}
    pods = {
        "subpath": ({"volumeMounts": [{**mount, "subPath": odd}]}, {"emptyDir": {}}),
        "mount": ({"volumeMounts": [{**mount, "mountPath": f"/{odd}"}]}, {"emptyDir": {}}),
        "host": ({"volumeMounts": [mount]}, {"hostPath": {"path": f"/tmp/{odd}", "type": "DirectoryOrCreate"}}),
        "untyped": ({"volumeMounts": [mount]}, {"hostPath": {"path": f"/tmp/{odd}"}}),
        "item": ({"volumeMounts": [mount]}, {"downwardAPI": {"items": [field]}}),
        "seccomp": ({"securityContext": seccomp}, {"emptyDir": {}}),
        "directory": ({"workingDir": f"/{odd}"}, {"emptyDir": {}}),
        "message": ({"terminationMessagePath": f"/{odd}"}, {"emptyDir": {}}),
    }
    for name, (container, volume) in pods.items():
        made = make_pod(f"nul-{name}", shell("c", "true", **container), volumes=[{"name": "v", **volume}])
        node.kubectl("create", "-f", "-", stdin=json.dumps(made))
    for name in pods:
        eventually(
            lambda name=name: (
                set(dict(node.events(f"nul-{name}"))) & {"Failed", "FailedMount", "FailedCreatePodSandBox"}
            ),
            f"a warning about nul-{name}",
        )
    assert "Traceback" not in node.log()[before:]


def test_secrets_are_where_they_belong(node: NodeUnderTest) -> None:
    """As files of secret, downwardAPI and projected volumes in memory, never swapped, and gone with the pod; what the agent keeps
    on the disk is root's alone; in no command line, log, event, checkpoint or record."""
    secret = "TOPSECRETCONTENT"
    node.kubectl("create", "secret", "generic", "kept", f"--from-literal=k={secret}")
    volumes = {
        "plain": {"secret": {"secretName": "kept"}},
        "all": {"projected": {"sources": [{"secret": {"name": "kept"}}]}},
        "down": {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    }
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in volumes]
    variable = {"name": "S", "valueFrom": {"secretKeyRef": {"name": "kept", "key": "k"}}}
    made = make_pod("keeps", shell("c", "cat /plain/k; sleep 100000", volumeMounts=mounts, env=[variable]))
    made["spec"]["volumes"] = [{"name": name, **volume} for name, volume in volumes.items()]
    node.apply(made)
    uid = node.running("keeps")["metadata"]["uid"]
    assert node.kubectl("exec", "keeps", "--", "sh", "-c", "cat /plain/k /all/k") == secret * 2
    folder = node.root_dir / "pods" / uid / "volumes"
    mounted = {}
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        words = line.split()
        if words[4].startswith(f"{folder}/"):
            mounted[Path(words[4]).name] = (words[words.index("-") + 1], "noswap" in words[-1])
    assert {name: mounted[name] for name in volumes} == dict.fromkeys(volumes, ("tmpfs", supports_noswap()))

    kept = [path for path in node.directory.rglob("*") if _on_disk(path, folder)]
    open_to_others = [
        (path, oct(path.stat().st_mode))
        for path in kept
        if path.stat().st_mode & 0o077 and _reachable(path, node.directory)
    ]
    secrets_in = [path for path in kept if secret.encode() in path.read_bytes()]
    # the API's store has it, as etcd would; the container's own log has what the container writes
    assert {path.name for path in secrets_in} <= {"state.db", "state.db-wal", "config.json", "0.log"}, secrets_in
    assert not [path for path, _ in open_to_others if path in secrets_in], open_to_others
    private = [
        path for path in kept if path.suffix in (".key", ".kubeconfig", ".db", ".db-wal") or path.name == "config.json"
    ]
    assert private
    assert [(path, oct(path.stat().st_mode)) for path in private if path.stat().st_mode & 0o077] == []

    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(process.read_bytes())
    assert not [line for line in lines if secret.encode() in line]
    assert secret not in node.log()
    assert secret not in node.kubectl("get", "events", "-A", "-o", "json")
    node.kubectl("delete", "pod", "keeps", "--grace-period=1")
    eventually(
        lambda: str(folder) not in Path("/proc/self/mountinfo").read_text(errors="replace"), "the volumes are gone"
    )
    eventually(lambda: not folder.parent.exists(), "the pod's folder is gone")


NAMESPACES = {"net", "ipc", "uts", "cgroup", "user"}  # pinned


def _on_disk(path: Path, volumes: Path) -> bool:
    """A file of the agent's, not of a container's root or of a volume."""
    inside = {"rootfs", "merged", "trees", "blobs", "images"}
    return (
        path.is_file()
        and not path.is_symlink()
        and path.name not in NAMESPACES
        and not path.is_relative_to(volumes)
        and not inside & set(path.parts)
    )


def _reachable(path: Path, top: Path) -> bool:
    """Whether users other than root can get to it from the node's folder."""
    return all(folder.stat().st_mode & 0o001 for folder in path.parents if folder.is_relative_to(top))
