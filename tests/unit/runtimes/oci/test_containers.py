"""How a container is created and started, step by step; conmon, the OCI runtime and images are not there, files are."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import bundles, conmon, transitions
from runtimes.oci.containers import Containers
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.images.contract import ImageConfig
from runtimes.oci.lifecycle import ContainerState, IllegalTransition
from runtimes.oci.records import ContainerRecord, SandboxRecord, raw
from runtimes.oci.users import User

REQUEST = cri.CreateContainerRequest(
    pod_sandbox_id="s",
    config=cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main"), image=cri.ImageSpec(image="web")),
)


class World:
    """The engine around `Containers`: what happened, in order. What may go wrong is an attribute."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.told: list[cri.ContainerEventResponse] = []
        self.full: Callable[[ContainerRecord], bool] = lambda record: False
        self.refusal = ""
        self.looked = 0  # whether a container that has just been made has ended already
        self.start_error: Exception | None = None
        self.while_starting: Callable[[], object] = lambda: None
        self.state = "stopped"
        self.go = asyncio.Event()
        self.go.set()
        monkeypatch.setattr(bundles, "write_bundle", self.write_bundle)
        monkeypatch.setattr(conmon, "launch", self.launch)
        image = SimpleNamespace(id="i", digests=("web@sha256:1",), config=ImageConfig())
        self.core = oci_core(
            root,
            container_records=self,
            bus=SimpleNamespace(has_listeners=True, publish=self.told.append),
            images=SimpleNamespace(resolve={"web": image}.get),
            traits=SimpleNamespace(
                conmon_runtime=lambda record: (Path("/bin/runc"), ()), start=self.start, holder=lambda sandbox: None
            ),
            program=SimpleNamespace(state=self.ask),
        )
        self.containers = Containers(self.core, self)  # type: ignore[arg-type]
        config = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="web", uid="u"))
        record = SandboxRecord(id="s", boot_id="b", handler="runc", created_at_ns=1, config=raw(config))
        self.sandbox = Sandbox.new(record, config, self.core.paths)
        self.sandbox.network.set_result(None)
        self.core.registry.add_sandbox(self.sandbox)

    # the store, the OCI runtime, conmon

    def save(self, object_id: str, record: ContainerRecord) -> None:
        if self.full(record):
            self.log.append(f"cannot save {record.state}")
            raise OSError(28, "No space left on device")
        self.log.append(f"save {record.state}")

    async def write_bundle(self, *_arguments: object) -> User:
        self.log.append("bundle")
        await self.go.wait()
        return User(uid=1, gid=2, groups=(2,))

    async def launch(self, monitor: conmon.Monitor, *, timeout_seconds: float) -> int:
        self.log.append("conmon")
        if self.refusal:
            raise conmon.ContainerRefused(self.refusal)
        return 999_999_999  # no such process

    async def start(self, record: ContainerRecord) -> None:
        self.log.append("start")
        self.while_starting()
        if self.start_error is not None:
            raise self.start_error

    async def ask(self, container_id: str) -> str:
        return self.state

    # the second half of a container's life

    def monitor_of(self, container: Container) -> None:
        return None

    def watch_monitor(self, container: Container) -> None:
        self.log.append("watch")

    def check_exit(self, container: Container) -> None:
        assert container.record.state is ContainerState.CREATED
        self.looked += 1

    def started(self, container: Container) -> None:
        self.log.append("started")

    async def start_failed(self, container: Container, message: str) -> None:
        self.log.append(f"failed: {message}")

    async def undo(self, container: Container, cause: BaseException, *, timeout_seconds: float) -> None:
        self.log.append(f"undo {container.record.state}")
        self.core.registry.forget_container(container)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


MADE = ["save creating", "bundle", "conmon", "save created", "watch"]


async def test_each_step_is_written_down(world: World) -> None:
    """Its id before anything is made, its processes when there are some, its start before it begins and when it is done."""
    container = await world.containers.create(REQUEST)
    assert (world.log, world.looked) == (MADE, 1)
    record = container.record
    assert (record.state, record.uid, record.gid, record.groups) == (ContainerState.CREATED, 1, 2, (2,))
    world.log.clear()
    await world.containers.start(container)
    assert world.log == ["save starting", "start", "save running", "started"]
    with pytest.raises(errors.WrongState, match="is in state running, not created"):
        await world.containers.start(container)


