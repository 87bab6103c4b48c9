"""How a container ends, step by step; its processes, its monitor and the OCI runtime are not there, records and files are."""

import asyncio
import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import processes, termination, transitions
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.lifecycle import ContainerState
from runtimes.oci.records import ContainerRecord, ProcessRef, SandboxRecord, raw
from runtimes.oci.termination import Termination

INIT, MONITOR = ProcessRef(pid=999_999_007, start_ticks=1), ProcessRef(pid=999_999_006, start_ticks=1)
EVENTS = {cri.CONTAINER_STOPPED_EVENT: "told stopped", cri.CONTAINER_DELETED_EVENT: "told deleted"}
CLEARED = ["kill cgroup", "remove cgroup"]


class World:
    """The engine around `Termination`, with one container that runs: what happened, in order."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.on_signal: Callable[[int], object] = lambda number: None
        self.in_cgroup = frozenset({8})
        self.oom_kills: dict[str, int] = {}
        self.accounted_in: Any = None
        self.init_ended = False
        self.delete_error: Exception | None = None
        self.monitor_lives = False
        self.monitor_ended: Callable[[], None] | None = None
        monkeypatch.setattr(termination, "_KILL_SECONDS", 0.0)
        monkeypatch.setattr(termination, "_BLIND_SECONDS", 0.0)
        monkeypatch.setattr(processes, "send_signal", self.send_signal)
        monkeypatch.setattr(processes, "wait_for_end", self.wait_for_end)
        monkeypatch.setattr(processes, "EndWatch", self.watch)
        monkeypatch.setattr(processes, "identify", {MONITOR.pid: MONITOR}.get)
        self.core = oci_core(
            root,
            container_records=self,
            bus=SimpleNamespace(has_listeners=True, publish=self.publish),
            traits=self,
            images=SimpleNamespace(remove_rootfs=self.remove_rootfs),
            cgroups=SimpleNamespace(
                statistics=SimpleNamespace(oom_kills=lambda path: self.oom_kills.get(path, 0)),
                processes=lambda path: self.in_cgroup,
                kill=self.kill_cgroup,
                remove=lambda path: bool(self.log.append("remove cgroup")) or True,
            ),
        )
        self.termination = Termination(self.core)
        config = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="web", uid="u"))
        record = SandboxRecord(id="s", boot_id="b", handler="runc", created_at_ns=1, config=raw(config))
        self.sandbox = Sandbox.new(record, config, self.core.paths)
        self.core.registry.add_sandbox(self.sandbox)
        self.container = self.add()

    def add(self, **fields: Any) -> Container:
        given = {"state": ContainerState.RUNNING, "started_at_ns": 5, "init": INIT, "monitor": MONITOR, **fields}
        record = ContainerRecord(
            id=given.pop("id", "c"),
            sandbox_id="s",
            boot_id="b",
            created_at_ns=1,
            config=raw(cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main"))),
            image_id="i",
            image_ref="i",
            cgroup="/pod/c",
            stop_signal=signal.SIGTERM,
            **given,
        )
        container = Container.restored(record)
        self.core.registry.restore_container(container)
        for folder in (self.core.paths.container(record.id), self.core.paths.bundle(record.id)):
            folder.mkdir(exist_ok=True)
        return container

    def exits(self, code: int, *, seen: bool = True) -> None:
        """conmon leaves the exit file, and the engine's watch sees it."""
        (self.core.paths.exits / "c").write_text(str(code))
        if seen:
            self.termination.on_exit("c")

    async def settled(self) -> None:
        await self.core.background.drain(10)
        if self.container.clearing is not None:
            await self.container.clearing

    # what the engine stands on

    def save(self, object_id: str, record: ContainerRecord) -> None:
        self.log.append(f"save {record.state}")

    def publish(self, event: cri.ContainerEventResponse) -> None:
        assert event.container_id in ("c", "s")
        self.log.append(f"{EVENTS[event.container_event_type]}{' (pod)' if event.container_id == 's' else ''}")

    def kill_cgroup(self, path: str) -> None:
        assert path == "/pod/c"
        self.log.append("kill cgroup")
        self.in_cgroup = frozenset()

    def send_signal(self, process: ProcessRef, number: int) -> bool:
        assert process == MONITOR
        self.log.append(f"signal {number} to the monitor")
        return True

    async def wait_for_end(self, process: ProcessRef, seconds: float) -> bool:
        assert process == MONITOR
        return not self.monitor_lives

    def watch(self, process: ProcessRef, ended: Callable[[], None]) -> Any:
        if not self.monitor_lives:
            raise ProcessLookupError
        self.monitor_ended = ended
        return SimpleNamespace(close=lambda: self.log.append("watch closed"))

    async def remove_rootfs(self, directory: Path) -> None:
        self.log.append("remove rootfs")

    # traits

    def holder(self, sandbox: Sandbox) -> Any:
        return self.accounted_in

    async def signal(self, container: Container, init: ProcessRef, number: int) -> None:
        assert init == INIT
        self.log.append(f"signal {number}")
        self.on_signal(number)

    def has_ended(self, init: ProcessRef) -> bool:
        return self.init_ended

    async def delete(self, record: ContainerRecord) -> None:
        self.log.append("delete")
        if self.delete_error is not None:
            raise self.delete_error


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def ended(world: World) -> tuple[ContainerState, int, str, str]:
    record = world.container.record
    return record.state, record.exit_code, record.reason, record.message


