"""A whole node for a test: the agent as a process of its own, standalone, beside whatever else runs on this machine.

Every node has its own folders, ports, cgroup root, bridge and subnet; when the test ends, its pods are deleted, the agent is
stopped, and a leak of any kind fails the test.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from api_reader import APIReader
from forked_agents import ForkedAgent, ForkedAgents
from live_trees import cgroups_below, remove_cgroups

from cni.errors import CNIError
from cni.native.packet_filter import choose_rules
from nodeagent.api.events import HOLD_SECONDS
from runtimes.testing.networks import claim_subnet

REPO = Path(__file__).resolve().parents[2]
DEMO_IMAGE = "localhost/demo:1"
HURRIED = str(REPO / "tests" / "support" / "hurried.py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(check: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true answer of `check`; the machine may be slow, so the bound is generous and never asserted on."""
    deadline = time.monotonic() + seconds
    last: Any = None
    while (began := time.monotonic()) < deadline:
        last = check()
        if last:
            return last
        time.sleep(max(0.1, time.monotonic() - began))  # one that starts programs leaves half of the time to others
    raise AssertionError(f"{what}: not within {seconds:g}s; last seen: {last!r}")


@functools.cache
def forked_agents() -> ForkedAgents:
    """One for all tests of this process."""
    return ForkedAgents()


