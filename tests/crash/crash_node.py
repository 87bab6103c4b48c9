"""A node whose agent dies again and again: the API lives on in a process of its own, the agent runs with faults against it.

The API is asked over one HTTPS connection, not with kubectl: a case takes seconds, and a process a question would be most
of them.
"""

import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml
from leftovers import take_rules
from live_trees import remove_cgroups
from node_under_test import REPO, NodeUnderTest, eventually, import_image, make_node
from typing_extensions import override
from volume_objects import DISK_BYTES, claim_object, volume_object
from volume_subjects import disk

from cni.default import DefaultNetwork, write_default
from tests.crash.faults import Fault
from tests.crash.registry import Registry

# Pauses of the agent that a test need not sit through; what they are is unit-tested.
SHORT_PAUSES = {
    "nodeagent.pods.sync_backoff:RETRY_SECONDS": 0.3,
    "nodeagent.pods.resize.feature:RETRY_SECONDS": 0.3,
    "nodeagent.pods.status.writer:RETRY_SECONDS": 0.2,
    "nodeagent.pods.status.writer:RETRY_CAP_SECONDS": 0.5,
    "nodeagent.pods.orphans:PERIOD_SECONDS": 1.0,
    "nodeagent.pods.probing:ADOPTED_SECONDS": 0.0,
}
RUNTIMES = {
    "crun": {"type": "oci", "path": "/usr/bin/crun"},
    "gvisor": {
        "type": "oci",
        "path": "/usr/bin/runsc",
        "args": ["--platform=ptrace", "--network=host"],
        "infraContainer": "always",
    },
}


class Gone(Exception):
    """The API has no such object."""


class Refused(Exception):
    """The API said no."""


