"""What is remembered, told and matched."""

import asyncio
import os

import pytest
from msgspec.structs import replace

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.events import EventBus
from runtimes.linux.removal import remove_tree
from runtimes.oci import messages, records
from runtimes.oci.config import Paths
from runtimes.oci.entities import Container, Sandbox, SandboxRegistry
from runtimes.oci.exits import read_exit
from runtimes.oci.lifecycle import ContainerState, SandboxState
from runtimes.oci.merging import merged
from runtimes.oci.store import DiskSync, RecordStore


def sandbox_record(sandbox_id="s" * 64, name="pod"):
    config = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=name, uid="u", namespace="ns", attempt=2), labels={"app": name}
    )
    return records.SandboxRecord(
        id=sandbox_id,
        boot_id="b",
        handler="runc",
        created_at_ns=5,
        config=records.raw(config),
        state=SandboxState.READY,
    )


def container_record(container_id="c" * 64, sandbox_id="s" * 64, state=ContainerState.RUNNING, name="main"):
    config = cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=name),
        image=cri.ImageSpec(image="sha256:1", user_specified_image="web:1"),
        labels={"part": name},
    )
    return records.ContainerRecord(
        id=container_id,
        sandbox_id=sandbox_id,
        boot_id="b",
        created_at_ns=6,
        config=records.raw(config),
        image_id="sha256:1",
        image_ref="web@sha256:2",
        cgroup="/pod/c",
        state=state,
        started_at_ns=7,
        uid=1,
        gid=2,
        groups=(2, 3),
        init=records.ProcessRef(pid=1, start_ticks=2),
        resources=records.raw(cri.LinuxContainerResources(cpu_shares=9)),
    )


@pytest.fixture
async def store(tmp_path):
    disk = DiskSync(delay_seconds=0)
    yield RecordStore(tmp_path, records.ContainerRecord, disk), disk
    await disk.flush()


