"""Sandboxes and containers in memory, and the registry that owns them. Their states are in lifecycle.py."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import StreamSession
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.oci.config import Paths
from runtimes.oci.lifecycle import ContainerState, SandboxState
from runtimes.oci.namespaces import SandboxNamespaces
from runtimes.oci.processes import EndWatch
from runtimes.oci.records import ContainerRecord, SandboxRecord, container_config, resources, sandbox_config

_T = TypeVar("_T")

_SHOWN = 12  # characters of an id that are enough for people
_EVERY: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Container:
    """`record` is `Core`'s to set, once the disk has it. `lock` is held by the verb that changes it; `exited` is set once and
    for all; `sessions` are its open streams.
    """

    record: ContainerRecord
    config: cri.ContainerConfig
    resources: cri.LinuxContainerResources
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    removing: bool = False
    stop_sent: bool = False
    clearing: asyncio.Task[None] | None = None
    monitor_watch: EndWatch | None = None
    sessions: set[StreamSession] = field(default_factory=set)

    @classmethod
    def restored(cls, record: ContainerRecord) -> "Container":
        container = cls(record=record, config=container_config(record.config), resources=resources(record.resources))
        if record.state is ContainerState.EXITED:
            container.exited.set()
        return container

    @override
    def __repr__(self) -> str:
        name = self.config.metadata.name or "infra"
        return f"<Container {self.id[:_SHOWN]} {name!r} {self.record.state}{' removing' if self.removing else ''}>"

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def listed(self) -> bool:
        """Part of what the CRI shows: not half made, and not the engine's own infra container."""
        return self.record.state.is_listed and not self.record.infra

    @property
    def running(self) -> bool:
        return self.record.state is ContainerState.RUNNING

    @property
    def can_start(self) -> bool:
        return self.record.state.can_start and not self.removing

    @property
    def can_exec(self) -> bool:
        return self.record.state.can_exec and not self.removing

    @property
    def can_update(self) -> bool:
        return self.record.state.can_update and not self.record.create_error

    @property
    def image_mounts(self) -> list[tuple[int, cri.Mount]]:
        """The mounts that are images, each with its index among all."""
        return [(index, mount) for index, mount in enumerate(self.config.mounts) if mount.image.image]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Sandbox:
    """`record` is `Core`'s to set, once the disk has it. `network` is done when the pod's network is up, or failed with what
    went wrong. `closing`: no new containers.
    """

    record: SandboxRecord
    config: cri.PodSandboxConfig
    namespaces: SandboxNamespaces
    network: asyncio.Future[None]
    containers: dict[str, Container] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    closing: bool = False

    @classmethod
    def new(cls, record: SandboxRecord, config: cri.PodSandboxConfig, paths: Paths) -> "Sandbox":
        namespaces = SandboxNamespaces(paths.pod(record.id), config.linux.security_context.namespace_options)
        network: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return cls(record=record, config=config, namespaces=namespaces, network=network)

    @classmethod
    def restored(cls, record: SandboxRecord, paths: Paths) -> "Sandbox":
        sandbox = cls.new(record, sandbox_config(record.config), paths)
        sandbox.closing = not sandbox.ready
        sandbox.network.set_result(None)
        return sandbox

    @override
    def __repr__(self) -> str:
        name = f"{self.config.metadata.namespace}/{self.config.metadata.name}"
        return f"<Sandbox {self.id[:_SHOWN]} {name} {self.record.state}{' closing' if self.closing else ''}>"

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def ready(self) -> bool:
        return self.record.state is SandboxState.READY

    @property
    def stopped(self) -> bool:
        """Nothing of it runs, and nothing of its network is left."""
        return self.record.state is SandboxState.NOTREADY and not self.record.network

    @property
    def half_made(self) -> bool:
        return self.record.state is SandboxState.CREATING

    @property
    def infra(self) -> Container | None:
        return self.containers.get(self.record.infra_id)

    @property
    def listed_containers(self) -> list[Container]:
        return [container for container in self.containers.values() if container.listed]


def sandbox_key(config: cri.PodSandboxConfig) -> tuple[str, str, str, int]:
    """What two sandboxes may not have in common."""
    metadata = config.metadata
    return metadata.namespace, metadata.name, metadata.uid, metadata.attempt


