"""What the parts of the engine share: configuration, programs, files, the registry, events, and work in the background."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from proto import cri_pb2 as cri
from runtimes.events import EventBus
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.tasks import Background
from runtimes.oci import messages
from runtimes.oci.config import Dialect, OCIRuntimeConfig, Paths
from runtimes.oci.entities import Container, Registry, Sandbox
from runtimes.oci.hostfacts import HostFacts
from runtimes.oci.images.contract import ImageStore
from runtimes.oci.program import RuntimeProgram
from runtimes.oci.records import ContainerRecord, SandboxRecord
from runtimes.oci.spec.resources import CgroupFeatures
from runtimes.oci.store import DiskSync, RecordStore

log = logging.getLogger(__name__)


class NetworkProvider(Protocol):
    """Gives a sandbox's network namespace its interfaces. Verbs on different sandboxes run at the same time."""

    async def setup(self, sandbox_id: str, netns_path: Path, config: cri.PodSandboxConfig) -> tuple[str, ...]:
        """Connect the pod; returns its IPs, the primary one first. After a failure `teardown` is called."""
        ...

    async def teardown(self, sandbox_id: str, netns_path: Path | None, config: cri.PodSandboxConfig) -> None:
        """Undo `setup`, or half of it; repeatable. Without a path the namespace is gone already (a reboot)."""
        ...

    async def status(self) -> str | None:
        """None when pods can be connected, else why not."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Core:
    """Made once by the engine at its start, when the runtime and the host are known."""

    config: OCIRuntimeConfig
    paths: Paths
    dialect: Dialect
    program: RuntimeProgram
    host: HostFacts
    cgroups: Cgroups
    cgroup_features: CgroupFeatures
    boot_id: str
    images: ImageStore
    network: NetworkProvider | None
    disk: DiskSync
    sandbox_records: RecordStore[SandboxRecord]
    container_records: RecordStore[ContainerRecord]
    wrapper: Path | None = None
    mapped_mounts: bool = False  # pods may have their own users
    registry: Registry = field(default_factory=Registry)
    bus: EventBus = field(default_factory=EventBus)
    background: Background = field(default_factory=Background)

    def save_sandbox(self, sandbox: Sandbox) -> None:
        self.sandbox_records.save(sandbox.id, sandbox.record)

    def save_container(self, container: Container) -> None:
        self.container_records.save(container.id, container.record)

    def tell_container(self, kind: cri.ContainerEventType, container: Container) -> None:
        """Publish a container's change; an infra container's is its sandbox's."""
        sandbox = self.registry.sandboxes.get(container.record.sandbox_id)
        if container.record.infra:
            if sandbox is not None and not sandbox.closing and kind == cri.CONTAINER_STOPPED_EVENT:
                self.tell_sandbox(kind, sandbox)
        elif self.bus.has_listeners:
            self.bus.publish(messages.event(kind, container.id, time.time_ns(), sandbox))

    def tell_sandbox(self, kind: cri.ContainerEventType, sandbox: Sandbox) -> None:
        if self.bus.has_listeners:
            self.bus.publish(messages.event(kind, sandbox.id, time.time_ns(), sandbox))
