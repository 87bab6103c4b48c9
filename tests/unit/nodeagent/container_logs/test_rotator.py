"""Rotating the logs of running containers, with a runtime that writes them."""

import asyncio
import gzip
import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent.container_logs import packing
from nodeagent.container_logs import rotator as rotator_module
from nodeagent.container_logs.folder import LogFolder
from nodeagent.container_logs.rotator import LogLimits, LogRotator
from proto import cri_pb2 as cri
from runtimes.errors import Internal, Timeout, Unavailable, WrongState
from runtimes.kube.labels import LABEL_POD_UID

START = datetime(2026, 1, 2, 3, 4, 5)
LIMITS = LogLimits(max_bytes=100, max_files=4, workers=1, interval_seconds=10.0)


class WritingRuntime:
    """Holds containers with their logs open, as a monitor does. `fault`: what reopening answers."""

    def __init__(self, logs_dir: Path) -> None:
        self.logs_dir = logs_dir
        self.files: dict[str, int] = {}
        self.paths: dict[str, Path] = {}
        self.fault: Exception | None = None
        self.obeys = True
        self.reopened: list[str] = []
        self.asked: list[str] = []

    def run(self, container_id: str, path: Path | None = None) -> Path:
        path = path or self.logs_dir / f"default_{container_id}_uid" / "main" / "0.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.paths[container_id] = path
        self.files[container_id] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return path

    def write(self, container_id: str, text: str) -> None:
        os.write(self.files[container_id], text.encode())

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        assert request.filter.state.state == cri.CONTAINER_RUNNING
        if isinstance(self.fault, Unavailable):
            raise self.fault
        items = [cri.Container(id=item, labels={LABEL_POD_UID: "uid"}) for item in self.paths]
        return cri.ListContainersResponse(containers=[*items, cri.Container(id="somebody-else's")])

    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        self.asked.append(request.container_id)
        path = str(self.paths[request.container_id])
        return cri.ContainerStatusResponse(status=cri.ContainerStatus(log_path=path))

    async def reopen_container_log(self, request: cri.ReopenContainerLogRequest) -> cri.ReopenContainerLogResponse:
        found = request.container_id
        self.reopened.append(found)
        if self.obeys:
            os.close(self.files[found])
            self.files[found] = os.open(self.paths[found], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        if self.fault is not None:
            raise self.fault
        return cri.ReopenContainerLogResponse()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[WritingRuntime]:
    made = WritingRuntime(tmp_path / "pods")
    made.logs_dir.mkdir()
    yield made
    for fd in made.files.values():
        os.close(fd)


@pytest.fixture
def rotator(runtime: WritingRuntime) -> LogRotator:
    """Its clock is a second later at every look."""
    times = (START + timedelta(seconds=number) for number in range(100))
    found: Any = SimpleNamespace(handler="fake", service=runtime)
    return LogRotator([found], runtime.logs_dir, LIMITS, now=lambda: next(times))


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        for path in sorted(folder.iterdir())
    }


