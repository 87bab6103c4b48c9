"""Sandboxes: made, stopped, removed. A pod without a process of its own is nothing but namespaces and files."""

import asyncio
import functools
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux.cgroups.cleanup import missing
from runtimes.linux.cgroups.tree import remove_if_empty
from runtimes.linux.files import replace_file
from runtimes.linux.removal import remove_tree
from runtimes.oci import bundles, podfiles, records, transitions
from runtimes.oci.cgroups import expand_slice, slice_name
from runtimes.oci.containers import Containers
from runtimes.oci.core import Core
from runtimes.oci.creations import Creations
from runtimes.oci.entities import Sandbox
from runtimes.oci.idmap import UserMapping
from runtimes.oci.namespaces import is_pinned
from runtimes.oci.termination import Termination

log = logging.getLogger(__name__)

_UNDO_SECONDS = 120.0
_INFRA_SHARES = 2
_INFRA_OOM_SCORE_ADJ = -998


class Sandboxes:
    def __init__(self, core: Core, containers: Containers, termination: Termination) -> None:
        self._core = core
        self._containers = containers
        self._termination = termination
        self._creations: Creations[Sandbox] = Creations()

    # run -------------------------------------------------------------------------------------------------------------

    async def run(self, config: cri.PodSandboxConfig, on_created: Callable[[str], None] | None) -> Sandbox:
        """Raises InvalidArgument, AlreadyExists and what the network and the runtime raise; leaves nothing then.

        The same request again, while it is under way, is the same sandbox; every caller's `on_created` is called.
        """
        core = self._core
        if not config.metadata.name or not config.metadata.uid:
            raise errors.InvalidArgument("sandbox metadata without a name or a uid")
        if UserMapping.of(config.linux.security_context.namespace_options) is not None and not core.mapped_mounts:
            raise errors.NotSupported("this runtime, or this host, has no user namespaces for pods")
        key = config.SerializeToString(deterministic=True)
        return await self._creations.join(key, lambda usable: self._run(config, usable), on_created)

    async def _run(self, config: cri.PodSandboxConfig, on_created: Callable[[str], None]) -> Sandbox:
        core, sandbox = self._core, self._register(config)
        try:
            async with sandbox.lock:
                await self._make(sandbox, on_created)
        except BaseException as cause:
            await self._undo(sandbox, cause)
            raise
        core.publish_sandbox(cri.CONTAINER_CREATED_EVENT, sandbox)
        core.publish_sandbox(cri.CONTAINER_STARTED_EVENT, sandbox)
        return sandbox

    def _register(self, config: cri.PodSandboxConfig) -> Sandbox:
        core = self._core
        own = cri.PodSandboxConfig()
        own.CopyFrom(config)
        if not own.linux.cgroup_parent:
            own.linux.cgroup_parent = "/" if core.config.cgroup_driver == "cgroupfs" else "system.slice"
        record = records.SandboxRecord(
            id=secrets.token_hex(32),
            boot_id=core.boot_id,
            handler=core.config.name,
            created_at_ns=time.time_ns(),
            config=records.raw(own),
            infra_id=secrets.token_hex(32) if self._needs_infra(own) else "",
        )
        sandbox = Sandbox.new(record, own, core.paths)
        core.registry.add_sandbox(sandbox)
        return sandbox

    async def _make(self, sandbox: Sandbox, on_created: Callable[[str], None]) -> None:
        core, config = self._core, sandbox.config
        core.paths.sandbox(sandbox.id).mkdir(mode=0o711)
        made = {path for other in core.registry.sandboxes.values() for path in other.record.made_cgroups}
        absent = tuple(missing(core.cgroups, self._cgroup(sandbox), made))
        core.update_sandbox(sandbox, lambda record: replace(record, made_cgroups=absent))

        def prepare() -> None:
            core.paths.pod(sandbox.id).mkdir(mode=0o711)
            podfiles.write(core.paths.sandbox(sandbox.id), config, podfiles.hostname(config))
            sandbox.namespaces.make(config.hostname, config.linux.sysctls)

        await asyncio.to_thread(prepare)
        network = asyncio.get_running_loop().create_task(self._connect(sandbox), name=f"network of {sandbox.id}")
        try:
            if sandbox.record.infra_id:
                await self._start_infra(sandbox)
            on_created(sandbox.id)
            ips = await network
        finally:
            network.cancel()
            await asyncio.gather(network, return_exceptions=True)
        core.update_sandbox(sandbox, lambda record: transitions.ready(record, ips))
        sandbox.network.set_result(None)

    async def _connect(self, sandbox: Sandbox) -> tuple[str, ...]:
        """The pod's IPs; none of its own on the host's network."""
        core, net = self._core, sandbox.namespaces.net
        if net is None or core.network is None:
            return ()
        core.update_sandbox(sandbox, transitions.connecting)
        ips = await core.network.setup(sandbox.id, net, sandbox.config)
        if not ips:
            raise errors.Internal(f"the network gave sandbox {sandbox.id} no IP")
        return tuple(ips)

    def _cgroup(self, sandbox: Sandbox) -> str:
        parent = sandbox.config.linux.cgroup_parent
        return parent if self._core.config.cgroup_driver == "cgroupfs" else expand_slice(slice_name(parent))

    # infra container -------------------------------------------------------------------------------------------------

    def _needs_infra(self, config: cri.PodSandboxConfig) -> bool:
        """Raises NotSupported."""
        shared_pid = config.linux.security_context.namespace_options.pid == cri.POD
        match self._core.config.infra_container:
            case "always":
                return True
            case "never" if shared_pid:
                raise errors.NotSupported("a shared PID namespace needs an infra container, and none is configured")
            case "never":
                return False
            case _:
                return shared_pid or self._core.traits.needs_infra

    async def _start_infra(self, sandbox: Sandbox) -> None:
        rootfs = self._core.paths.run_dir / "infra"
        await asyncio.to_thread(infra_rootfs, rootfs, Path(self._core.config.infra_path))
        infra = await self._containers.create_infra(sandbox, self._infra_config(sandbox), rootfs)
        if infra.record.create_error:
            raise errors.Internal(infra.record.create_error)

    def _infra_config(self, sandbox: Sandbox) -> cri.ContainerConfig:
        security = sandbox.config.linux.security_context
        config = cri.ContainerConfig(command=["/catatonit", "-P"], working_dir="/")
        own = config.linux.security_context
        own.readonly_rootfs = True
        own.no_new_privs = True
        own.capabilities.drop_capabilities.append("ALL")
        if security.HasField("seccomp"):
            own.seccomp.CopyFrom(security.seccomp)
        limits = config.linux.resources
        limits.oom_score_adj = _INFRA_OOM_SCORE_ADJ
        limits.cpu_shares = _INFRA_SHARES
        self._core.traits.limit_infra(limits, sandbox.config)
        return config

    # stop and remove -------------------------------------------------------------------------------------------------

    async def stop(self, sandbox: Sandbox) -> None:
        """Kill what runs, disconnect. Raises what the network raises: then it is to be tried again."""
        core = self._core
        sandbox.closing = True
        async with sandbox.lock:
            if sandbox.stopped:
                return
            containers = list(sandbox.containers.values())
            await _all(self._termination.kill_now(container) for container in containers if not container.record.infra)
            await _all(self._termination.kill_now(container) for container in containers if container.record.infra)
            await self._disconnect(sandbox)
            await asyncio.to_thread(sandbox.namespaces.release)
            core.note_sandbox(sandbox, transitions.stopped)
        core.publish_sandbox(cri.CONTAINER_STOPPED_EVENT, sandbox)

    async def _disconnect(self, sandbox: Sandbox) -> None:
        core, net = self._core, sandbox.namespaces.net
        if sandbox.record.network and core.network is not None:
            path = net if net is not None and sandbox.namespaces.intact() else None
            await core.network.teardown(sandbox.id, path, sandbox.config)

    async def remove(self, sandbox: Sandbox) -> None:
        await self.stop(sandbox)
        async with sandbox.lock:
            if sandbox.id not in self._core.registry.sandboxes:
                return
            await self._dismantle(sandbox)
        self._core.publish_sandbox(cri.CONTAINER_DELETED_EVENT, sandbox)

    async def _dismantle(self, sandbox: Sandbox) -> None:
        """Everything but the network. Repeatable."""
        core = self._core
        containers = list(sandbox.containers.values())
        await _all(self._termination.remove(container) for container in containers if not container.record.infra)
        await _all(self._termination.remove(container) for container in containers if container.record.infra)
        await asyncio.to_thread(self._remove_files, sandbox)
        core.registry.forget_sandbox(sandbox)

    def _remove_files(self, sandbox: Sandbox) -> None:
        sandbox.namespaces.release()
        remove_if_empty(*map(Path, reversed(sandbox.record.made_cgroups)))
        paths = self._core.paths
        bundles.remove_with_mounts(paths.pod(sandbox.id))
        remove_tree(paths.sandbox(sandbox.id))

    async def abandon(self, sandbox: Sandbox) -> None:
        """Remove a sandbox that an earlier agent did not finish."""
        sandbox.closing = True
        async with sandbox.lock:
            await self._disconnect(sandbox)
            await self._dismantle(sandbox)

    async def abandon_unknown(self, sandbox_id: str) -> None:
        """Remove a sandbox of which only the directory is left; its name is enough to undo its network.

        With its namespace where that is still there: what plugins know by the addresses in it (masquerading) goes too.
        """
        core = self._core
        if core.network is not None:
            netns = core.paths.pod(sandbox_id) / "net"
            await core.network.teardown(sandbox_id, netns if is_pinned(netns) else None, cri.PodSandboxConfig())
        record = records.SandboxRecord(
            id=sandbox_id,
            boot_id="",
            handler=core.config.name,
            created_at_ns=0,
            config=records.raw(cri.PodSandboxConfig()),
        )
        await self._dismantle(Sandbox.restored(record, core.paths))

    async def _undo(self, sandbox: Sandbox, cause: BaseException) -> None:
        """Leave nothing of a sandbox that could not be made, whatever happens to the caller meanwhile.

        When the network cannot be undone, the sandbox stays listed as NOTREADY: stopping it tries again.
        """
        sandbox.closing = True
        if not sandbox.network.done():
            failure = cause if isinstance(cause, errors.RuntimeFault) else errors.Internal(str(cause) or "cancelled")
            sandbox.network.set_exception(failure)
            sandbox.network.exception()  # nobody may be waiting

        async def work() -> None:
            connected = sandbox.record.network
            try:
                async with asyncio.timeout(_UNDO_SECONDS), sandbox.lock:
                    await self._disconnect(sandbox)
                    connected = False
                    await self._dismantle(sandbox)
            except Exception as error:
                cause.add_note(f"undo: {error}")
                what = "the network of" if connected else "half made"
                log.exception("%s sandbox %s could not be undone", what, sandbox.id)
                self._core.note_sandbox(sandbox, functools.partial(transitions.stopped, network=connected))

        await asyncio.shield(self._core.background.spawn(work(), f"undoing sandbox {sandbox.id}"))


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it, at the same time, and only then raise: the first error, the others as notes."""
    results = await asyncio.gather(*work, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"also: {other}")
        raise failures[0]


def infra_rootfs(directory: Path, program: Path) -> None:
    """A root file system with nothing but the program that waits. Made once, shared, read-only in its containers."""
    binary = directory / "catatonit"
    if binary.exists():
        return
    for name in ("proc", "sys", "dev", "etc"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    # pods start side by side: each writes a file of its own, and the last one stays
    replace_file(binary, program.read_bytes(), mode=0o755, durable=False, beside=directory.parent)
