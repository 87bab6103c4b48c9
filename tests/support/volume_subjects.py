"""What the conformance suite of volume types (tests/conformance/volumes) knows of a type, and the places it tries it in.

To run the suite on a type of your own: describe it by a `Subject` and add it to the list in its conftest.
"""

import base64
import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from agent_pods import agent_pod
from lightkube.models.core_v1 import ConfigMap, PersistentVolume, PersistentVolumeSpec, Secret, Volume
from lightkube.models.meta_v1 import ObjectMeta
from typing_extensions import override

from nodeagent.api.tokens import Token, TokenKey
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumePlugin, VolumeRequest, VolumeSource
from nodeagent.volumes.layout import Layout, make_directories
from nodeagent.volumes.pod_volumes import PodRequests
from nodeagent.volumes.publish_only import PublishOnly
from runtimes.linux import loop, syscalls
from runtimes.linux.mounts import is_mount_point, mounts_below, unmount_all

Access = str  # "" (not changed), "read", "write"


@dataclass
class World:
    """The API's objects: `version` is the content of every key."""

    version: str = "1"

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        return ConfigMap(data={"a": self.version, "b": self.version})

    async def get_secret(self, namespace: str, name: str) -> Secret:
        return Secret(data={key: base64.b64encode(self.version.encode()).decode() for key in "ab"})

    async def get(self, key: TokenKey) -> Token:
        return Token(value=self.version, expires_at=datetime.now(UTC) + timedelta(hours=1), expiration_seconds=3600)

    def forget(self, pod_uid: str) -> None:
        return

    def event(self, ref: object, type: str, reason: str, message: str, **more: object) -> None:
        return

    def allocatable(self) -> Mapping[str, str]:
        return {"memory": "64Mi"}


@contextlib.contextmanager
def _nothing() -> Iterator[Mapping[str, Any]]:
    yield {}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One volume type, with one declaration of it.

    `make`: a new plugin, as a restarted agent has one, over what is on disk. `persistent`: a claim leads to it; `bound`: the spec
    of its PersistentVolume, over what that makes in an empty folder until it is left; `staged`: it is mounted on the node before
    it is published; `block`: it is a device. `written`: who fills it, the "pod", the "agent" from the world's objects, "nobody",
    or the "host" whose it is. `group`: what fsGroup may do in it. `measured`: its usage is known.
    `any_root`: the agent's directory may have any name that a directory can have. `absent`: why it cannot be tried on this
    machine, or nothing.
    """

    name: str
    make: Callable[[Layout, World], VolumePlugin]
    volume: Mapping[str, Any]
    persistent: bool = False
    bound: Callable[[Path], contextlib.AbstractContextManager[Mapping[str, Any]]] = lambda folder: _nothing()
    staged: bool = True
    block: bool = False
    written: str = "pod"
    group: Access = "write"
    measured: bool = True
    container: Mapping[str, Any] = field(default_factory=dict)
    any_root: bool = True
    absent: Callable[[], str] = lambda: ""


class Place:
    """A node for one subject: a root directory, pods, and as many agents as a test wants, one after the other."""

    def __init__(self, subject: Subject, root: Path, spec: Mapping[str, Any]) -> None:
        """`spec`: of the PersistentVolume."""
        self.subject = subject
        self.spec = spec
        self.root = root
        self.layout = Layout(root)
        self.world = World()

    def agent(self) -> VolumePlugin:
        """The next agent's plugin, which knows nothing but the disk."""
        return self.subject.make(self.layout, self.world)

    def request(self, uid: str = "u", *, name: str = "v", fs_group: int | None = None) -> VolumeRequest:
        volume = msgspec.convert({**self.subject.volume, "name": name}, Volume)
        persistent = None
        if self.subject.persistent:
            spec = msgspec.convert(self.spec, PersistentVolumeSpec)
            persistent = PersistentVolume(metadata=ObjectMeta(name=name), spec=spec)
        source = VolumeSource(volume=volume, persistent_volume=persistent)
        return PodRequests(self.pod(uid, fs_group)).of(source)

    def pod(self, uid: str, fs_group: int | None = None) -> AgentPod:
        labels = {"version": self.world.version}
        container = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}], **self.subject.container}
        security = {"securityContext": {"fsGroup": fs_group}} if fs_group is not None else {}
        return agent_pod(
            {
                "metadata": {"name": "p", "namespace": "ns", "uid": uid, "labels": labels},
                "spec": {"containers": [container], **security},
            }
        )

    async def up(self, agent: VolumePlugin, request: VolumeRequest) -> MountedVolume:
        """As the volume manager does it."""
        if agent.capabilities(request.source).stage:
            await agent.stage(request)
        return await agent.publish(request)

    async def down(self, agent: VolumePlugin, request: VolumeRequest) -> None:
        await agent.unpublish(request.pod.uid, request.directory_name)
        if agent.capabilities(request.source).stage:
            await agent.unstage(agent.volume_id(request.source))

    def mounts(self) -> list[Path]:
        return sorted(mounts_below(self.root))

    def left(self) -> list[str]:
        """What is below the root directory, but for empty folders."""
        files = (path for path in self.root.rglob("*") if path.is_symlink() or not path.is_dir())
        return [*map(str, self.mounts()), *map(str, files)]


