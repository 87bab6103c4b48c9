"""What the parts of the engine share: configuration, programs, files, the registry, events, and work in the background."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from proto import cri_pb2 as cri
from runtimes.contract import NetworkProvider
from runtimes.events import EventBus
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.tasks import Background
from runtimes.oci import messages
from runtimes.oci.config import OCIRuntimeConfig, Paths
from runtimes.oci.entities import Container, Sandbox, SandboxRegistry
from runtimes.oci.hostfacts import HostFacts
from runtimes.oci.images.contract import ImageStore
from runtimes.oci.program import RuntimeProgram
from runtimes.oci.records import ContainerRecord, SandboxRecord
from runtimes.oci.spec.resources import CgroupFeatures
from runtimes.oci.store import DiskSync, RecordStore
from runtimes.oci.traits.contract import RuntimeTraits

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Core:
    """Made once by the engine at its start, when the runtime and the host are known."""

    config: OCIRuntimeConfig
    paths: Paths
    traits: RuntimeTraits
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
    mapped_mounts: bool = False  # pods may have their own users
    registry: SandboxRegistry = field(default_factory=SandboxRegistry)
    bus: EventBus = field(default_factory=EventBus)
    background: Background = field(default_factory=Background)

    # records: the disk first, then memory -----------------------------------------------------------------------------

    def update_sandbox(self, sandbox: Sandbox, change: Callable[[SandboxRecord], SandboxRecord]) -> None:
        """Write down what `change`, which is pure, makes of the record; only then is it the sandbox's. Raises OSError."""
        record = change(sandbox.record)
        self.save_sandbox(sandbox, record)
        sandbox.record = record

    def update_container(self, container: Container, change: Callable[[ContainerRecord], ContainerRecord]) -> None:
        """As `update_sandbox`."""
        record = change(container.record)
        self.save_container(container, record)
        container.record = record

    def note_sandbox(self, sandbox: Sandbox, change: Callable[[SandboxRecord], SandboxRecord]) -> None:
        """The same of what has happened and cannot be taken back: a disk that takes no record of it does not change that.

        The next agent, which finds the record before it, sees for itself.
        """
        record = change(sandbox.record)
        try:
            self.save_sandbox(sandbox, record)
        except OSError as error:
            log.error("sandbox %s is %s, which cannot be recorded: %s", sandbox.id, record.state, error)
        sandbox.record = record

    def note_container(self, container: Container, change: Callable[[ContainerRecord], ContainerRecord]) -> None:
        """As `note_sandbox`."""
        record = change(container.record)
        try:
            self.save_container(container, record)
        except OSError as error:
            log.error("container %s is %s, which cannot be recorded: %s", container.id, record.state, error)
        container.record = record

    def save_sandbox(self, sandbox: Sandbox, record: SandboxRecord) -> None:
        self.sandbox_records.save(sandbox.id, record)

    def save_container(self, container: Container, record: ContainerRecord) -> None:
        self.container_records.save(container.id, record)

    # events ----------------------------------------------------------------------------------------------------------

    def publish_container(self, kind: cri.ContainerEventType, container: Container) -> None:
        """Publish a container's change; an infra container's is its sandbox's."""
        sandbox = self.registry.sandboxes.get(container.record.sandbox_id)
        if container.record.infra:
            if sandbox is not None and not sandbox.closing and kind == cri.CONTAINER_STOPPED_EVENT:
                self.publish_sandbox(kind, sandbox)
        elif self.bus.has_listeners:
            self.bus.publish(messages.event(kind, container.id, time.time_ns(), sandbox))

    def publish_sandbox(self, kind: cri.ContainerEventType, sandbox: Sandbox) -> None:
        if self.bus.has_listeners:
            self.bus.publish(messages.event(kind, sandbox.id, time.time_ns(), sandbox))
