"""A private node for one runtime: an agent with its own folders, API, bridge, subnet and cgroup, and its end without a trace."""

import asyncio
import contextlib
import ipaddress
import os
import random
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import msgspec
import yaml
from lightkube.models.core_v1 import Node, Pod
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from cni.errors import CNIError
from cni.native.packet_filter import choose_rules
from nodeagent.api import kubeconfig
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.config import RuntimeSettings
from nodeagent.isolation.bounds import Bounds
from nodeagent.isolation.contract import StageError
from proto import cri_pb2 as cri
from runtimes.cri.endpoint import Endpoint
from runtimes.cri.service import CRIImages, CRIRuntime
from runtimes.errors import RuntimeFault
from runtimes.linux.mounts import mounts_below, unmount_all
from runtimes.linux.removal import remove_tree

PARENT = Path("/var/tmp")  # on a disk, where overlays work, and for paths of sockets short enough
SETTINGS = "settings.json"
_READY_SECONDS = 60.0
POD_PIDS = 512  # nothing multiplies here without a limit
_STOP_SECONDS = 30.0
_PODS_GONE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """`registry`: host and port that the probe's image comes from; `image`: its reference."""

    handler: str
    runtime: RuntimeSettings
    registry: str
    image: str
    conmon: str = ""


class Agent(Protocol):
    """An agent's process: a child, or one whose parent was killed."""

    @property
    def returncode(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    async def wait(self) -> int: ...


class PrivateNode:
    """Started by `start`, or taken over by `take_over`; ended by `end`, which is safe after half a start, and twice."""

    def __init__(self, settings: NodeSettings, bounds: Bounds) -> None:
        self._settings = settings
        self._bounds = bounds
        self._agent: Agent | None = None
        self.directory = Path()
        self.client: ApiClient | None = None

    @property
    def pod_logs(self) -> Path:
        return self.directory / "logs"

    @property
    def cgroup(self) -> str:
        return self._bounds.path

    @property
    def name(self) -> str:
        return f"isolation-{self._bounds.token}"

    @property
    def bridge(self) -> str:
        return f"niso{self._bounds.token}"

    async def start(self) -> ApiClient:
        """Return when the node is Ready. Raises StageError."""
        if self._settings.runtime.type == "cri":
            await _answers(self._settings.runtime.endpoint)
        self.directory = Path(tempfile.mkdtemp(prefix=f"niso-{self._bounds.token}-", dir=PARENT))
        self.directory.chmod(0o711)  # pods with users of their own pass it
        (self.directory / SETTINGS).write_bytes(msgspec.json.encode(self._settings))
        documents = configuration(self._settings, self, free_subnet(await asyncio.to_thread(_routed)))
        (self.directory / "config.yaml").write_text(yaml.safe_dump_all(documents))
        folders = {"root-dir": "root", "state-dir": "state", "run-dir": "run", "container-logs-dir": "containers"}
        with (self.directory / "agent.log").open("wb") as log:
            self._agent = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "nodeagent",
                    "run",
                    "--standalone",
                    f"--config={self.directory / 'config.yaml'}",
                ),
                *(f"--{option}={self.directory / folder}" for option, folder in folders.items()),
                *(f"--node-name={self.name}", "--log-level=warning"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is ours: we end the node
                env={name: value for name, value in os.environ.items() if not name.startswith("NODEAGENT_")},
            )
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await self._ready()
        except TimeoutError:
            raise StageError(f"its node is not ready in {_READY_SECONDS:g} s: {self._last_words()}") from None

    def take_over(self, directory: Path, agent: Agent | None) -> None:
        """That of an evaluation that was killed, in its directory; `agent`: None if that was killed too."""
        self.directory, self._agent = directory, agent
        self._connect()

    def _connect(self) -> None:
        """As soon as there is a kubeconfig."""
        path = self.directory / "state" / "admin.kubeconfig"
        if self.client is None and path.exists():
            with contextlib.suppress(kubeconfig.KubeconfigError):
                self.client = ApiClient(kubeconfig.load(path), qps=-1)

    async def _ready(self) -> ApiClient:
        assert self._agent is not None
        while True:
            if self._agent.returncode is not None:
                raise StageError(f"its node does not start: {self._last_words()}")
            self._connect()
            if self.client is not None:
                with contextlib.suppress(ApiError):
                    node = await self.client.get(Node, self.name)
                    conditions = node.status.conditions if node.status is not None else None
                    if any(each.type == "Ready" and each.status == "True" for each in conditions or ()):
                        return self.client
            await asyncio.sleep(0.05)

    def _last_words(self) -> str:
        """The agent's last line; it logs warnings and errors alone."""
        with contextlib.suppress(OSError):
            lines = (self.directory / "agent.log").read_text(errors="replace").strip().splitlines()
            return lines[-1][:500] if lines else "it said nothing"
        return "it said nothing"

    # -- its end ----------------------------------------------------------------------------------------------------

    async def end(self) -> list[str]:
        """Take away pods, agent and all that is the node's own; what is left all the same, a line each."""
        steps: Sequence[Callable[[], Awaitable[list[str] | None]]] = (
            self._end_pods,
            self._close_client,
            self._end_agent,
            self._remove_image,
            partial(asyncio.to_thread, self._remove_network),
            partial(asyncio.to_thread, self._bounds.kill),
            partial(asyncio.to_thread, remove_folder, self.directory),
        )
        left: list[str] = []
        for step in steps:  # each, whatever has become of those before
            try:
                left += await step() or ()
            except Exception as error:
                left.append(f"something of node {self.name}: {type(error).__name__}: {error}")
        return left

    async def _close_client(self) -> None:
        if self.client is not None:
            await self.client.close()
            self.client = None

    async def _end_pods(self) -> None:
        if self.client is None or self._agent is None or self._agent.returncode is not None:
            return
        body = msgspec.json.encode({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 1})
        for patience in (_PODS_GONE_SECONDS, _PODS_GONE_SECONDS):
            try:
                await self.client.request("DELETE", "/api/v1/namespaces/default/pods", body)
                async with asyncio.timeout(patience):
                    await self._no_pods(self.client)
                return
            except (ApiError, TimeoutError):
                await asyncio.to_thread(self._bounds.kill)  # a runtime that hangs: the agent clears away what has died

    async def _no_pods(self, client: ApiClient) -> None:
        while True:
            if not (await client.list(Pod)).items:
                return
            await asyncio.sleep(0.05)

    async def _end_agent(self) -> None:
        if self._agent is None or self._agent.returncode is not None:
            return
        self._agent.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._agent.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._agent.kill()
            await self._agent.wait()

    async def _remove_image(self) -> list[str]:
        """From a store that is not the node's own."""
        runtime = self._settings.runtime
        if runtime.type != "cri" or self.directory == Path():
            return []
        endpoint = Endpoint(runtime.imageEndpoint or runtime.endpoint)
        try:
            await CRIImages(endpoint).remove_image(
                cri.RemoveImageRequest(image=cri.ImageSpec(image=self._settings.image))
            )
        except RuntimeFault as error:
            return [f"image {self._settings.image} in {endpoint.address}: {error}"]
        finally:
            await endpoint.close()
        return []

    def _remove_network(self) -> list[str]:
        with contextlib.suppress(CNIError, OSError):
            choose_rules().withdraw()  # if no pod of any node is left
        try:
            with IPRoute() as route:
                for index in route.link_lookup(ifname=self.bridge):
                    route.link("del", index=index)
        except NetlinkError as error:
            return [f"bridge {self.bridge}: {error}"]
        return []


