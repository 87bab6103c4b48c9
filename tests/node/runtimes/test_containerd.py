"""`runtimes.cri` before a real containerd: its events, and a daemon that is killed, hangs, and comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from built_in_runtimes import containerd_at
from components import needs
from containerd_under_test import Containerd, containerd

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.cri import changes
from runtimes.testing.implementation import started

pytestmark = [
    pytest.mark.node,
    pytest.mark.xdist_group("runtimes-containerd"),
    needs("containerd"),
]

KINDS = cri.ContainerEventType


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, image_archive: Path) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("c"), image_archive) as made:
        yield made


@pytest.fixture
async def subject(daemon: Containerd, tmp_path: Path, image_store: Path) -> AsyncIterator[Any]:
    async with started(containerd_at(daemon.endpoint), tmp_path, image_store) as made:
        yield made


@pytest.fixture
def only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look at the lists but those that containerd's own messages ask for: whatever else is told, nobody polled."""
    monkeypatch.setattr(changes, "_LOOKS_UNTIL_SETTLED", -1)
    monkeypatch.setattr(changes, "SHORTEST_SECONDS", 3600.0)
    monkeypatch.setattr(changes, "LONGEST_SECONDS", 3600.0)
    monkeypatch.setattr(changes, "TOLD_LONGEST_SECONDS", 3600.0)


async def seen(events: Any, container_id: str, kind: str) -> Any:
    """The event of that container, sooner or later."""
    async with asyncio.timeout(30):
        async for event in events:
            if (event.container_id, KINDS.Name(event.container_event_type)) == (
                container_id,
                f"CONTAINER_{kind}_EVENT",
            ):
                return event
    raise AssertionError("the events ended")


@pytest.mark.usefixtures("only_when_told")
async def test_an_exit_is_told_by_containerd(subject: Any) -> None:
    """Every stage of a container's life arrives without a single poll; the exit's event has the exit code."""
    events = subject.service.events()
    pod = await subject.run_sandbox()
    await seen(events, pod[0], "STARTED")
    for number in range(3):
        config = subject.container_config(f"sleep 0.2; exit {number}", name=f"c{number}")
        container_id = await subject.launch(pod, config)
        await seen(events, container_id, "STARTED")
        stopped = await seen(events, container_id, "STOPPED")
        status = next(entry for entry in stopped.containers_statuses if entry.id == container_id)
        assert status.exit_code == number
        await subject.service.remove_container(cri.RemoveContainerRequest(container_id=container_id))
        await seen(events, container_id, "DELETED")
    await subject.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pod[0]))
    await seen(events, pod[0], "STOPPED")


@pytest.mark.usefixtures("only_when_told")
async def test_a_kill_by_the_kernel_is_told(subject: Any) -> None:
    """Whichever comes first, the exit or its reason: the listener hears of a status that says OOMKilled."""
    events = subject.service.events()
    pod = await subject.run_sandbox()
    config = subject.container_config("exec tail /dev/zero")
    config.linux.resources.memory_limit_in_bytes = 20 * 1024 * 1024
    container_id = await subject.launch(pod, config)
    reasons: list[str] = []
    while "OOMKilled" not in reasons:
        stopped = await seen(events, container_id, "STOPPED")
        reasons += [status.reason for status in stopped.containers_statuses if status.id == container_id]


async def test_probes_are_no_events(subject: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs in a container ends with an event of containerd's, after which nobody looks."""
    looks = 0
    look = changes.Changes._look

    async def counted(self: changes.Changes) -> Any:
        nonlocal looks
        looks += 1
        return await look(self)

    monkeypatch.setattr(changes, "_LOOKS_UNTIL_SETTLED", -1)
    monkeypatch.setattr(changes.Changes, "_look", counted)
    pod = await subject.run_sandbox()
    container_id = await subject.launch(pod, subject.container_config())
    events = subject.service.events()
    await seen(events, container_id, "STARTED")
    await asyncio.sleep(0.3)  # what was before has been seen by now
    before = looks
    for _ in range(5):
        await subject.exec(container_id, "true")
    assert looks <= before + 1, "at most the look of the interval"


async def test_killed_and_back(daemon: Containerd, subject: Any) -> None:
    """kill -9: calls and events are Unavailable, the containers run on. A daemon with another pid on the same socket is found
    by itself; new events begin with what is there, and an exit during the outage is told."""
    service = subject.service
    pod = await subject.run_sandbox()
    stays = await subject.launch(pod, subject.container_config(name="stays"))
    goes = await subject.launch(pod, subject.container_config("sleep 1; exit 9", name="goes"))
    events = service.events()
    await seen(events, goes, "STARTED")
    assert daemon.process is not None
    first = daemon.process.pid
    daemon.kill()
    with pytest.raises(errors.Unavailable):
        await seen(events, goes, "NEVER")
    with pytest.raises(errors.Unavailable):
        await service.version(cri.VersionRequest())
    await asyncio.sleep(1.0)  # "goes" ends while nobody looks
    await asyncio.to_thread(daemon.start)
    assert daemon.process.pid != first

    async def answers() -> Any:
        try:
            return await service.version(cri.VersionRequest())
        except errors.Unavailable:
            return None

    assert (await subject.eventually(answers)).runtime_name == "containerd"
    events = service.events()
    stopped = await seen(events, goes, "STOPPED")
    codes = {status.id: (status.state, status.exit_code) for status in stopped.containers_statuses}
    assert codes == {stays: (cri.CONTAINER_RUNNING, 0), goes: (cri.CONTAINER_EXITED, 9)}
    await service.stop_container(cri.StopContainerRequest(container_id=stays, timeout=0))
    await seen(events, stays, "STOPPED")


async def test_a_daemon_that_hangs(daemon: Containerd, subject: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process takes connections and never answers: calls time out, and work again when it goes on."""
    monkeypatch.setattr("runtimes.deadlines.DEFAULT_SECONDS", 0.5)
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, daemon.process.pid, os.WSTOPPED)  # all of its threads
    try:
        with pytest.raises(errors.Timeout):
            await subject.service.status(cri.StatusRequest())
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)
    monkeypatch.undo()
    status = await subject.service.status(cri.StatusRequest())
    assert {condition.type: condition.status for condition in status.status.conditions}["RuntimeReady"]


async def test_no_network_configuration(daemon: Containerd, subject: Any) -> None:
    """Without a CNI file containerd says NetworkReady false, with the reason that the node's condition repeats; sandboxes fail
    with a clear message; with the file back it is ready again."""

    async def network() -> Any:
        answer = await subject.service.status(cri.StatusRequest())
        return next(condition for condition in answer.status.conditions if condition.type == "NetworkReady")

    async def is_ready(wanted: bool) -> Any:
        found = await network()
        return found if found.status is wanted else None

    configuration = daemon.directory / "cni" / "10-test.conflist"
    text = configuration.read_text()
    configuration.unlink()
    try:
        condition = await subject.eventually(lambda: is_ready(False))
        assert (condition.reason, "cni" in condition.message.lower()) == ("NetworkPluginNotReady", True)
        with pytest.raises(errors.RuntimeFault, match=r"(?i)cni"):
            await subject.run_sandbox()
    finally:
        configuration.write_text(text)
    await subject.eventually(lambda: is_ready(True))
    await subject.run_sandbox(subject.sandbox_config("again"))
