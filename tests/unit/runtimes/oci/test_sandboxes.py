"""How a sandbox is made, undone and stopped, step by step; namespaces and networks are not there, records and files are."""

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci.lifecycle import SandboxState
from runtimes.oci.namespaces import SandboxNamespaces
from runtimes.oci.records import SandboxRecord
from runtimes.oci.sandboxes import Sandboxes


class World:
    """The engine around `Sandboxes`: what happened, in order. `refuse`: whether the disk takes a record."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.told: list[cri.ContainerEventResponse] = []
        self.teardown_error: Exception | None = None
        self.refuse: Callable[[SandboxRecord], bool] = lambda record: False
        self.connecting, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()
        monkeypatch.setattr(SandboxNamespaces, "make", lambda *_arguments: self.log.append("namespaces"))
        monkeypatch.setattr(SandboxNamespaces, "release", lambda *_arguments: self.log.append("release"))
        monkeypatch.setattr(SandboxNamespaces, "intact", lambda *_arguments: True)
        bus = SimpleNamespace(has_listeners=True, publish=self.told.append)
        self.core = oci_core(root, network=self, sandbox_records=self, bus=bus)
        self.sandboxes = Sandboxes(self.core, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]

    def save(self, object_id: str, record: SandboxRecord) -> None:
        if self.refuse(record):
            self.log.append(f"cannot save {record.state}")
            raise OSError(28, "No space left on device")
        self.log.append(f"save {record.state}{' with a network' if record.network else ''}")

    async def setup(self, sandbox_id: str, netns_path: Path, config: cri.PodSandboxConfig) -> tuple[str, ...]:
        self.log.append("connect")
        self.connecting.set()
        await self.go.wait()
        return ("10.0.0.1",)

    async def teardown(self, sandbox_id: str, netns_path: Path | None, config: cri.PodSandboxConfig) -> None:
        self.log.append("disconnect")
        if self.teardown_error is not None:
            raise self.teardown_error

    @property
    def left(self) -> list[str]:
        paths = self.core.paths
        return [path.name for folder in (paths.sandboxes, paths.pods) for path in folder.iterdir()]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def config(**metadata: Any) -> cri.PodSandboxConfig:
    found = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(**{"name": "web", "uid": "u", **metadata}))
    found.linux.security_context.namespace_options.pid = cri.CONTAINER  # no infra container
    return found


MADE = ["save creating", "namespaces", "save creating with a network", "connect", "save ready with a network"]


async def test_everything_is_written_down_before_it_is_done(world: World) -> None:
    """The sandbox before its namespaces, the network before CNI; ready when both are there, with its addresses."""
    told: list[str] = []
    sandbox = await world.sandboxes.run(config(), told.append)
    assert world.log == MADE
    assert (sandbox.record.state, sandbox.record.ips, told) == (SandboxState.READY, ("10.0.0.1",), [sandbox.id])


async def test_a_repeated_request_joins(world: World) -> None:
    """One sandbox for all who ask for the same at the same time; who asks for another of that name is refused."""
    world.go.clear()
    same = [asyncio.create_task(world.sandboxes.run(config(), None)) for _ in range(3)]
    await world.connecting.wait()
    other = config()
    other.hostname = "other"
    with pytest.raises(errors.AlreadyExists):
        await world.sandboxes.run(other, None)
    world.go.set()
    found = await asyncio.gather(*same)
    assert found == [found[0]] * 3
    assert world.log == MADE
    with pytest.raises(errors.AlreadyExists, match=found[0].id):
        await world.sandboxes.run(config(), None)


async def test_one_that_is_given_up_makes_room_for_the_next(world: World) -> None:
    """A caller who comes back after his deadline gets a new sandbox, made when the old one has gone."""
    world.go.clear()
    first = asyncio.create_task(world.sandboxes.run(config(), None))
    await world.connecting.wait()
    first.cancel()
    second = asyncio.create_task(world.sandboxes.run(config(), None))
    world.go.set()
    sandbox = await second
    assert first.cancelled()
    assert world.log == [*MADE[:-1], "disconnect", "release", *MADE]
    assert world.left == [sandbox.id] * 2


async def test_a_sandbox_that_cannot_be_recorded_is_undone(world: World) -> None:
    """A full disk at the last step: the network is given back and nothing is left, on the disk or in memory."""
    world.refuse = lambda record: record.state is SandboxState.READY
    with pytest.raises(OSError, match="No space left"):
        await world.sandboxes.run(config(), None)
    assert world.log == [*MADE[:-1], "cannot save ready", "disconnect", "release"]
    assert (world.left, world.core.registry.sandboxes) == ([], {})


async def test_a_full_disk_keeps_no_sandbox_from_stopping(world: World) -> None:
    """It has stopped, recorded or not; a second stop finds nothing to do."""
    sandbox = await world.sandboxes.run(config(), None)
    world.log.clear()
    world.refuse = lambda record: True
    await world.sandboxes.stop(sandbox)
    await world.sandboxes.stop(sandbox)
    assert world.log == ["disconnect", "release", "cannot save notready"]
    assert (sandbox.record.state, sandbox.record.network, sandbox.closing) == (SandboxState.NOTREADY, False, True)


async def test_what_is_told_of_a_sandbox(world: World) -> None:
    """Made and started at once, stopped and deleted once each, with the state that it had then."""
    sandbox = await world.sandboxes.run(config(), None)
    await world.sandboxes.stop(sandbox)
    await asyncio.gather(*(world.sandboxes.remove(sandbox) for _ in range(2)))
    assert [(event.container_id, event.container_event_type) for event in world.told] == [
        (sandbox.id, cri.CONTAINER_CREATED_EVENT),
        (sandbox.id, cri.CONTAINER_STARTED_EVENT),
        (sandbox.id, cri.CONTAINER_STOPPED_EVENT),
        (sandbox.id, cri.CONTAINER_DELETED_EVENT),
    ]
    states = [event.pod_sandbox_status.state for event in world.told]
    assert states == [cri.SANDBOX_READY, cri.SANDBOX_READY, cri.SANDBOX_NOTREADY, cri.SANDBOX_NOTREADY]


async def test_who_waits_for_a_network_that_fails_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its error; no container comes into the sandbox any more, of which nothing stays."""
    seen: list[Any] = []

    async def fail(sandbox_id: str, netns: Path, found: cri.PodSandboxConfig) -> tuple[str, ...]:
        seen.append(world.core.registry.sandbox(sandbox_id))
        raise errors.Internal("no address left")

    monkeypatch.setattr(world, "setup", fail)
    with pytest.raises(errors.Internal, match="no address left"):
        await world.sandboxes.run(config(), None)
    (sandbox,) = seen
    with pytest.raises(errors.Internal, match="no address left"):
        await sandbox.network
    assert sandbox.closing
    assert (world.left, world.told) == ([], [])


