"""Containers that were made and never started leave no trace that could count as a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oci_core import oci_core

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.oci import records
from runtimes.oci.containers import Containers
from runtimes.oci.entities import Container
from runtimes.oci.lifecycle import ContainerState
from runtimes.oci.restore import Restore
from runtimes.oci.termination import Termination


def made(tmp_path: Path, **fields: Any) -> Container:
    log = tmp_path / "0.log"
    log.touch()
    record = records.ContainerRecord(
        id="c",
        sandbox_id="s",
        boot_id="b",
        created_at_ns=6,
        config=records.raw(cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main"))),
        image_id="i",
        image_ref="i",
        cgroup="/c",
        log_path=str(log),
        **fields,
    )
    return Container.restored(record)


def core(tmp_path: Path, state: str = "") -> Any:
    async def ask(container_id: str) -> str:
        return state

    return oci_core(tmp_path, program=SimpleNamespace(state=ask))


@pytest.mark.parametrize(
    ("state", "seen"), [("created", ("created", 0)), ("running", ("running", 7)), ("stopped", ("running", 7))]
)
async def test_a_start_that_was_cut_off(tmp_path: Path, state: str, seen: tuple[str, int]) -> None:
    """What the runtime still calls created has not run: its end, when it makes way, is not the end of a run."""
    container = made(tmp_path, state=ContainerState.STARTING, started_at_ns=7)
    parts = core(tmp_path, state)
    parts.registry.sandboxes["s"] = SimpleNamespace(containers={})
    termination = SimpleNamespace(check_exit=lambda found: found.exited.set())
    await Restore(parts, None, termination)._adopt(container)  # type: ignore[arg-type]
    assert (container.record.state, container.record.started_at_ns) == seen


@pytest.mark.parametrize(("started_at_ns", "kept"), [(0, False), (7, True)])
async def test_the_log_of_what_never_ran_goes(tmp_path: Path, started_at_ns: int, kept: bool) -> None:
    """The number of the newest log is the restart count's last resort: one that nothing was ever written to must not be it."""
    container = made(tmp_path, state=ContainerState.CREATED, started_at_ns=started_at_ns)
    Termination(core(tmp_path))._finish(container, 137, 9)
    assert (tmp_path / "0.log").exists() is kept


def test_a_start_that_cannot_be_recorded_does_not_begin(tmp_path: Path) -> None:
    """The container is as it was before, and can be started or removed: not stuck in its start."""
    container, parts = made(tmp_path, state=ContainerState.CREATED), core(tmp_path)
    parts.container_records.full = True
    with pytest.raises(errors.Internal, match="cannot be recorded"):
        Containers(parts, Termination(parts))._begin_start(container)
    assert (container.record.state, container.record.started_at_ns) == ("created", 0)


async def test_an_end_that_cannot_be_recorded_is_told_all_the_same(tmp_path: Path) -> None:
    """Who waits for the exit hears of it; the exit file is still there for the next agent."""
    container, parts = made(tmp_path, state=ContainerState.RUNNING, started_at_ns=7), core(tmp_path)
    parts.container_records.full = True
    Termination(parts)._finish(container, 3, 9)
    assert container.exited.is_set()
    assert (container.record.state, container.record.exit_code) == ("exited", 3)