@dataclass
class CrashNode(NodeUnderTest):
    """One node of a lane of cases."""

    api_process: "subprocess.Popen[bytes] | None" = None
    token: str = ""
    _connection: http.client.HTTPSConnection | None = None
    _server: tuple[str, int, ssl.SSLContext] | None = None
    _api_port: int = 0
    _registry: Registry | None = None
    _disks: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def api_dir(self) -> Path:
        return self.directory / "api"

    @property
    @override
    def kubeconfig(self) -> Path:
        return self.api_dir / "admin.kubeconfig"

    @property
    def faults_dir(self) -> Path:
        return self.directory / "faults"

    @property
    def ran_dir(self) -> Path:
        """Where containers of the scenarios leave a line each time they run."""
        return self.directory / "ran"

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            self._registry = Registry(self.directory.parent / f"registry-{self.token}")
        return self._registry

    # -- the API -----------------------------------------------------------------------------------------------------

    def start_api(self) -> None:
        self.api_dir.mkdir(exist_ok=True)
        log = open(self.directory / "api.log", "ab")  # noqa: SIM115  # the process keeps it
        self.api_process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nodeagent.apiserver", f"--state-dir={self.api_dir}"),
                *(f"--node-name={self.name}", f"--port={self._api_port}", "--log-level=WARNING"),
            ],
            cwd=REPO,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        log.close()
        (self.directory / "api.pid").write_text(str(self.api_process.pid))
        assert self.api_process.stdout is not None
        line = self.api_process.stdout.readline()
        assert line, (self.directory / "api.log").read_text()[-2000:]
        self._api_port = int(json.loads(line)["url"].rpartition(":")[2])
        self._connection = None
        self._server = None

    def stop_api(self, number: int = signal.SIGTERM) -> None:
        if self.api_process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.api_process.send_signal(signal.SIGCONT)
                self.api_process.send_signal(number)
            self.api_process.wait(30)
            assert self.api_process.stdout is not None
            self.api_process.stdout.close()
            self.api_process = None

    def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        """One request. Raises Gone, Refused, OSError."""
        data = json.dumps(body) if body is not None else None
        for attempt in (1, 2):
            if self._connection is None:
                host, port, context = self._address()
                self._connection = http.client.HTTPSConnection(host, port, context=context, timeout=20)
            try:
                self._connection.request(method, path, data, {"Content-Type": content, "Accept": "application/json"})
                answer = self._connection.getresponse()
                text = answer.read()
                break
            except (OSError, http.client.HTTPException):
                self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise
        if answer.status == 404:
            raise Gone(path)
        if answer.status >= 300:
            raise Refused(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text)

    def _address(self) -> tuple[str, int, ssl.SSLContext]:
        if self._server is None:
            config = yaml.safe_load(self.kubeconfig.read_text())
            cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
            pair = self.directory / "admin.pem"
            pair.write_bytes(
                base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
            )
            context = ssl.create_default_context(
                cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
            )
            context.load_cert_chain(pair)
            host, _, port = cluster["server"].removeprefix("https://").partition(":")
            self._server = (host, int(port), context)
        return self._server

    def create(self, pod: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self.ask("POST", "/api/v1/namespaces/default/pods", pod)
        return made

    def story(self, characters: int = 6000) -> str:
        """The end of the agent's log without what it looks at all the time."""
        looks = ("instrument: list_", "instrument: status :", "instrument: version :")
        lines = (line for line in self.log().splitlines() if not any(word in line for word in looks))
        return "\n".join(lines)[-characters:]

    def delete(self, name: str, grace_seconds: int | None = None) -> None:
        options = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        with contextlib.suppress(Gone):
            self.ask("DELETE", f"/api/v1/namespaces/default/pods/{name}", options)

    def find(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.ask("GET", f"/api/v1/namespaces/default/pods/{name}")
        except Gone:
            return None
        return found

    def pod_names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.ask("GET", "/api/v1/namespaces/default/pods")["items"]]

    def claim(self, name: str) -> None:
        """A claim of that name, for a disk of its own."""
        (self.directory / "disks" / name).mkdir(parents=True)
        path = self._disks.enter_context(disk(self.directory / "disks" / name, DISK_BYTES))
        for kind, made in (
            ("persistentvolumes", volume_object(name, {"kubernetes.io/os": "linux"}, local={"path": str(path)})),
            ("namespaces/default/persistentvolumeclaims", claim_object(name)),
        ):
            self.ask("POST", f"/api/v1/{kind}", made)

    # -- the agent ---------------------------------------------------------------------------------------------------

    @override
    def start(self, log_level: str = "debug", *, wait: bool = True) -> None:
        log = open(self.directory / "agent.log", "ab")  # noqa: SIM115  # the process keeps it
        pauses = [f"--set={target}={seconds}" for target, seconds in SHORT_PAUSES.items()]
        self.agent = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.agent_with_faults", f"--faults={self.faults_dir}"]
            + [f"--api-pid={self.directory / 'api.pid'}", *pauses, "--", "run"]
            + [f"--kubeconfig={self.api_dir / 'node.kubeconfig'}", f"--config={self.directory / 'config.yaml'}"]
            + [f"--{name}={self.directory / folder}" for name, folder in self._folders().items()]
            + [f"--node-name={self.name}", f"--log-level={log_level}"],
            cwd=REPO,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        log.close()
        if wait:
            eventually(self._ready, "node ready")

    @override
    def kill(self) -> None:
        """kill -9, unless it is dead already."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait(30)
            self.agent = None

    def revive(self) -> None:
        """Start the agent again where it has died."""
        if self.agent is not None and self.agent.poll() is not None:
            self.agent = None
        if self.agent is None:
            self.start(wait=False)

    def alive(self) -> bool:
        return self.agent is not None and self.agent.poll() is None

    @override
    def _ready(self) -> bool:
        assert self.agent is not None
        if self.agent.poll() is not None:
            raise AssertionError(f"the agent ended with {self.agent.returncode}:\n{self.log()[-3000:]}")
        try:
            node = self.ask("GET", f"/api/v1/nodes/{self.name}")
        except Gone:
            return False
        conditions = node["status"].get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def status(self) -> str:
        """How the agent ended, as far as it did."""
        return f"exit status {self.agent.poll()}" if self.agent is not None else "no agent"

    # -- faults ------------------------------------------------------------------------------------------------------

    def arm(self, fault: Fault) -> None:
        path = self.faults_dir / f"{fault.id}.{fault.point}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(fault))
        temporary.rename(path)

    def struck(self, fault: Fault) -> bool:
        return (self.faults_dir / f"{fault.id}.{fault.point}.hit").exists()

    def disarm(self) -> None:
        for path in self.faults_dir.iterdir():
            path.unlink(missing_ok=True)

    def times_ran(self, pod: str, container: str) -> int:
        """How often a container's process began."""
        try:
            return len((self.ran_dir / f"{pod}.{container}").read_text().splitlines())
        except FileNotFoundError:
            return 0

    # -- leaks -------------------------------------------------------------------------------------------------------

    def pod_leaks(self) -> list[str]:
        """What of any pod is left on this node. Nothing is, when no pod is."""
        try:
            return self._left()
        except FileNotFoundError as error:
            return [f"being removed: {error.filename}"]

    def _left(self) -> list[str]:
        own = ("agent_with_faults", "nodeagent.apiserver")
        found = [leak for leak in self.leaks() if not any(word in leak for word in own)]
        found = [leak for leak in found if leak != f"mount {self.root_dir}"]  # shared while an agent runs
        for below in (
            "runtimes/*/sandboxes/*",
            "runtimes/*/containers/*",
            "runtimes/*/exits/*",
            "images/holds/*",
            "images/tmp/*",
        ):
            found += [f"state {path}" for path in (self.directory / "state").glob(below)]
        for below in ("*/bundles/*", "*/pods/*", "*/runtime/*", "*/root/*"):
            found += [f"run {path}" for path in (self.directory / "run").glob(below)]
        for folder in ("logs", "containers", "cni-cache/results"):
            found += [f"{folder} {path}" for path in (self.directory / folder).glob("*") if path.name != "lock"]
        return found

    def wait_clean(self, seconds: float = 30.0) -> None:
        """No pod is left, neither in the API nor on the machine."""
        deadline = time.monotonic() + seconds
        left: list[str] = ["?"]
        while left and time.monotonic() < deadline:
            left = [f"pod {name}" for name in self.pod_names()] or self.pod_leaks()
            if left:
                time.sleep(0.1)
        assert not left, f"left over: {left}"

    def take_down(self) -> None:
        """End everything; what is left of a failed case goes, too."""
        try:
            if self.api_process is not None:
                self.api_process.send_signal(signal.SIGCONT)
            self.disarm()
            with contextlib.suppress(Exception):
                self.revive()
                for path in (self.directory / "manifests").iterdir():
                    path.unlink()
                for name in self.pod_names():
                    self.delete(name, 1)
                self.wait_clean(30)
        finally:
            self.kill()
            self.stop_api()
            if self._registry is not None:
                self._registry.stop()
            self._sweep()
            self._disks.close()

    def _sweep(self) -> None:
        """By force: this node's own processes, mounts, links and cgroups."""
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                if str(self.directory) in line and "conmon" in line.split("\0")[0]:
                    for child in (entry / "task" / entry.name / "children").read_text().split():
                        os.kill(int(child), signal.SIGKILL)
                    os.kill(int(entry.name), signal.SIGKILL)
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
        for point in reversed([line.split()[4] for line in lines if f" {self.directory}/" in line]):
            subprocess.run(["umount", "-l", point], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
        own = self.subnet.rpartition(".")[0] + "."
        take_rules(lambda address: address.startswith(own))
        remove_cgroups(self.cgroup)


def make_crash_node(directory: Path, image: Path, *, gvisor: bool = False) -> CrashNode:
    """A node with the image in its store, its API up and its agent not yet started."""
    base = make_node(directory)
    node = CrashNode(
        directory=base.directory,
        name=base.name,
        subnet=base.subnet,
        bridge=base.bridge,
        cgroup=base.cgroup,
        port=base.port,
        token=base.bridge[3:],
    )
    node.directory.mkdir(parents=True)
    for folder in ("faults", "ran", "manifests", "cni"):
        (node.directory / folder).mkdir()
    handlers = ("crun", "gvisor") if gvisor else ("crun",)
    node.config = {
        "runtimes": {handler: RUNTIMES[handler] for handler in handlers},
        "defaultRuntime": "crun",
        "kubelet": {"staticPodPath": str(node.directory / "manifests"), "enableServer": False},
    }
    (node.directory / "config.yaml").write_text(yaml.safe_dump_all(node._documents()))
    write_default(
        node.directory / "cni",
        DefaultNetwork(name=node.bridge, bridge=node.bridge, subnet=node.subnet, ipam_dir=node.directory / "ipam"),
    )
    import_image(node, image)
    node.start_api()
    if gvisor:
        body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "gvisor"}}
        with contextlib.suppress(Refused):
            node.ask("POST", "/apis/node.k8s.io/v1/runtimeclasses", {**body, "handler": "gvisor"})
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "value"}}
    node.ask("POST", "/api/v1/namespaces/default/configmaps", config_map)
    return node


def until(check: Callable[[], Any], what: str, seconds: float = 60.0, pause_seconds: float = 0.05) -> Any:
    """`eventually`, with a shorter look."""
    deadline = time.monotonic() + seconds
    last: Any = None
    while time.monotonic() < deadline:
        last = check()
        if last:
            return last
        time.sleep(pause_seconds)
    raise AssertionError(f"{what}: not within {seconds:g}s; last seen: {last!r}")
