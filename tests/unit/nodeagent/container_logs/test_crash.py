"""The agent killed at every step of a rotation: the next look fixes it, and no line is lost."""

import asyncio
import contextlib
import gzip
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent.container_logs import packing
from nodeagent.container_logs.folder import LogFolder
from nodeagent.container_logs.rotator import LogLimits, LogRotator
from proto import cri_pb2 as cri
from runtimes.kube.labels import LABEL_POD_UID

START = datetime(2026, 1, 2, 3, 4, 5)
LIMITS = LogLimits(max_bytes=10, max_files=9, workers=1, interval_seconds=10.0)
OLD = ("0.log.20260101-000000", "0.log.20260101-000001")


class Killed(BaseException):
    """Nothing runs after it, no clean-up either."""


class Kill:
    """Ends all work before the step of that number; everything that is tried afterwards ends too."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count > self.at:
                raise Killed
            return function(*arguments, **options)

        return step


class Monitor:
    """One container, whose log it writes; tells `reopen` before it obeys, as one more step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.written = 0
        self.step: Callable[[], None] = lambda: None

    def write(self) -> None:
        os.write(self.fd, b"line %d\n" % self.written)
        self.written += 1

    async def list_containers(self, request: Any) -> cri.ListContainersResponse:
        return cri.ListContainersResponse(containers=[cri.Container(id="a", labels={LABEL_POD_UID: "uid"})])

    async def container_status(self, request: Any) -> cri.ContainerStatusResponse:
        return cri.ContainerStatusResponse(status=cri.ContainerStatus(log_path=str(self.path)))

    async def reopen_container_log(self, request: Any) -> cri.ReopenContainerLogResponse:
        self.step()
        self.write()  # to the old file still
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.step()  # killed before it heard the answer
        return cri.ReopenContainerLogResponse()


def kept(folder: Path) -> list[str]:
    """Every line on disk, the oldest first; a log that is there packed and unpacked counts once."""
    found: dict[str, bytes] = {}
    for path in folder.iterdir():
        if path.suffix == ".gz":
            found.setdefault(path.name.removesuffix(".gz"), gzip.decompress(path.read_bytes()))
        elif path.suffix != ".tmp":
            found[path.name] = path.read_bytes()
    live = found.pop("0.log", b"")
    return (b"".join(found[name] for name in sorted(found)) + live).decode().splitlines()


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> tuple[int, Monitor]:
    """Steps taken by a look that is killed before step `at`, then two looks by the agent that comes back."""
    (folder / "pod" / "main").mkdir(parents=True)
    monitor = Monitor(folder / "pod" / "main" / "0.log")
    for name in OLD:
        monitor.write()
        monitor.write()
        os.close(monitor.fd)
        monitor.path.rename(monitor.path.with_name(name))
        monitor.fd = os.open(monitor.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    monitor.write()
    monitor.write()
    times = (START + timedelta(seconds=number) for number in range(100))
    runtime: Any = SimpleNamespace(handler="fake", service=monitor)
    kill = Kill(at)

    async def look() -> None:
        await LogRotator([runtime], folder, LIMITS, now=lambda: next(times)).look()

    with monkeypatch.context() as patch:
        for owner, names in (
            (LogFolder, ("stat", "open", "create", "rename", "restore", "remove")),
            (packing, ("_write_all",)),
        ):
            for name in names:
                patch.setattr(owner, name, kill.before(getattr(owner, name)))
        monitor.step = kill.before(lambda: None)
        with contextlib.suppress(Killed):
            asyncio.run(look())
    assert kept(monitor.path.parent) == lines(monitor), "nothing is lost as it lies there"
    monitor.step = lambda: None
    asyncio.run(look())
    monitor.write()
    asyncio.run(look())
    return kill.count, monitor


def lines(monitor: Monitor) -> list[str]:
    return [f"line {number}" for number in range(monitor.written)]


def test_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the step: all lines are there once and in order, nothing half made is left, and the container has a live log."""
    steps, at = 10**6, 0
    while at <= steps:
        steps, monitor = run(tmp_path / str(at), monkeypatch, at)
        names = {path.name for path in monitor.path.parent.iterdir()}
        assert kept(monitor.path.parent) == lines(monitor), at
        assert "0.log" in names and not [name for name in names if name.endswith(".tmp")], at
        assert not [name for name in names if f"{name}.gz" in names], at
        assert {f"{name}.gz" for name in OLD} <= names, at
        os.close(monitor.fd)
        at += 1
    assert at > 15, "the rotation has steps to be killed at"