class SandboxRegistry:
    """All sandboxes and containers of one handler. Ids may be given as unique prefixes.

    A supervisor asks for its own pod's at every turn, so these are found by the label that names the pod, not by search.
    """

    def __init__(self) -> None:
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self._by_key: dict[tuple[str, str, str, int], Sandbox] = {}
        self._by_pod: dict[str, dict[str, Sandbox]] = {}
        self._containers_by_pod: dict[str, dict[str, Container]] = {}

    def add_sandbox(self, sandbox: Sandbox) -> None:
        """Raises AlreadyExists."""
        key = sandbox_key(sandbox.config)
        if (other := self._by_key.get(key)) is not None:
            raise errors.AlreadyExists(
                f"sandbox {'/'.join(map(str, key))} exists already as {other.id}: remove it first"
            )
        self.restore_sandbox(sandbox)

    def restore_sandbox(self, sandbox: Sandbox) -> None:
        """Take over what an earlier agent has left, even where two have the same key."""
        self.sandboxes[sandbox.id] = sandbox
        self._by_key[sandbox_key(sandbox.config)] = sandbox
        self._by_pod.setdefault(_pod_uid(sandbox.config), {})[sandbox.id] = sandbox

    def forget_sandbox(self, sandbox: Sandbox) -> None:
        self.sandboxes.pop(sandbox.id, None)
        key = sandbox_key(sandbox.config)
        if self._by_key.get(key) is sandbox:
            del self._by_key[key]
        _drop(self._by_pod, _pod_uid(sandbox.config), sandbox.id)

    def candidates(self, selector: Mapping[str, str]) -> Iterable[Sandbox]:
        """The sandboxes that a label selector can match: one pod's where it names the pod, else all."""
        uid = selector.get(LABEL_POD_UID)
        return self.sandboxes.values() if uid is None else self._by_pod.get(uid, {}).values()

    def add_container(self, sandbox: Sandbox, container: Container) -> None:
        """Raises AlreadyExists."""
        metadata = container.config.metadata
        for other in sandbox.containers.values():
            taken = other.config.metadata
            if (taken.name, taken.attempt) == (metadata.name, metadata.attempt):
                raise errors.AlreadyExists(
                    f"container {metadata.name}, attempt {metadata.attempt}, exists already as {other.id}"
                )
        self.restore_container(container)

    def restore_container(self, container: Container) -> None:
        """Take over what an earlier agent has left; its sandbox may be gone."""
        self.containers[container.id] = container
        self._containers_by_pod.setdefault(_pod_uid(container.config), {})[container.id] = container
        if sandbox := self.sandboxes.get(container.record.sandbox_id):
            sandbox.containers[container.id] = container

    def forget_container(self, container: Container) -> None:
        self.containers.pop(container.id, None)
        _drop(self._containers_by_pod, _pod_uid(container.config), container.id)
        if sandbox := self.sandboxes.get(container.record.sandbox_id):
            sandbox.containers.pop(container.id, None)

    def sandbox(self, sandbox_id: str) -> Sandbox:
        """Raises NotFound."""
        found = self.sandboxes.get(sandbox_id) or _by_prefix(sandbox_id, self.sandboxes)
        if found is None:
            raise errors.NotFound(f"no sandbox {sandbox_id!r}")
        return found

    def container(self, container_id: str) -> Container:
        """Raises NotFound; so for one that is still being made, and for the engine's own."""
        found = self.containers.get(container_id) or _by_prefix(container_id, self.containers)
        if found is None or not found.listed:
            raise errors.NotFound(f"no container {container_id!r}")
        return found

    def listed_containers(self, selector: Mapping[str, str] = _EVERY) -> Iterator[Container]:
        """Those that a label selector can match."""
        found = self.containers.values()
        if (uid := selector.get(LABEL_POD_UID)) is not None:
            found = self._containers_by_pod.get(uid, {}).values()
        return (container for container in found if container.listed)


def _pod_uid(config: cri.PodSandboxConfig | cri.ContainerConfig) -> str:
    return config.labels.get(LABEL_POD_UID, "")


def _drop(index: dict[str, dict[str, _T]], key: str, entry_id: str) -> None:
    entries = index.get(key, {})
    entries.pop(entry_id, None)
    if not entries:
        index.pop(key, None)


def _by_prefix(prefix: str, found: dict[str, _T]) -> _T | None:
    matches = [key for key in found if key.startswith(prefix)] if prefix else []
    return found[matches[0]] if len(matches) == 1 else None