async def test_in_bounds(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """A log of the limit's size is renamed and begun again; older ones are packed up, the oldest go; small ones stay."""
    path, small = runtime.run("a"), runtime.run("b")
    runtime.write("b", "y" * 99)
    for number in range(5):
        runtime.write("a", f"{number}" * 100)
        await rotator.look()
    assert contents(path.parent) == {
        "0.log": "",
        "0.log.20260102-030407.gz": "2" * 100,
        "0.log.20260102-030408.gz": "3" * 100,
        "0.log.20260102-030409": "4" * 100,
    }
    assert contents(small.parent) == {"0.log": "y" * 99}
    assert runtime.asked == ["a", "b"], "where a log is, is asked once"


async def test_a_packed_log_keeps_time_and_mode(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """By its time a lagging reader knows it again."""
    path = runtime.run("a")
    path.chmod(0o640)
    runtime.write("a", "x" * 100)
    os.utime(path, ns=(1_000_000_001, 2_000_000_002))
    await rotator.look()
    runtime.write("a", "x" * 100)
    await rotator.look()
    found = path.with_name("0.log.20260102-030405.gz").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (2_000_000_002, 0o640)


@pytest.mark.parametrize("fault", [WrongState("not running"), Internal("cannot")])
async def test_a_refusal_keeps_the_log(runtime: WritingRuntime, rotator: LogRotator, fault: Exception) -> None:
    """What the runtime does not begin again keeps its name."""
    path = runtime.run("a")
    runtime.write("a", "x" * 100)
    runtime.fault, runtime.obeys = fault, False
    await rotator.look()
    assert contents(path.parent) == {"0.log": "x" * 100}


async def test_a_late_answer_is_not_overwritten(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """After a deadline the runtime may yet begin the new log: nothing is put in its place, and the next look asks again."""
    path = runtime.run("a")
    runtime.write("a", "x" * 100)
    runtime.fault, runtime.obeys = Timeout("too slow"), False
    await rotator.look()
    assert contents(path.parent) == {"0.log.20260102-030405": "x" * 100}
    runtime.fault, runtime.obeys = None, True
    await rotator.look()
    assert contents(path.parent) == {"0.log": "", "0.log.20260102-030405": "x" * 100}
    runtime.fault = Internal("said no, and had begun a new one")
    runtime.write("a", "z" * 100)
    await rotator.look()
    assert contents(path.parent)["0.log"] == ""


async def test_a_missing_log_is_begun(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """An agent killed between rename and reopen leaves no live log: the next look has one made."""
    path = runtime.run("a")
    runtime.write("a", "x")
    path.rename(path.with_name("0.log.20260101-000000"))
    await rotator.look()
    runtime.write("a", "y")
    assert contents(path.parent) == {"0.log": "y", "0.log.20260101-000000": "x"}


async def test_what_is_written_is_not_packed(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """A rotated file that the runtime still writes to stays as it is."""
    path = runtime.run("a")
    runtime.write("a", "x" * 100)
    other = path.with_name("0.log.20260101-000000")
    other.write_text("half")
    with other.open("a") as file:
        await rotator.look()
        file.write(" whole")
    assert contents(path.parent)["0.log.20260101-000000"] == "half whole"


async def test_a_full_disk(runtime: WritingRuntime, rotator: LogRotator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without space for the packed file the original stays, no rest is left, and the live log is rotated all the same."""
    path = runtime.run("a")
    path.with_name("0.log.20260101-000000").write_text("old" * 100)
    runtime.write("a", "x" * 100)

    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "_write_all", full)
    await rotator.look()
    assert contents(path.parent) == {
        "0.log": "",
        "0.log.20260101-000000": "old" * 100,
        "0.log.20260102-030405": "x" * 100,
    }


async def test_links_lead_nowhere(runtime: WritingRuntime, rotator: LogRotator, tmp_path: Path) -> None:
    """A pod that may write to the log folders gets nothing packed up, renamed or removed outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0.log").write_text("o" * 100)
    (outside / "secret").write_text("s" * 100)
    before = contents(outside)
    linked_folder = runtime.run("a", runtime.logs_dir / "x" / "main" / "0.log")
    linked_folder.unlink()
    linked_folder.parent.rmdir()
    linked_folder.parent.symlink_to(outside)
    linked_log = runtime.run("b")
    linked_log.unlink()
    linked_log.symlink_to(outside / "secret")
    elsewhere = runtime.run("c", outside / "0.log")
    dotted = runtime.run("d", runtime.logs_dir / ".." / "outside" / "0.log")
    rotated_link = runtime.run("e")
    rotated_link.with_name("0.log.20260101-000000").symlink_to(outside / "secret")
    runtime.write("e", "x" * 100)
    await rotator.look()
    assert contents(outside) == before and linked_log.is_symlink() and elsewhere.exists() and dotted.exists()
    assert rotated_link.with_name("0.log.20260101-000000").is_symlink()
    assert rotated_link.with_name("0.log.20260102-030405").read_text() == "x" * 100
    assert runtime.reopened == ["e"]


async def test_a_silent_runtime(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """A runtime that does not answer stops nothing."""
    runtime.fault = Unavailable("gone")
    await rotator.look()
    assert runtime.reopened == []


def flood(runtime: WritingRuntime, path: Path, count: int) -> None:
    for _ in range(count):
        runtime.write("a", "2026-01-02T03:04:05.000000006Z stdout F " + "x" * 9 + "\n")


async def test_a_flood_is_cut(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """A log that is far over all its bounds when somebody looks keeps what it may, and says what is missing."""
    path = runtime.run("a")
    flood(runtime, path, 1000)
    await rotator.look()
    found = contents(path.parent)
    rotated = found.pop("0.log.20260102-030405")
    assert found == {"0.log": ""}
    assert rotated.startswith("2026-01-02T03:04:05.000000006Z stdout F xxxxxxxxx\n" * 2)
    assert "49900 bytes of this log are cut here" in rotated and len(rotated) < 400


async def test_what_cannot_be_rotated_does_not_grow_for_ever(runtime: WritingRuntime, rotator: LogRotator) -> None:
    """A runtime that refuses keeps its log, cut."""
    path = runtime.run("a")
    runtime.fault, runtime.obeys = Internal("cannot"), False
    flood(runtime, path, 1000)
    await rotator.look()
    assert list(contents(path.parent)) == ["0.log"] and path.stat().st_size < 400
    flood(runtime, path, 1)
    assert path.read_text().endswith(
        " are cut here: it was written faster than it can be kept]\n"
        + "2026-01-02T03:04:05.000000006Z stdout F xxxxxxxxx\n"
    )


async def test_a_full_disk_is_made_room_on(
    runtime: WritingRuntime, rotator: LogRotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for a new log, because this one took it: it is cut, and then rotated."""
    path = runtime.run("a")
    flood(runtime, path, 1000)
    monkeypatch.setattr(rotator_module, "_has_room", lambda folder: path.stat().st_size < 1000)
    await rotator.look()
    found = contents(path.parent)
    assert found["0.log"] == "" and len(found["0.log.20260102-030405"]) < 400


async def test_a_flood_is_seen_between_two_looks(runtime: WritingRuntime) -> None:
    """Known logs are measured again before the fastest gets to its bound; at rest once a second, and never without a pause.

    Who is silent for a moment, or was just rotated, is still taken for fast.
    """
    found: Any = SimpleNamespace(handler="fake", service=runtime)
    rotator = LogRotator([found], runtime.logs_dir, LIMITS)
    path = runtime.run("a")
    await rotator._list()
    assert rotator._measure(1.0) == ([], 1.0)
    runtime.write("a", "x" * 80)
    assert rotator._measure(1.0) == ([], 0.25)
    assert [rotator._measure(1.0) for _ in range(2)] == [([], 0.5), ([], 1.0)]
    runtime.write("a", "x" * 10_000)
    due, pause = rotator._measure(1.0)
    assert ([item.container_id for item in due], pause) == (["a"], 0.1)
    path.write_text("")
    assert rotator._measure(0.1) == ([], 0.1)
    assert [rotator._measure(0.1) for _ in range(10)][-1] == ([], 1.0)


async def test_a_node_at_rest_is_not_looked_at(runtime: WritingRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks no log is measured until the disk has lost a log's worth of space; then the flood is found at once."""
    found: Any = SimpleNamespace(handler="fake", service=runtime)
    limits = LogLimits(max_bytes=100, max_files=4, workers=1, interval_seconds=3600)
    monkeypatch.setattr("nodeagent.container_logs.rotator.MEASURE_SECONDS", 0.005)
    rotator = LogRotator([found], runtime.logs_dir, limits)
    free = iter([1000, 950, 990, 1050, 960, *[950] * 1000])
    seen: list[int] = []

    def free_bytes() -> int:
        seen.append(next(free))
        return seen[-1]

    measured: list[int] = []
    real = rotator._measure

    def measure(elapsed_seconds: float) -> Any:
        measured.append(len(seen))
        return real(elapsed_seconds)

    monkeypatch.setattr(rotator, "_free_bytes", free_bytes)
    monkeypatch.setattr(rotator, "_measure", measure)
    path = runtime.run("a")
    runtime.write("a", "x" * 100)
    running = asyncio.create_task(rotator.run())
    try:
        while not runtime.reopened:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert (seen[:6], measured[0]) == ([1000, 950, 990, 1050, 960, 950], 6), "what was freed meanwhile counts"
        assert path.read_text() == ""
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_only_what_was_rotated_is_packed(
    runtime: WritingRuntime, rotator: LogRotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders are read for old files once after a start, and after a rotation; what cannot be packed yet is tried again."""
    opened: list[str] = []
    real = LogRotator._pack_log
    monkeypatch.setattr(
        LogRotator, "_pack_log", lambda self, item: opened.append(item.container_id) or real(self, item)
    )
    path, _ = runtime.run("a"), runtime.run("b")
    held = path.with_name("0.log.20260101-000000")
    for name in (held, path.with_name("0.log.20260101-000001")):
        name.write_text("old")
    with held.open("a"):
        await rotator.look()
        await rotator.look()
    assert opened == ["a", "b", "a"], "a's oldest file was still written to"
    await rotator.look()
    await rotator.look()
    assert opened == ["a", "b", "a", "a"]
    runtime.write("b", "y" * 100)
    await rotator.look()
    assert opened == ["a", "b", "a", "a", "b"]


async def test_packing_does_not_hold_rotation_up(runtime: WritingRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an old file is packed, which may take minutes, the live log is rotated all the same."""
    limits = LogLimits(max_bytes=100, max_files=4, workers=1, interval_seconds=0.01)
    found: Any = SimpleNamespace(handler="fake", service=runtime)
    path = runtime.run("a")
    for number in range(2):
        path.with_name(f"0.log.2026010{number + 1}-000000").write_text("old" * 20)
    packing_one, go_on = threading.Event(), threading.Event()

    def slow(folder: LogFolder, source: int, name: str) -> None:
        packing_one.set()
        go_on.wait(30)

    monkeypatch.setattr(packing, "_write", slow)
    running = asyncio.create_task(LogRotator([found], runtime.logs_dir, limits).run())
    try:
        await asyncio.to_thread(packing_one.wait, 30)
        runtime.write("a", "x" * 100)
        while not runtime.reopened:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert path.read_text() == ""
    finally:
        go_on.set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