# -- exits -----------------------------------------------------------------------------------------------------------------


async def test_an_exit_file(world: World) -> None:
    """The end is written down, told, and what is left in the cgroup goes; the file of somebody else, or again, is nothing."""
    world.termination.on_exit("x")
    world.termination.on_exit("c")
    assert world.log == []
    world.exits(3)
    await world.settled()
    world.exits(4)
    await world.settled()
    assert ended(world) == (ContainerState.EXITED, 3, "Error", "")
    assert world.container.exited.is_set()
    assert world.log == ["save exited", "told stopped", *CLEARED]


async def test_an_exit_while_it_is_started(world: World) -> None:
    """Who starts it looks afterwards: a container never ends before it has begun."""
    world.container, world.monitor_lives = world.add(state=ContainerState.STARTING), True
    world.termination.watch_monitor(world.container)
    world.exits(0)
    assert world.container.record.state is ContainerState.STARTING
    world.core.note_container(world.container, transitions.started)
    world.termination.started(world.container)
    await world.settled()
    assert ended(world) == (ContainerState.EXITED, 0, "Completed", "")


@pytest.mark.parametrize("where", ["own", "holder", "notice"])
async def test_an_end_for_want_of_memory(world: World, where: str) -> None:
    """Told by the container's cgroup, by the one in which the pod's memory is accounted, or by conmon where a scope is gone."""
    if where == "own":
        world.oom_kills["/pod/c"] = 2
    elif where == "holder":
        world.accounted_in, world.oom_kills["/pod/holder"] = (
            SimpleNamespace(record=SimpleNamespace(cgroup="/pod/holder")),
            1,
        )
    else:
        (world.core.paths.container("c") / "oom").touch()
        world.core.config = dataclasses.replace(world.core.config, cgroup_driver="systemd")
    world.exits(137)
    await world.settled()
    record = world.container.record
    assert (record.reason, record.exit_code, record.oom_kills) == ("OOMKilled", 137, 2 if where == "own" else 1)


async def test_the_end_of_an_infra_container_is_its_sandboxes(world: World) -> None:
    """Nobody knows the container; a sandbox that is being stopped tells of itself."""
    world.container = world.add(infra=True)
    world.exits(0)
    await world.settled()
    assert world.log == ["save exited", "told stopped (pod)", *CLEARED]
    world.log.clear()
    world.container = world.add(infra=True)
    world.sandbox.closing = True
    world.exits(0)
    await world.settled()
    assert "told stopped (pod)" not in world.log


# -- monitors --------------------------------------------------------------------------------------------------------------

LOST = (ContainerState.EXITED, 255, "Error", "the container's monitor (conmon) died")


@pytest.mark.parametrize("monitor", [None, MONITOR])
async def test_a_monitor_that_is_not_there(world: World, monitor: ProcessRef | None) -> None:
    """Without one a container cannot go on: it is killed."""
    world.container = world.add(monitor=monitor)
    world.termination.watch_monitor(world.container)
    await asyncio.sleep(0)
    await world.settled()
    assert ended(world) == LOST
    assert world.log == ["signal 9", "kill cgroup", "save exited", "told stopped", "remove cgroup"]