@dataclass
class NodeUnderTest:
    """One agent and the ways to look at it."""

    directory: Path
    name: str
    subnet: str
    bridge: str
    cgroup: str
    port: int
    config: dict[str, Any] = field(default_factory=dict)
    agent: "subprocess.Popen[bytes] | ForkedAgent | None" = None
    _reader: APIReader | None = None
    inside: tuple[str, ...] = ()  # a command that runs the agent's: in namespaces of its own, for example
    program: Path = REPO  # the tree whose agent is started
    hurry: tuple[str, ...] = ()  # times of the agent that are shorter than in real life, for `hurried.py`
    relative: bool = False  # paths are given relative: to the working directory, and to the configuration's folder

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "state" / "admin.kubeconfig"

    @property
    def service_range(self) -> str:
        """Of Services, as much its own as the subnet is: a hundred below it in the second byte."""
        _, second, third, _ = self.subnet.split(".")
        return f"10.{int(second) - 100}.{third}.0/24"

    @property
    def node_ports(self) -> str:
        """Twenty, which another node of this machine hardly has."""
        first = 30000 + int(self.name[-6:], 16) % 2700
        return f"{first}-{first + 19}"

    @property
    def root_dir(self) -> Path:
        return self.directory / "root"

    # -- the agent ---------------------------------------------------------------------------------------------------

    def start(self, log_level: str = "debug") -> None:
        """Standalone, until the node is Ready."""
        self.start_with("--standalone", log_level=log_level)
        eventually(self._ready, "node ready")

    def start_with(self, *options: str, log_level: str = "debug") -> None:
        """With an API of the test's choice, or none; returns at once."""
        self.directory.mkdir(exist_ok=True)
        (self.directory / "config.yaml").write_text(yaml.safe_dump_all(self._documents()))
        arguments = [
            *("run", *options, f"--config={self._path('config.yaml')}"),
            *(f"--{name}={self._path(folder)}" for name, folder in self._folders().items()),
            *(f"--node-name={self.name}", f"--log-level={log_level}"),
        ]
        with open(self.directory / "agent.log", "ab") as log:
            # what a fork cannot have: something around it, folders or a program that are others', packages beside its own
            if self.inside or self.relative or self.program != REPO or "PYTHONPATH" in os.environ:
                self.agent = subprocess.Popen(
                    [*self.inside, sys.executable, *self._hurried(), "-m", "nodeagent", *arguments],
                    cwd=self.directory if self.relative else self.program,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )
            else:
                self.agent = forked_agents().start(arguments, log.fileno(), self.hurry)

    def stop(self) -> None:
        if self.agent is not None:
            self.agent.send_signal(signal.SIGTERM)
            self.agent.wait(30)
            self.agent = None

    def kill(self) -> None:
        """kill -9, and wait until the embedded API and the storage driver have followed."""
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait(30)
        self.agent = None
        parts = ("nodeagent.apiserver", "csi.driver")
        eventually(lambda: not any(map(self._processes, parts)), "embedded API and driver end with their parent")

    def _ready(self) -> bool:
        assert self.agent is not None
        if self.agent.poll() is not None:
            raise AssertionError(f"the agent ended with {self.agent.returncode}:\n{self.log()[-3000:]}")
        if not self.kubeconfig.exists():
            return False
        try:
            node = self.api.get(f"api/v1/nodes/{self.name}")
        except AssertionError:
            return False  # not yet
        return node is not None and is_ready(node)

    def log(self) -> str:
        return (self.directory / "agent.log").read_text(errors="replace")

    def _path(self, name: str) -> str:
        return name if self.relative else str(self.directory / name)

    def _hurried(self) -> list[str]:
        return [HURRIED, *self.hurry] if self.hurry else []

    def _folders(self) -> dict[str, str]:
        return {
            "root-dir": "root",
            "state-dir": "state",
            "run-dir": "run",
            "container-logs-dir": "containers",
        }

    def _documents(self) -> list[dict[str, Any]]:
        kubelet = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "port": self.port,
            "healthzPort": 0,
            "cgroupRoot": self.cgroup,
            "podLogsDir": self._path("logs"),
            "volumePluginDir": self._path("flexvolume"),
        }
        agent: dict[str, Any] = {
            "apiVersion": "nodeagent.dev/v1alpha1",
            "kind": "NodeAgentConfiguration",
            "apiServer": {"port": 0},
            "cni": {
                "confDir": self._path("cni"),
                "cacheDir": self._path("cni-cache"),
                "ipamDir": self._path("ipam"),
                "networkName": self.bridge,
                "bridge": self.bridge,
                "subnet": self.subnet,
            },
        }
        agent["cni"] |= self.config.get("cni", {})
        agent["services"] = {"clusterIPRanges": [self.service_range], "nodePortRange": self.node_ports}
        agent["services"] |= self.config.get("services", {})
        agent |= {key: value for key, value in self.config.items() if key not in ("cni", "kubelet", "services")}
        return [kubelet | self.config.get("kubelet", {}), agent]

    # -- looking at it -----------------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True, timeout: float = 60) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory)}
        done = subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",  # what a container has written is any bytes
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout if done.returncode == 0 else done.stderr

    @property
    def api(self) -> APIReader:
        """The node's API for what is not about kubectl."""
        if self._reader is None:
            self._reader = APIReader(self.kubeconfig)
        return self._reader

    def apply(self, *objects: dict[str, Any]) -> None:
        """As `kubectl apply`, which does itself what is more than to create objects, and says what is wrong with them."""
        for number, wanted in enumerate(objects):
            if not self.api.create(wanted):
                self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects[number:]))
                return

    def delete_pods(self, *names: str) -> None:
        """As `kubectl delete pod --grace-period=1 --wait=false`."""
        for name in names:
            assert self._delete_pod("default", name), f"pod {name} is not there"

    def _delete_pod(self, namespace: str, name: str) -> bool:
        """Whether it was there."""
        path = f"api/v1/namespaces/{namespace}/pods/{name}"
        status, answer = self.api.request("DELETE", path, {"gracePeriodSeconds": 1})
        assert status in (200, 202, 404), answer
        return status != 404

    def find_pod(self, name: str) -> dict[str, Any] | None:
        return self.api.get(f"api/v1/namespaces/default/pods/{name}")

    def pod(self, name: str) -> dict[str, Any]:
        found = self.find_pod(name)
        assert found is not None, f'pods "{name}" not found'
        return found

    def events_of(self, **fields: str) -> list[dict[str, Any]]:
        """The events of the namespace whose fields have these values, dots in their names written as underscores.

        With those of what has been seen to happen: the agent sends events a moment after statuses.
        """
        time.sleep(2 * HOLD_SECONDS)
        selector = ",".join(f"{name.replace('_', '.')}={value}" for name, value in fields.items())
        found = self.api.get("api/v1/namespaces/default/events", fieldSelector=selector)
        assert found is not None
        items: list[dict[str, Any]] = found["items"]
        return items

    def pod_when(self, name: str, check: Callable[[dict[str, Any]], Any], what: str = "") -> dict[str, Any]:
        """The pod as soon as it is there and `check` holds of it."""

        def look() -> dict[str, Any] | None:
            found = self.find_pod(name)
            return found if found is not None and check(found) else None

        try:
            result: dict[str, Any] = eventually(look, what or f"pod {name}")
        except AssertionError as error:
            events = self.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}")
            raise AssertionError(f"{error}\n{self.find_pod(name)}\n{events}\n{self.log()[-3000:]}") from None
        return result

    def running(self, name: str) -> dict[str, Any]:
        return self.pod_when(name, is_ready, f"pod {name} Ready")

    def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of a pod's events."""
        return [(item["reason"], item["message"]) for item in self.events_of(involvedObject_name=name)]

    def event_when(self, name: str, reason: str) -> str:
        """The message of the first event with that reason."""
        found: str = eventually(
            lambda: next((message for known, message in self.events(name) if known == reason), ""),
            f"event {reason} of {name}",
        )
        return found

    def container_log(self, pod: str, container: str, number: int = 0) -> str:
        """What a container wrote, from its file on the node, without the prefixes."""
        folder = next((self.directory / "logs").glob(f"default_{pod}_*"))
        lines = (folder / container / f"{number}.log").read_text().splitlines()
        pieces = [line.split(" ", 3) for line in lines]
        return "".join(piece[3] + ("" if piece[2] == "P" else "\n") for piece in pieces).rstrip("\n")

    # -- leaks -------------------------------------------------------------------------------------------------------

    def _processes(self, word: str) -> list[str]:
        every = [line for process in Path("/proc").glob("[0-9]*/cmdline") for line in self._lines(process)]
        return [line for line in every if word in line]

    def _lines(self, process: Path) -> list[str]:
        """The command line of a process, if it is of this node."""
        with contextlib.suppress(OSError):
            line = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(self.directory) in line:
                return [line]
        return []

    def process_ids(self, word: str) -> list[int]:
        """Of the node's processes whose command line has the word."""
        return [
            int(process.parent.name)
            for process in Path("/proc").glob("[0-9]*/cmdline")
            if any(word in line for line in self._lines(process))
        ]

    def _mounts(self) -> list[str]:
        """Where something is mounted below its folder, or of what is there, in the order in which that was done."""
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
        return [line.split()[4] for line in lines if f" {self.directory}/" in line]

    def leaks(self) -> list[str]:
        """Everything of this node's pods that is still on the machine."""
        found = [f"process {line}" for line in self._processes("")]
        found += [f"mount {path}" for path in self._mounts()]  # pinned namespaces are among them
        found += [f"cgroup {path}" for path in cgroups_below(f"{self.cgroup}/kubepods") if path.name.startswith("pod")]
        links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
        found += [f"link {link['ifname']}" for link in links if link.get("master") == self.bridge]
        reserved = self.directory / "ipam" / self.bridge
        if reserved.is_dir():
            found += [f"address {path.name}" for path in reserved.iterdir() if path.name[0].isdigit()]
        rules = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=False).stdout
        found += [f"rule {rule}" for rule in rules.splitlines() if f'name: \\"{self.bridge}\\"' in rule]
        with contextlib.suppress(CNIError):
            found += [f"rules of {owner}" for owner in choose_rules().owned() if owner.network == self.bridge]
        found += [f"pod folder {path}" for path in (self.root_dir / "pods").glob("*")]
        return found

    def clean(self) -> None:
        """Delete the pods, see that nothing is left of them, take the node down and remove what is the node's own."""
        try:
            if self.agent is None:
                self.start()
            self._delete_pods()
            eventually(self._no_pods, "pods deleted")
            eventually(lambda: len(self._pod_leaks()) == 0, f"nothing left: {self._pod_leaks()}", 30)
        except BaseException:  # one failure is enough: what follows finds the machine as it was
            self._take_away()
            raise
        finally:
            if self._reader is not None:
                self._reader.close()
            self.stop()
            subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
            with contextlib.suppress(CNIError):  # the table is for all nodes of the machine
                choose_rules().withdraw()
            table = ["nft", "delete", "table", "inet", f"{self.bridge}-services"]
            subprocess.run(table, capture_output=True, check=False)
            remove_cgroups(self.cgroup)
        left = self.leaks()
        assert left == [], left
        shutil.rmtree(self.directory)

    def _take_away(self) -> None:
        """The agent and what is left of its pods, by force."""
        for pid in self.process_ids(""):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in reversed(self._mounts()):
            subprocess.run(["umount", "--lazy", path], capture_output=True, check=False)

    def pods(self) -> list[dict[str, Any]]:
        found = self.api.get("api/v1/pods")
        assert found is not None
        items: list[dict[str, Any]] = found["items"]
        return items

    def _no_pods(self) -> str:
        return "" if self.pods() else "No resources"

    def _delete_pods(self) -> None:
        for pod in self.pods():
            self._delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _pod_leaks(self) -> list[str]:
        own = ("nodeagent run", "nodeagent.apiserver", "csi.driver")
        found = [leak for leak in self.leaks() if not any(word in leak for word in own)]
        return [leak for leak in found if leak != f"mount {self.root_dir}"]  # shared while the agent runs


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def restart_count(pod: dict[str, Any]) -> int:
    """Of the pod's first container; 0 while it has no status."""
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", [])[:1])


