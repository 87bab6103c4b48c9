"""The disk before memory: what cannot be written down has not been decided; what has happened has happened."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes.oci import records, transitions
from runtimes.oci.entities import Container, Sandbox
from runtimes.oci.lifecycle import ContainerState, SandboxState


def container(state: ContainerState) -> Container:
    config = cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main"))
    record = records.ContainerRecord(
        id="c" * 64,
        sandbox_id="s" * 64,
        boot_id="b",
        created_at_ns=6,
        config=records.raw(config),
        image_id="i",
        image_ref="i",
        cgroup="/c",
        state=state,
    )
    return Container.restored(record)


def sandbox(core: Any, state: SandboxState) -> Sandbox:
    config = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="web", uid="u", namespace="shop"))
    record = records.SandboxRecord(
        id="s" * 64, boot_id="b", handler="runc", created_at_ns=5, config=records.raw(config), state=state
    )
    return Sandbox.restored(record, core.paths)


async def test_what_cannot_be_written_is_not_so(tmp_path: Path) -> None:
    """A store that fails: the error comes out and memory is what it was, for containers and sandboxes."""
    core = oci_core(tmp_path)
    core.container_records.full = core.sandbox_records.full = True
    one, pod = container(ContainerState.CREATED), sandbox(core, SandboxState.CREATING)
    before = (one.record, pod.record)
    with pytest.raises(OSError, match="No space left"):
        core.update_container(one, lambda record: transitions.start_begun(record, 5))
    with pytest.raises(OSError, match="No space left"):
        core.update_sandbox(pod, lambda record: transitions.ready(record, ()))
    assert (one.record, pod.record) == before


async def test_the_disk_has_it_first(tmp_path: Path) -> None:
    """When the record is written, memory still shows the one before it; then both have the same."""
    core = oci_core(tmp_path)
    one = container(ContainerState.CREATED)
    seen: list[tuple[ContainerState, ContainerState]] = []
    save = core.container_records.save

    def watched(object_id: str, record: records.ContainerRecord) -> None:
        seen.append((record.state, one.record.state))
        save(object_id, record)

    core.container_records.save = watched
    core.update_container(one, lambda record: transitions.start_begun(record, 5))
    assert seen == [(ContainerState.STARTING, ContainerState.CREATED)]
    assert core.container_records.saved == [one.record]
    assert one.record.state is ContainerState.STARTING


async def test_what_happened_is_so_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An end that cannot be recorded is an end; the log says what the disk does not know."""
    core = oci_core(tmp_path)
    core.container_records.full = core.sandbox_records.full = True
    one, pod = container(ContainerState.STARTING), sandbox(core, SandboxState.READY)
    core.note_container(one, transitions.started)
    core.note_sandbox(pod, transitions.stopped)
    assert (one.record.state, pod.record.state) == (ContainerState.RUNNING, SandboxState.NOTREADY)
    assert [line.split(", which")[0] for line in caplog.messages] == [
        f"container {'c' * 64} is running",
        f"sandbox {'s' * 64} is notready",
    ]


async def test_a_transition_that_is_none_changes_nothing(tmp_path: Path) -> None:
    """It is refused before anything is written."""
    core = oci_core(tmp_path)
    one = container(ContainerState.EXITED)
    with pytest.raises(Exception, match="is exited: it cannot be started"):
        core.note_container(one, transitions.started)
    assert (core.container_records.saved, one.record.state) == ([], ContainerState.EXITED)


def test_records_are_changed_nowhere_else() -> None:
    """They are values: no part of the engine can change one behind the disk's back."""
    one = container(ContainerState.CREATED)
    with pytest.raises(AttributeError):
        one.record.state = ContainerState.RUNNING  # type: ignore[misc]
    engine = Path(records.__file__).parent
    setters = [path.name for path in engine.rglob("*.py") if ".record = " in path.read_text()]
    assert setters == ["core.py"]


async def test_entities_show_their_state(tmp_path: Path) -> None:
    """In logs and debuggers: who it is, and how far it is."""
    core = oci_core(tmp_path)
    one, pod = container(ContainerState.RUNNING), sandbox(core, SandboxState.READY)
    assert repr(one) == "<Container cccccccccccc 'main' running>"
    assert repr(pod) == "<Sandbox ssssssssssss shop/web ready>"
    one.removing = pod.closing = True
    one.record = replace(one.record, state=ContainerState.EXITED)
    assert (repr(one), repr(pod)) == (
        "<Container cccccccccccc 'main' exited removing>",
        "<Sandbox ssssssssssss shop/web ready closing>",
    )
