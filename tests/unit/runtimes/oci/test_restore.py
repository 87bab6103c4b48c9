"""What an engine makes of what an earlier one has left; processes, the OCI runtime and namespaces are not there, records are."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import processes
from runtimes.oci.lifecycle import ContainerState, SandboxState
from runtimes.oci.namespaces import SandboxNamespaces
from runtimes.oci.records import ContainerRecord, ProcessRef, SandboxRecord, raw
from runtimes.oci.restore import Restore

INIT, MONITOR = ProcessRef(pid=999_999_007, start_ticks=1), ProcessRef(pid=999_999_006, start_ticks=1)
CONFIG = raw(cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main")))


def container(name: str, state: ContainerState = ContainerState.RUNNING, **fields: Any) -> ContainerRecord:
    given = {"boot_id": "b", "sandbox_id": "s", "init": INIT, "monitor": MONITOR, "started_at_ns": 5, **fields}
    return ContainerRecord(
        id=name, state=state, created_at_ns=1, config=CONFIG, image_id="i", image_ref="i", cgroup=f"/{name}", **given
    )


def sandbox(name: str, state: SandboxState = SandboxState.READY, **fields: Any) -> SandboxRecord:
    config = raw(cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name=name, uid=name)))
    return SandboxRecord(
        id=name, state=state, boot_id="b", handler="runc", created_at_ns=1, config=config, network=True, **fields
    )


class Store:
    """The records of one kind on the disk, and directories without one."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.broken: list[str] = []
        self.saved: list[Any] = []

    def load(self) -> tuple[dict[str, Any], list[str]]:
        return self.records, self.broken

    def save(self, object_id: str, record: Any) -> None:
        self.saved.append(record)