def remove_folder(directory: Path) -> list[str]:
    """With what a runtime that does not even delete has left mounted in it. `Path()`: none was made."""
    if directory == Path():
        return []
    try:
        for point in sorted(mounts_below(directory), reverse=True):
            unmount_all(point)
        remove_tree(directory)
    except OSError as error:
        return [f"{directory}: {error}"]
    return []


async def _answers(address: str) -> None:
    """Raises StageError: a node would wait for its peer, and for longer than somebody who looks at a table."""
    endpoint = Endpoint(address)
    try:
        await CRIRuntime(endpoint, "").version(cri.VersionRequest(version="v1"))
    except RuntimeFault as error:
        raise StageError(f"{address} does not answer: {error}") from error
    finally:
        await endpoint.close()


def configuration(settings: NodeSettings, node: PrivateNode, subnet: str) -> list[dict[str, Any]]:
    """The documents of the agent's configuration."""
    folder = node.directory
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": free_port(),
        "healthzPort": 0,
        "cgroupRoot": node.cgroup,
        "podLogsDir": str(folder / "logs"),
        "volumePluginDir": str(folder / "flexvolume"),
        "evictionHard": {"memory.available": "50Mi"},  # a disk that is nearly full keeps nobody from looking
        "podPidsLimit": POD_PIDS,
    }
    agent: dict[str, Any] = {
        "apiVersion": "nodeagent.dev/v1alpha1",
        "kind": "NodeAgentConfiguration",
        "runtimes": {settings.handler: _plain(settings.runtime)},
        "defaultRuntime": settings.handler,
        "conmon": settings.conmon,
        "registries": {settings.registry: {"insecure": True}},
        "apiServer": {"port": 0},
        "services": {"enabled": False},
        "storage": {"enabled": False},
        "cni": {
            "confDir": str(folder / "cni"),
            "cacheDir": str(folder / "cni-cache"),
            "ipamDir": str(folder / "ipam"),
            "networkName": node.bridge,
            "bridge": node.bridge,
            "subnet": subnet,
        },
    }
    return [kubelet, agent]


def _plain(runtime: RuntimeSettings) -> Mapping[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(runtime)
    return {key: value for key, value in found.items() if value not in ("", [], {})}


def free_port() -> int:
    """A TCP port of the loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_subnet(taken: Sequence[ipaddress.IPv4Network], chance: random.Random | None = None) -> str:
    """A /24 below 10.0.0.0/8 that touches none of these. Raises StageError."""
    choose = chance or random.SystemRandom()
    for _ in range(1000):
        found = ipaddress.ip_network(f"10.{choose.randrange(1, 255)}.{choose.randrange(256)}.0/24")
        if not any(found.overlaps(other) for other in taken):
            return str(found)
    raise StageError("every subnet below 10.0.0.0/8 has a route: there is none for the pods of the evaluation")


def _routed() -> list[ipaddress.IPv4Network]:
    """Where this machine has routes to, but for the default one, which leads everywhere."""
    with IPRoute() as route:
        found = [(item.get_attr("RTA_DST"), item["dst_len"]) for item in route.get_routes(family=socket.AF_INET)]
    return [ipaddress.IPv4Network(f"{address}/{length}") for address, length in found if address and length]