async def test_a_network_that_cannot_be_undone(world: World) -> None:
    """The sandbox stays listed, not ready, and remembers its network; its next stop tries again."""
    world.refuse = lambda record: record.state is SandboxState.READY
    world.teardown_error = errors.Internal("busy")
    with pytest.raises(OSError, match="No space left") as caught:
        await world.sandboxes.run(config(), None)
    assert caught.value.__notes__ == ["undo: busy"]
    (sandbox,) = world.core.registry.sandboxes.values()
    assert (sandbox.record.state, sandbox.record.network, sandbox.closing) == (SandboxState.NOTREADY, True, True)
    assert world.log[-1] == "save notready with a network"
    world.teardown_error = None
    await world.sandboxes.remove(sandbox)
    assert world.log[-3:] == ["release", "save notready", "release"]
    assert (world.left, world.core.registry.sandboxes) == ([], {})


async def test_what_an_earlier_agent_did_not_finish(world: World) -> None:
    """Its network goes with all else; of a sandbox of which only a directory is left, its name is enough."""
    sandbox = await world.sandboxes.run(config(), None)
    world.log.clear()
    await world.sandboxes.abandon(sandbox)
    assert sandbox.closing
    (world.core.paths.sandboxes / "x").mkdir()
    await world.sandboxes.abandon_unknown("x")
    assert world.log == ["disconnect", "release"] * 2
    assert world.left == []


@pytest.mark.parametrize("refusal", ["", "exec format error"])
async def test_a_process_that_holds_a_pod_together(world: World, tmp_path: Path, refusal: str) -> None:
    """For pods that share their processes: confined as the pod is, started before the sandbox is ready; else there is none."""
    (tmp_path / "catatonit").write_bytes(b"program")
    made: list[cri.ContainerConfig] = []

    async def create_infra(sandbox: Any, own: cri.ContainerConfig, rootfs: Path) -> Any:
        world.log.append("infra")
        made.append(own)
        assert (rootfs / "catatonit").read_bytes() == b"program"
        return SimpleNamespace(record=SimpleNamespace(create_error=refusal))

    world.core.config = dataclasses.replace(world.core.config, infra_path=str(tmp_path / "catatonit"))
    world.core.traits.limit_infra = lambda limits, found: None
    containers = SimpleNamespace(create_infra=create_infra)
    sandboxes = Sandboxes(world.core, containers, SimpleNamespace())  # type: ignore[arg-type]
    shared = config()
    security = shared.linux.security_context
    security.namespace_options.pid = cri.POD
    security.seccomp.profile_type = cri.SecurityProfile.Unconfined
    if refusal:
        with pytest.raises(errors.Internal, match=refusal):
            await sandboxes.run(shared, None)
        assert (world.left, world.core.registry.sandboxes) == ([], {})
        return
    sandbox = await sandboxes.run(shared, None)
    assert "infra" in world.log[: world.log.index("save ready with a network")]
    assert sandbox.record.infra_id and sandbox.config.linux.cgroup_parent == "/"
    (own,) = made
    assert own.linux.security_context.readonly_rootfs and own.linux.security_context.no_new_privs
    assert own.linux.security_context.seccomp == security.seccomp


async def test_a_parent_cgroup_is_the_pods(world: World) -> None:
    """The one that was asked for; cgroups on the way to it that were not there are written down, to go with the sandbox."""
    asked = config()
    asked.linux.cgroup_parent = "/kubepods/web"
    absent = world.core.paths.state_dir / "cgroup"
    world.core.cgroups.directories = lambda path: (absent,) if path == "kubepods/web" else ()
    sandbox = await world.sandboxes.run(asked, None)
    assert sandbox.config.linux.cgroup_parent == "/kubepods/web"
    assert sandbox.record.made_cgroups == (str(absent),)