class World:
    """The engine around `Restore`: what happened, in order."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.containers, self.sandboxes = Store(), Store()
        self.monitor_lives = self.intact = True
        self.exit_found: Callable[[Any], bool] = lambda found: False
        self.remove_error: Exception | None = None
        self.running: list[tuple[int, list[str]]] = []
        monkeypatch.setattr(processes, "is_alive", lambda process: process == MONITOR and self.monitor_lives)
        monkeypatch.setattr(processes, "send_signal", self.send_signal)
        monkeypatch.setattr(processes, "command_lines", lambda: self.running)
        monkeypatch.setattr(processes, "kill_with_descendants", lambda pid: self.log.append(f"kill {pid}"))
        monkeypatch.setattr(SandboxNamespaces, "intact", lambda namespaces: self.intact)
        monkeypatch.setattr(SandboxNamespaces, "release", lambda namespaces: self.log.append("release"))
        self.core = oci_core(
            root,
            container_records=self.containers,
            sandbox_records=self.sandboxes,
            program=SimpleNamespace(state=self.state, delete=self.delete),
            images=SimpleNamespace(remove_rootfs=self.remove_rootfs),
        )

    async def restore(self, *known: ContainerRecord | SandboxRecord) -> None:
        for record in known:
            store = self.sandboxes if isinstance(record, SandboxRecord) else self.containers
            store.records[record.id] = record
        await Restore(self.core, cast("Any", self), cast("Any", self)).run()

    def seen(self) -> dict[str, tuple[str, int, str]]:
        found = self.core.registry.containers
        return {name: (it.record.state.value, it.record.exit_code, it.record.reason) for name, it in found.items()}

    # processes, the OCI runtime, images

    def send_signal(self, process: ProcessRef, number: int) -> bool:
        assert (process, number) == (INIT, signal.SIGKILL)
        self.log.append("kill init")
        return True

    async def state(self, container_id: str) -> str:
        return "running"

    async def delete(self, container_id: str) -> None:
        self.log.append(f"delete {container_id}")

    async def remove_rootfs(self, directory: Path) -> None:
        self.log.append("remove rootfs")

    # termination

    def check_exit(self, found: Any) -> None:
        if self.exit_found(found):
            found.exited.set()

    def watch_monitor(self, found: Any) -> None:
        self.log.append(f"watch {found.id}")

    async def remove(self, found: Any) -> None:
        assert found.exited.is_set() and self.core.registry.containers[found.id] is found
        self.log.append(f"remove {found.id}")
        if self.remove_error is not None:
            raise self.remove_error
        self.core.registry.forget_container(found)

    # sandboxes

    async def abandon(self, found: Any) -> None:
        self.log.append(f"abandon {found.id}")
        self.core.registry.forget_sandbox(found)

    async def abandon_unknown(self, sandbox_id: str) -> None:
        self.log.append(f"abandon unknown {sandbox_id}")


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


async def test_what_lives_is_adopted(world: World) -> None:
    """Its monitor is watched again; what has ended stays so, and nothing is written."""
    created, ended = container("d", ContainerState.CREATED), container("e", ContainerState.EXITED, exit_code=3)
    refused = container("f", ContainerState.CREATED, create_error="no", monitor=None)
    await world.restore(sandbox("s"), container("c"), created, ended, refused)
    assert world.log == ["watch c", "watch d"]
    assert world.seen() == {
        "c": ("running", 0, ""),
        "d": ("created", 0, ""),
        "e": ("exited", 3, ""),
        "f": ("created", 0, ""),
    }
    found = world.core.registry.containers
    assert {name: it.exited.is_set() for name, it in found.items()} == {"c": False, "d": False, "e": True, "f": False}
    assert set(world.core.registry.sandboxes["s"].containers) == set(found)
    assert world.containers.saved == world.sandboxes.saved == []


async def test_what_ended_while_nobody_looked(world: World) -> None:
    """Its exit file is there: no monitor is needed for it."""
    world.exit_found = lambda found: found.id == "c"
    await world.restore(sandbox("s"), container("c"))
    assert world.log == []


@pytest.mark.parametrize("left", ["", "7"])
@pytest.mark.parametrize("fields", [{}, {"boot_id": "before"}, {"monitor": None}])
async def test_what_is_gone(world: World, fields: dict[str, Any], left: str) -> None:
    """A reboot, or a monitor that was killed: the container has ended, with the code that it left behind, else nobody knows.

    What may run without a monitor is killed; a pid of another boot is somebody else's.
    """
    world.monitor_lives = fields != {}
    if left:
        folder = world.core.paths.container("c")
        folder.mkdir()
        (folder / "exit").write_text(left)
    await world.restore(sandbox("s"), container("c", **fields))
    assert world.log == ([] if "boot_id" in fields else ["kill init"])
    assert world.seen() == {"c": ("exited", 7, "Error") if left else ("exited", 255, "Unknown")}
    assert world.core.registry.containers["c"].exited.is_set()
    assert [record.state for record in world.containers.saved] == [ContainerState.EXITED]


async def test_what_is_gone_without_a_process(world: World) -> None:
    """There is nothing to kill."""
    await world.restore(sandbox("s"), container("c", init=None, monitor=None))
    assert (world.log, world.seen()) == ([], {"c": ("exited", 255, "Unknown")})


async def test_what_was_half_made(world: World) -> None:
    """On its way in, in a sandbox that was, or in none: it goes, then its sandbox; what cannot be removed stops nobody."""
    world.remove_error = errors.Internal("busy")
    world.sandboxes.broken = ["y"]
    world.containers.broken = ["x"]
    await world.restore(
        *(sandbox("s"), sandbox("t", SandboxState.CREATING)),
        *(container("a", ContainerState.CREATING), container("b", sandbox_id="t"), container("c", sandbox_id="none")),
    )
    assert world.log == [
        *("remove a", "remove b", "remove c", "delete x", "remove rootfs", "abandon t", "abandon unknown y"),
    ]
    assert set(world.core.registry.sandboxes) == {"s"}


async def test_a_sandbox_without_its_namespaces(world: World) -> None:
    """A reboot took them: it is no longer ready and takes no containers; its network is still to be undone."""
    world.intact = False
    await world.restore(sandbox("s"), sandbox("t", SandboxState.NOTREADY))
    found = world.core.registry.sandboxes["s"]
    assert (found.record.state, found.record.network, found.closing) == (SandboxState.NOTREADY, True, True)
    assert [record.id for record in world.sandboxes.saved] == ["s"]


async def test_a_sandbox_that_is_whole(world: World) -> None:
    """It is as it was."""
    await world.restore(sandbox("s"))
    found = world.core.registry.sandboxes["s"]
    assert (found.record.state, found.closing, world.sandboxes.saved) == (SandboxState.READY, False, [])


async def test_monitors_of_nobody(world: World) -> None:
    """conmons with a bundle of this engine whose container is not known, and no other process."""
    bundles = world.core.paths.bundles
    for pid, command in enumerate(
        (
            f"/usr/bin/conmon --bundle {bundles}/c",
            f"/usr/bin/conmon --bundle {bundles}/gone",
            "/usr/bin/conmon --bundle /other/engine",
            f"/bin/ls --bundle {bundles}/gone",
            "/usr/bin/conmon --bundle",
            "/usr/bin/conmon --version",
        )
    ):
        world.running.append((pid, command.split()))
    await world.restore(sandbox("s"), container("c"))
    assert world.log == ["watch c", "kill 1"]


async def test_files_of_nobody(world: World) -> None:
    """Of what is not known nothing stays: bundles, exit files, pinned namespaces, and what only the OCI runtime knows."""
    paths = world.core.paths
    for folder in (paths.bundles, paths.exits, paths.pods, paths.runtime_root):
        folder.mkdir(exist_ok=True)
        for name in ("c", "s", "gone"):
            (folder / name).mkdir()
    (paths.runtime_root / "lock").touch()
    await world.restore(sandbox("s"), container("c"))
    left = {
        folder.name: sorted(path.name for path in folder.iterdir())
        for folder in (paths.bundles, paths.exits, paths.pods)
    }
    assert left == {paths.bundles.name: ["c"], paths.exits.name: ["c"], paths.pods.name: ["s"]}
    assert world.log.count("release") == 2
    assert sorted(line for line in world.log if line.startswith("delete")) == ["delete gone", "delete s"]