@contextlib.contextmanager
def disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """An empty block device, made of a sparse file."""
    image = folder / "disk"
    image.touch()
    os.truncate(image, size_bytes)
    backing = os.open(image, os.O_RDWR)
    device = loop.attach(backing)
    os.close(backing)
    path = loop.path_of(device)
    os.close(device)
    try:
        yield path
    finally:
        loop.detach(path)
        image.unlink()


@contextlib.contextmanager
def small_file_system(folder: Path) -> Iterator[Path]:
    """A directory with room for little, in memory."""
    syscalls.mount("none", folder, "tmpfs", options="size=4m")
    try:
        yield folder
    finally:
        unmount_all(folder)


class Struck(BaseException):
    """The agent ended here. No error that a plugin would look at."""


_root, _left = b"", -1  # where the next strike is, and how many calls from now; -1: nowhere


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    global _left
    if _left < 0 or not (event == "open" or event.startswith("os.")):
        return
    with contextlib.suppress(TypeError):
        if arguments and os.fsencode(arguments[0]).startswith(_root):
            _left -= 1
            if _left < 0:
                raise Struck(event)


@contextlib.contextmanager
def struck(root: Path, calls: int) -> Iterator[list[str]]:
    """End what is done below `root` at its file system call number `calls`; the answer tells at which, or nothing at its end."""
    global _root, _left
    if not _hooked:
        sys.addaudithook(_hook)  # stays: there is no way to take one away
        _hooked.append(True)
    at: list[str] = []
    _root, _left = os.fsencode(root), calls
    try:
        yield at
    except Struck as strike:
        at.append(str(strike))
    finally:
        _left = -1


_hooked: list[bool] = []


class SharedMemory(PublishOnly):
    """A driver in small: a file system in memory, staged once on the node and bound for each pod."""

    name = "memory.example/shared"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def supports(self, source: VolumeSource) -> bool:
        return source.persistent_volume is not None

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities(stage=True)

    @override
    def volume_id(self, source: VolumeSource) -> str:
        return f"{self.name}^{source.name}"

    @override
    async def stage(self, request: VolumeRequest) -> None:
        staging = self._staging(self.volume_id(request.source))
        make_directories(staging)
        if not is_mount_point(staging):
            syscalls.mount("none", staging, "tmpfs", options="size=4m")

    @override
    async def unstage(self, volume_id: str) -> None:
        _unmount_and_remove(self._staging(volume_id))

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        target = self._layout.volume_dir(request.pod.uid, self.name, request.directory_name)
        make_directories(target)
        if not is_mount_point(target):
            source = os.open(self._staging(self.volume_id(request.source)), os.O_PATH)
            try:
                syscalls.mount(f"/proc/self/fd/{source}", target, flags=syscalls.MS_BIND)
            finally:
                os.close(source)
        return MountedVolume(host_path=target, directory_name=request.directory_name)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        _unmount_and_remove(self._layout.volume_dir(uid, self.name, directory_name))

    def _staging(self, volume_id: str) -> Path:
        name = hashlib.sha256(volume_id.encode()).hexdigest()
        return self._layout.root_dir / "plugins" / self.name / name / "globalmount"


def _unmount_and_remove(path: Path) -> None:
    unmount_all(path)
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()