def make_node(directory: Path, **config: Any) -> NodeUnderTest:
    """A node that is not started yet. `config`: fields of NodeAgentConfiguration, and `kubelet` with the other document's."""
    token = uuid.uuid4().hex[:6]
    return NodeUnderTest(
        directory=directory / f"node-{token}",
        name=f"node-{token}",
        subnet=claim_subnet(),
        bridge=f"nat{token}",
        cgroup=f"/natest-{token}",
        port=free_port(),
        config=config,
    )


def import_image(node: NodeUnderTest, archive: Path) -> None:
    """Put an archive's image into the node's store; a store that holds nothing else is a copy of the first one made so."""
    store = node.directory / "state" / "images"
    made = archive.with_suffix(f".{archive.stat().st_mtime_ns}.store")
    if made.is_dir() and not store.exists():
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(made), str(store)], check=True, timeout=120)
        return
    alone = not store.exists()
    subprocess.run(
        [sys.executable, "-m", "nodeagent", "image", "import", str(archive), f"--state-dir={node.directory / 'state'}"],
        cwd=REPO,
        check=True,
        capture_output=True,
        timeout=120,
    )
    if alone and not made.exists():
        subprocess.run(["cp", "-a", str(store), str(made)], check=True, timeout=120)


def pod_object(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    """A pod with one container `c` of the demo image. Keys that a container has go to the container."""
    container: dict[str, Any] = {"name": "c", "image": DEMO_IMAGE}
    if command:
        container["command"] = list(command)
    for key in ("env", "envFrom", "volumeMounts", "resources", "ports", "imagePullPolicy", "lifecycle", "image"):
        if key in spec:
            container[key] = spec.pop(key)
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}}