async def test_a_monitor_that_dies_later(world: World) -> None:
    """It is watched; what it has left before its death counts."""
    world.monitor_lives = True
    world.termination.watch_monitor(world.container)
    world.termination.started(world.container)
    assert world.container.monitor_watch is not None and world.log == []
    world.exits(0, seen=False)
    assert world.monitor_ended is not None
    world.monitor_ended()
    await world.settled()
    assert ended(world)[:2] == (ContainerState.EXITED, 0)
    assert world.container.monitor_watch is None


async def test_a_monitor_that_died_during_the_start(world: World) -> None:
    """Nobody was told: the start that is done looks."""
    world.termination.started(world.container)
    await world.settled()
    assert ended(world) == LOST


async def test_who_is_removed_is_not_lost(world: World) -> None:
    """Its monitor goes with it."""
    world.container.removing = True
    world.termination.started(world.container)
    await world.settled()
    assert (world.log, world.container.record.state) == ([], ContainerState.RUNNING)


async def test_an_exit_that_comes_while_it_is_lost(world: World) -> None:
    """It ends once, with the code that was left."""
    world.on_signal = lambda number: world.exits(137)
    world.termination.started(world.container)
    await world.settled()
    assert ended(world)[:2] == (ContainerState.EXITED, 137)
    assert world.log.count("save exited") == 1


# -- starts that fail ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("init", "first"), [(INIT, ["signal 9"]), (None, [])])
async def test_a_start_that_fails(world: World, init: ProcessRef | None, first: list[str]) -> None:
    """What may be there of it is killed; it has exited, and says why."""
    world.container = world.add(state=ContainerState.STARTING, init=init)
    await world.termination.start_failed(world.container, "no such file")
    await world.settled()
    assert ended(world) == (ContainerState.EXITED, 128, "StartError", "no such file")
    assert world.log == [*first, "save exited", "told stopped", *CLEARED]


async def test_a_start_that_fails_when_the_end_was_seen(world: World) -> None:
    """The end that was seen stays."""
    world.on_signal = lambda number: world.exits(1)
    await world.termination.start_failed(world.container, "no such file")
    assert ended(world) == (ContainerState.EXITED, 1, "Error", "")


# -- stop and kill ---------------------------------------------------------------------------------------------------------


async def test_stop_is_polite(world: World) -> None:
    """The stop signal; who ends by it is not killed, and stop returns when all of it is gone."""
    world.on_signal = lambda number: world.exits(0)
    await world.termination.stop(world.container, 60)
    assert world.log == ["signal 15", "save exited", "told stopped", *CLEARED]


async def test_the_stop_signal_comes_once(world: World) -> None:
    """A second stop does not repeat it, and ends the patience of the first; without patience there is none."""
    first = asyncio.create_task(world.termination.stop(world.container, 60))
    while "signal 15" not in world.log:  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)
    world.on_signal = lambda number: world.exits(137)
    await world.termination.stop(world.container, 1e-9)
    await first
    assert [line for line in world.log if line.startswith("signal")] == ["signal 15", "signal 9"]
    world.log.clear()
    world.container = world.add()
    world.container.stop_sent = False
    await world.termination.stop(world.container, 0)
    assert [line for line in world.log if line.startswith("signal")] == ["signal 9"]


async def test_what_does_not_run_is_not_stopped(world: World) -> None:
    """Created, or exited: fine, and nothing is signalled; what is still being cleared away is waited for."""
    world.container = world.add(state=ContainerState.CREATED)
    await world.termination.stop(world.container, 60)
    assert world.log == []
    gone = asyncio.Event()
    world.container = world.add(state=ContainerState.EXITED)
    world.container.clearing = world.core.background.spawn(_wait(gone), "clearing")
    stopping = asyncio.create_task(world.termination.stop(world.container, 60))
    await asyncio.sleep(0)
    assert not stopping.done()
    gone.set()
    await stopping
    await world.termination.kill_now(world.container)
    assert world.log == []


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def test_a_kill_that_does_not_help(world: World) -> None:
    """Who waits is told; the container is what it was."""
    with pytest.raises(errors.Timeout, match="container c did not exit within 0s of SIGKILL"):
        await world.termination.kill_now(world.container)
    assert (world.log, world.container.record.state) == (["signal 9"], ContainerState.RUNNING)


