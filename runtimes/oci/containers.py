"""Creating and starting containers."""

import asyncio
import logging
import os
import secrets
import time
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import bundles, conmon, processes, program, records, transitions
from runtimes.oci.cgroups import container_cgroup
from runtimes.oci.core import Core
from runtimes.oci.creations import Creations
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.images.contract import ImageRecord
from runtimes.oci.lifecycle import ContainerState
from runtimes.oci.signals import stop_signal
from runtimes.oci.termination import Termination
from runtimes.oci.users import User

log = logging.getLogger(__name__)

_UNDO_SECONDS = 60.0


class Containers:
    """The first half of a container's life; the second is `Termination`'s."""

    def __init__(self, core: Core, termination: Termination) -> None:
        self._core = core
        self._termination = termination
        self._creations: Creations[Container] = Creations()

    async def create(self, request: cri.CreateContainerRequest) -> Container:
        """Raises NotFound, InvalidArgument, NotSupported, AlreadyExists, WrongState and what the programs below raise.

        A container that the OCI runtime refuses is created all the same; starting it tells why, as in containerd. The same
        request again, while it is under way, is the same container.
        """
        sandbox = self._core.registry.sandbox(request.pod_sandbox_id)
        if not request.config.metadata.name:
            raise errors.InvalidArgument("container metadata without a name")
        key = (sandbox.id, request.config.SerializeToString(deterministic=True))
        return await self._creations.join(key, lambda _usable: self._create(sandbox, request.config))

    async def _create(self, sandbox: Sandbox, config: cri.ContainerConfig) -> Container:
        core = self._core
        image = core.images.resolve(config.image.image)
        if image is None:
            raise errors.NotFound(f"image {config.image.image!r} is not here: pull it first")
        record = self._record(sandbox, config, image, secrets.token_hex(32))
        container = self._register(sandbox, record, config)
        await self._make(sandbox, container, config, image)
        core.publish_container(cri.CONTAINER_CREATED_EVENT, container)
        return container

    async def create_infra(self, sandbox: Sandbox, config: cri.ContainerConfig, rootfs: Path) -> Container:
        """The process that holds a sandbox together, created and started; its id is the one that the sandbox's record has."""
        record = self._record(sandbox, config, None, sandbox.record.infra_id)
        container = self._register(sandbox, record, config)
        async with container.lock:
            self._prepare_directories(sandbox, container)
            user = await bundles.write_infra_bundle(self._core, sandbox, container, config, rootfs)
            await self._launch(container, user)
        await self.start(container)
        return container

    def _record(
        self, sandbox: Sandbox, config: cri.ContainerConfig, image: ImageRecord | None, container_id: str
    ) -> records.ContainerRecord:
        core = self._core
        parent = sandbox.config.linux.cgroup_parent
        log_path = ""
        if config.log_path and sandbox.config.log_directory:
            log_path = str(Path(sandbox.config.log_directory, config.log_path))
        digests = image.digests if image is not None else ()
        return records.ContainerRecord(
            id=container_id,
            sandbox_id=sandbox.id,
            boot_id=core.boot_id,
            created_at_ns=time.time_ns(),
            config=records.raw(records.without_secrets(config)),
            resources=records.raw(config.linux.resources),
            image_id=image.id if image is not None else "",
            image_ref=digests[0] if digests else image.id if image is not None else "",
            cgroup=container_cgroup(parent, container_id, core.config.cgroup_driver),
            infra=image is None,
            log_path=log_path,
            stop_signal=stop_signal(config.stop_signal, image.config.stop_signal if image is not None else ""),
        )

    def _register(self, sandbox: Sandbox, record: records.ContainerRecord, config: cri.ContainerConfig) -> Container:
        if sandbox.closing:
            raise errors.WrongState(f"sandbox {sandbox.id} is not ready")
        container = Container(record=record, config=records.without_secrets(config), resources=config.linux.resources)
        self._core.registry.add_container(sandbox, container)
        return container

    async def _make(
        self, sandbox: Sandbox, container: Container, config: cri.ContainerConfig, image: ImageRecord
    ) -> None:
        try:
            async with container.lock:
                self._prepare_directories(sandbox, container)
                user = await bundles.write_bundle(self._core, sandbox, container, config, image)
                await self._launch(container, user)
                if sandbox.namespaces.users is not None:
                    await asyncio.to_thread(bundles.release_mounts, bundles.mapped_mounts(self._core, container.id))
                if sandbox.closing:
                    raise errors.WrongState(f"sandbox {sandbox.id} went away")
        except BaseException as cause:
            await self._termination.undo(container, cause, timeout_seconds=_UNDO_SECONDS)
            raise

    def _prepare_directories(self, sandbox: Sandbox, container: Container) -> None:
        """The id is on the disk, with the cgroup's name, before anything is made that would have to be undone."""
        core = self._core
        directory, users = core.paths.container(container.id), sandbox.namespaces.users
        directory.mkdir(mode=0o700)  # setuid files of a container are for nobody on the host
        if users is not None:
            os.chown(directory, 0, users.host_gid(0))
            directory.chmod(0o710)
        core.save_container(container, container.record)
        core.paths.bundle(container.id).mkdir(mode=0o711)

    async def _launch(self, container: Container, user: User) -> None:
        core, record, config = self._core, container.record, container.config
        runtime, global_args = core.traits.conmon_runtime(record)
        monitor = conmon.Monitor(
            conmon_path=core.config.conmon_path,
            container_id=record.id,
            name=config.metadata.name or "infra",
            bundle=core.paths.bundle(record.id),
            exits=core.paths.exits,
            persist=core.paths.container(record.id),
            log_path=record.log_path,
            terminal=config.tty,
            stdin=config.stdin,
            stdin_once=config.stdin_once,
            program=str(runtime),
            global_args=global_args,
        )
        refusal, init, monitor_process = "", None, None
        try:
            pid = await conmon.launch(monitor, timeout_seconds=core.config.call_timeout_seconds)
        except conmon.ContainerRefused as error:
            refusal = f"OCI runtime create failed: {error}"
        else:
            init, monitor_process = processes.identify(pid), self._termination.monitor_of(container)
        core.update_container(
            container,
            lambda record: transitions.made(
                record, user=user, init=init, monitor=monitor_process, create_error=refusal
            ),
        )
        if not refusal:
            self._termination.watch_monitor(container)
        self._termination.check_exit(container)
        if monitor_process is not None:
            core.background.spawn(self._adopt(monitor_process.pid), f"moving the monitor of {record.id}")

    async def _adopt(self, pid: int) -> None:
        """Take the monitor out of the agent's cgroup, so that it outlives the agent's. Not on the container's path."""
        try:
            await asyncio.to_thread(self._core.cgroups.adopt, self._core.config.conmon_cgroup, pid)
        except OSError as error:
            if processes.identify(pid) is not None:
                log.warning("cannot move conmon %d to %s: %s", pid, self._core.config.conmon_cgroup, error)

    async def start(self, container: Container) -> None:
        """Raises WrongState, Internal with reason StartError (the container has then exited with code 128).

        What has begun is carried through, whoever stops waiting: an agent that leaves must not take the container with it.
        """
        sandbox = self._core.registry.sandbox(container.record.sandbox_id)
        if not container.record.infra:
            await _network_of(sandbox)
        await self._core.background.carry_through(self._start(sandbox, container), f"starting {container.id}")

    async def _start(self, sandbox: Sandbox, container: Container) -> None:
        core = self._core
        async with container.lock:
            if sandbox.closing:
                raise errors.WrongState(f"sandbox {sandbox.id} is not ready")
            if not container.can_start:
                raise errors.WrongState(
                    f"container {container.id} is in state {container.record.state}, not {ContainerState.CREATED}"
                )
            if refusal := container.record.create_error:
                await self._termination.start_failed(container, refusal)
                raise errors.Internal(refusal, reason=transitions.START_ERROR)
            self._begin_start(container)
            try:
                await core.traits.start(container.record)
            except errors.RuntimeFault as error:
                # an agent before us may have been killed while its start was still under way
                if await core.program.state(container.id) != program.RUNNING:
                    await self._termination.start_failed(container, error.message)
                    raise errors.Internal(error.message, reason=transitions.START_ERROR) from error
            except asyncio.CancelledError:
                core.background.spawn(
                    self._termination.start_failed(container, "the start was cancelled"), f"ending {container.id}"
                )
                raise
            core.note_container(container, transitions.started)
            core.publish_container(cri.CONTAINER_STARTED_EVENT, container)
            self._termination.started(container)

    def _begin_start(self, container: Container) -> None:
        """Record it before anything runs. Raises Internal, with the container as it was."""
        now_ns = time.time_ns()
        try:
            self._core.update_container(container, lambda record: transitions.start_begun(record, now_ns))
        except OSError as error:
            raise errors.Internal(f"the start of container {container.id} cannot be recorded: {error}") from error


async def _network_of(sandbox: Sandbox) -> None:
    try:
        await asyncio.shield(sandbox.network)
    except errors.RuntimeFault as error:
        raise errors.WrongState(f"the network of sandbox {sandbox.id} failed: {error.message}") from error