async def test_records_survive(store, tmp_path):
    """What is saved is loaded again, equal; an absent directory, a removed container, is no error."""
    kept, disk = store
    record = container_record()
    (tmp_path / record.id).mkdir()
    kept.save(record.id, record)
    kept.save("d" * 64, container_record("d" * 64))
    await disk.flush()
    assert kept.load() == ({record.id: record}, [])
    assert [path.name for path in (tmp_path / record.id).iterdir()] == ["state.json"]
    assert (tmp_path / record.id / "state.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [None, b"", b'{"id": "x', b"[]", b'{"id": 5}'])
async def test_torn_records_are_half_made(store, tmp_path, content):
    """A power cut may leave an empty or a torn file, or none."""
    kept, _ = store
    (tmp_path / "x").mkdir()
    if content is not None:
        (tmp_path / "x/state.json").write_bytes(content)
    assert kept.load() == ({}, ["x"])


async def test_records_of_a_damaged_disk(tmp_path):
    """Another's record, a configuration that is none, a folder in place of the file, a file in place of the folder: none is
    taken, and each can be removed."""
    kept = RecordStore(tmp_path, records.ContainerRecord, DiskSync(delay_seconds=0), records.check_container)
    for name in ("a", "b", "c", "good"):
        (tmp_path / name).mkdir()
    kept.save("good", container_record("good"))
    kept.save("a", container_record("z"))
    (tmp_path / "b/state.json").write_bytes(
        (tmp_path / "good/state.json")
        .read_bytes()
        .replace(b'"good"', b'"b"')
        .replace(b'"labels": {', b'"labels": 5, "x": {')
    )
    (tmp_path / "c/state.json").mkdir()
    (tmp_path / "d").touch()
    (tmp_path / "e").symlink_to("e")
    found, broken = kept.load()
    assert (list(found), broken) == (["good"], ["a", "b", "c", "d", "e"])
    for name in broken:
        remove_tree(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["good"]


def test_secrets_are_not_remembered():
    """The environment stays out of the record."""
    config = cri.ContainerConfig(command=["a"])
    config.envs.add(key="PASSWORD", value=b"secret")
    config.command.append("echo secret")
    config.args.append("secret")
    assert b"secret" not in bytes(records.raw(records.without_secrets(config)))
    assert config.envs[0].value == b"secret"


async def test_status_of_a_container(tmp_path):
    """Every field of the record, in the CRI's words."""
    container = Container.restored(container_record())
    assert messages.container_status(container) == cri.ContainerStatus(
        id="c" * 64,
        metadata=cri.ContainerMetadata(name="main"),
        state=cri.CONTAINER_RUNNING,
        created_at=6,
        started_at=7,
        image=cri.ImageSpec(image="web:1", user_specified_image="web:1"),
        image_ref="web@sha256:2",
        image_id="sha256:1",
        labels={"part": "main"},
        resources=cri.ContainerResources(linux=cri.LinuxContainerResources(cpu_shares=9)),
        user=cri.ContainerUser(linux=cri.LinuxContainerUser(uid=1, gid=2, supplemental_groups=(2, 3))),
    )


async def test_a_container_that_is_being_started(tmp_path):
    """It is CREATED until it runs."""
    status = messages.container_status(Container.restored(container_record(state=ContainerState.STARTING)))
    assert (status.state, status.started_at) == (cri.CONTAINER_CREATED, 0)


async def test_a_sandbox_whose_infra_container_died(tmp_path):
    """It is NOTREADY, and has no address to give."""
    record = replace(sandbox_record(), ips=("10.0.0.1", "fd00::1"), infra_id="i" * 64)
    sandbox = Sandbox.restored(record, Paths(tmp_path, tmp_path))
    infra = Container.restored(replace(container_record("i" * 64), infra=True))
    sandbox.containers["i" * 64] = infra
    status = messages.sandbox_status(sandbox)
    assert (status.state, status.network.ip, status.network.additional_ips[0].ip) == (0, "10.0.0.1", "fd00::1")
    infra.record = replace(infra.record, state=ContainerState.EXITED)
    status = messages.sandbox_status(sandbox)
    assert (status.state, status.network.ip) == (cri.SANDBOX_NOTREADY, "")
    assert sandbox.listed_containers == []


async def test_the_registry(tmp_path):
    """Ids and their unique prefixes; names are taken once; half made and infra containers are not found."""
    registry, paths = SandboxRegistry(), Paths(tmp_path, tmp_path)
    first, second = (Sandbox.restored(sandbox_record(letter * 64, letter), paths) for letter in "ab")
    registry.add_sandbox(first)
    registry.add_sandbox(second)
    with pytest.raises(errors.AlreadyExists, match="a" * 64):
        registry.add_sandbox(Sandbox.restored(sandbox_record("e" * 64, "a"), paths))
    assert registry.sandbox("aaa") is first
    for missing in ("", "f", "aab"):
        with pytest.raises(errors.NotFound):
            registry.sandbox(missing)
    one = Container.restored(container_record("1" * 64, first.id))
    half = Container.restored(container_record("12" + "0" * 62, first.id, ContainerState.CREATING, "half"))
    registry.add_container(first, one)
    registry.add_container(first, half)
    with pytest.raises(errors.AlreadyExists):
        registry.add_container(first, Container.restored(container_record("3" * 64, first.id)))
    assert registry.container("11") is one
    for missing in (half.id, "1"):
        with pytest.raises(errors.NotFound):
            registry.container(missing)
    registry.forget_container(one)
    assert list(first.containers) == [half.id]


async def test_events_begin_with_the_subscription():
    """Not with the first read; what happened before is not told."""
    bus = EventBus()
    bus.publish(cri.ContainerEventResponse(container_id="before"))
    listener = bus.subscribe()
    bus.publish(cri.ContainerEventResponse(container_id="after"))
    assert (await anext(listener)).container_id == "after"


async def test_a_slow_listener_is_cut_off():
    """Others are not held up; it is told to list again; a dropped one is forgotten."""
    bus = EventBus(queue_length=2)
    slow, fast = bus.subscribe(), bus.subscribe()
    seen = []
    for number in range(3):
        bus.publish(cri.ContainerEventResponse(container_id=str(number)))
        seen.append((await anext(fast)).container_id)
    assert seen == ["0", "1", "2"]
    for _ in range(2):
        with pytest.raises(errors.Unavailable, match="list again"):
            await anext(slow)
    del fast, slow
    assert not bus.has_listeners


async def test_the_end_of_the_engine_ends_subscriptions():
    """Whoever waits is told."""
    bus = EventBus()
    waiting = asyncio.create_task(anext(bus.subscribe()))
    await asyncio.sleep(0)
    bus.close()
    with pytest.raises(errors.Unavailable, match="stopping"):
        await waiting


@pytest.mark.parametrize(("content", "code"), [("0", 0), ("137\n", 137), ("-1", 255)])
def test_exit_files(tmp_path, content, code):
    """The code conmon wrote, and when; a code that it did not know is 255."""
    path = tmp_path / "exit"
    path.write_text(content)
    os.utime(path, ns=(0, 1234567890))
    assert read_exit(path) == (code, 1234567890)


def test_exit_files_that_are_none(tmp_path):
    """Absent, being written, or no text at all: not yet."""
    (tmp_path / "empty").write_text("")
    (tmp_path / "noise").write_bytes(b"\xff\xc3(")
    assert [read_exit(tmp_path / name) for name in ("none", "empty", "noise", ".")] == [None] * 4


async def test_merged_streams():
    """Everything of every stream, and then the end; an error of one ends all."""

    def source(*chunks):
        left = [*chunks, b""]

        async def read():
            await asyncio.sleep(0)
            chunk = left.pop(0)
            if isinstance(chunk, Exception):
                raise chunk
            return chunk

        return read

    found = [item async for item in merged({1: source(b"a", b"b", b"c"), 2: source(b"x")})]
    assert [chunk for number, chunk in found if number == 1] == [b"a", b"b", b"c"]
    assert [chunk for number, chunk in found if number == 2] == [b"x"]
    with pytest.raises(OSError, match="broken"):
        async for _ in merged({1: source(b"a", OSError("broken")), 2: source(b"x")}):
            pass