async def test_a_repeated_request_joins(world: World) -> None:
    """One container for all who ask for the same at the same time; afterwards its name is taken."""
    world.go.clear()
    same = [asyncio.create_task(world.containers.create(REQUEST)) for _ in range(3)]
    while "bundle" not in world.log:  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)
    world.go.set()
    found = await asyncio.gather(*same)
    assert found == [found[0]] * 3
    assert world.log == MADE
    with pytest.raises(errors.AlreadyExists, match=found[0].id):
        await world.containers.create(REQUEST)


async def test_a_container_that_is_refused(world: World) -> None:
    """It is created all the same, and its start says why."""
    world.refusal = "exec format error"
    container = await world.containers.create(REQUEST)
    assert container.record.create_error == "OCI runtime create failed: exec format error"
    assert world.log == MADE[:-1]
    with pytest.raises(errors.Internal, match="exec format error") as caught:
        await world.containers.start(container)
    assert caught.value.reason == "StartError"
    assert world.log[-1] == "failed: OCI runtime create failed: exec format error"


async def test_a_container_that_cannot_be_recorded_is_undone(world: World) -> None:
    """A disk that is full when the processes are there: memory never called it created."""
    world.full = lambda record: record.state is ContainerState.CREATED
    with pytest.raises(OSError, match="No space left"):
        await world.containers.create(REQUEST)
    assert world.log == [*MADE[:-2], "cannot save created", "undo creating"]
    assert world.core.registry.containers == {}


async def test_a_start_that_fails(world: World) -> None:
    """What the runtime says decides: one that runs all the same has been started."""
    container = await world.containers.create(REQUEST)
    world.log.clear()
    world.start_error, world.state = errors.Internal("no such file"), "running"
    await world.containers.start(container)
    assert world.log == ["save starting", "start", "save running", "started"]
    other = cri.CreateContainerRequest()
    other.CopyFrom(REQUEST)
    other.config.metadata.attempt = 1
    container = await world.containers.create(other)
    world.log.clear()
    world.state = "stopped"
    with pytest.raises(errors.Internal, match="no such file"):
        await world.containers.start(container)
    assert world.log == ["save starting", "start", "failed: no such file"]


async def test_a_container_that_ends_while_it_is_started(world: World) -> None:
    """Its monitor died, say: it has exited and stays so, whatever the runtime answers afterwards."""
    container = await world.containers.create(REQUEST)
    world.while_starting = lambda: world.core.note_container(
        container, lambda record: transitions.exited(record, code=255, finished_at_ns=1, reason="Error")
    )
    with pytest.raises(IllegalTransition, match=f"container {container.id} is exited: it cannot be started"):
        await world.containers.start(container)
    assert container.record.state is ContainerState.EXITED


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda request: request.config.metadata.Clear(), errors.InvalidArgument),
        (lambda request: request.config.image.Clear(), errors.NotFound),
        (lambda request: setattr(request, "pod_sandbox_id", "x"), errors.NotFound),
    ],
)
async def test_requests_that_cannot_be(world: World, change: Callable[[Any], object], kind: type[Exception]) -> None:
    """Nothing is begun for them."""
    request = cri.CreateContainerRequest()
    request.CopyFrom(REQUEST)
    change(request)
    with pytest.raises(kind):
        await world.containers.create(request)
    world.sandbox.closing = True
    with pytest.raises(errors.WrongState, match="sandbox s is not ready"):
        await world.containers.create(REQUEST)
    assert world.log == []


async def test_what_is_told_of_a_container(world: World) -> None:
    """Created, then started; the network of its sandbox comes first, and is the reason when it failed."""
    container = await world.containers.create(REQUEST)
    world.sandbox.network = asyncio.get_running_loop().create_future()
    world.sandbox.network.set_exception(errors.Internal("no address left"))
    with pytest.raises(errors.WrongState, match="the network of sandbox s failed: no address left"):
        await world.containers.start(container)
    world.sandbox.network = asyncio.get_running_loop().create_future()
    world.sandbox.network.set_result(None)
    await world.containers.start(container)
    assert [(event.container_id, event.container_event_type) for event in world.told] == [
        (container.id, cri.CONTAINER_CREATED_EVENT),
        (container.id, cri.CONTAINER_STARTED_EVENT),
    ]


@pytest.mark.parametrize(("log_path", "directory"), [("0.log", "/logs"), ("0.log", ""), ("", "/logs")])
async def test_where_its_log_is(world: World, log_path: str, directory: str) -> None:
    """In the sandbox's folder, where both are named; else there is none."""
    world.sandbox.config.log_directory = directory
    request = cri.CreateContainerRequest()
    request.CopyFrom(REQUEST)
    request.config.log_path = log_path
    container = await world.containers.create(request)
    assert container.record.log_path == ("/logs/0.log" if log_path and directory else "")