@pytest.mark.parametrize("left", [None, 7])
async def test_a_monitor_that_does_not_see_the_end(world: World, left: int | None) -> None:
    """The first process has ended and conmon hangs: it is killed; the end is that of its file, if it has written one."""
    world.init_ended = True
    if left is not None:
        world.on_signal = lambda number: world.exits(left, seen=False)
    await world.termination.kill_now(world.container)
    assert world.log[:2] == ["signal 9", "signal 9 to the monitor"]
    unseen = (255, "Error", "the container's monitor (conmon) did not see its end")
    assert ended(world) == (ContainerState.EXITED, *(unseen if left is None else (left, "Error", "")))


@pytest.mark.parametrize("fields", [{"create_error": "refused"}, {"init": None}])
async def test_what_was_never_born(world: World, fields: dict[str, Any]) -> None:
    """Nothing is there to be signalled: it is over at once, with an exit file's code where there is one."""
    world.container = world.add(state=ContainerState.CREATED, **fields)
    await world.termination.kill_now(world.container)
    assert ended(world)[:2] == (ContainerState.EXITED, 137)
    assert "signal 9" not in world.log
    world.container = world.add(state=ContainerState.CREATED, **fields)
    world.exits(5, seen=False)
    await world.termination.kill_now(world.container)
    assert ended(world)[:2] == (ContainerState.EXITED, 5)


# -- removal ---------------------------------------------------------------------------------------------------------------


class Stream:
    def __init__(self, log: list[str]) -> None:
        self._log = log

    async def close(self) -> None:
        self._log.append("close stream")


async def test_removal(world: World) -> None:
    """Streams are closed, it is killed, the runtime and the monitor let go, cgroup, image and files go; told once."""
    world.monitor_lives = True
    world.termination.watch_monitor(world.container)
    world.container.sessions.add(Stream(world.log))  # type: ignore[arg-type]
    world.on_signal = lambda number: world.exits(137)
    await asyncio.gather(*(world.termination.remove(world.container) for _ in range(2)))
    assert world.log == [
        *("close stream", "signal 9", "save exited", "told stopped", *CLEARED),
        *("watch closed", "delete", "signal 9 to the monitor", "remove rootfs", "remove cgroup", "told deleted"),
    ]
    paths = world.core.paths
    assert [path.exists() for path in (paths.container("c"), paths.bundle("c"), paths.exits / "c")] == [False] * 3
    assert world.core.registry.containers == {}
    assert world.container.removing


async def test_removal_of_an_infra_container(world: World) -> None:
    """It has no image; its end is not an event of its own."""
    world.container = world.add(infra=True, state=ContainerState.EXITED)
    await world.termination.remove(world.container)
    assert world.log == ["delete", *CLEARED, "remove cgroup"]


async def test_a_removal_that_fails_is_repeated(world: World) -> None:
    """What could not be removed is still known."""
    world.container = world.add(state=ContainerState.EXITED)
    world.delete_error = errors.Internal("busy")
    with pytest.raises(errors.Internal, match="busy"):
        await world.termination.remove(world.container)
    assert list(world.core.registry.containers) == ["c"]
    world.delete_error = None
    await world.termination.remove(world.container)
    assert world.core.registry.containers == {}


@pytest.mark.parametrize("delete_error", [None, errors.Internal("busy")])
async def test_undo(world: World, monkeypatch: pytest.MonkeyPatch, delete_error: Exception | None) -> None:
    """A creation that may go on is ended: its conmon, nobody else's, and what is in the cgroup; failures join the cause."""
    bundle = str(world.core.paths.bundle("c"))
    running = [
        (1, ["/usr/bin/conmon", "--bundle", bundle]),
        (2, ["/usr/bin/conmon", "--bundle", "/x"]),
        (3, ["ls", bundle]),
    ]
    monkeypatch.setattr(processes, "command_lines", lambda: running)
    monkeypatch.setattr(processes, "kill_with_descendants", lambda pid: world.log.append(f"kill {pid}"))
    world.container = world.add(state=ContainerState.CREATING, monitor=None, init=None)
    world.delete_error = delete_error
    cause = ValueError("no")
    await world.termination.undo(world.container, cause, timeout_seconds=10)
    assert world.container.removing and world.core.registry.containers == {}
    assert world.log[:3] == ["kill 1", "kill cgroup", "delete"]
    assert world.core.paths.container("c").exists() is (delete_error is not None)
    assert getattr(cause, "__notes__", []) == ([] if delete_error is None else ["undo: busy"])
