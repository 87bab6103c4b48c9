"""What systemd is told, over a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtimes.linux.service_manager import ALIVE, READY, ServiceManager


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "notify"))
        found.settimeout(5)
        yield found


def test_what_is_told(listening: socket.socket) -> None:
    """One datagram each; a status is a second line of it."""
    manager = ServiceManager(listening.getsockname())
    manager.tell(READY, status="node n: 3 running")
    manager.tell(ALIVE)
    assert listening.recv(100) == b"READY=1\nSTATUS=node n: 3 running"
    assert listening.recv(100) == b"WATCHDOG=1"


def test_an_abstract_address() -> None:
    """It is written with an @ in the variable."""
    name = f"nodeagent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(f"\0{name}")
        found.settimeout(5)
        ServiceManager(f"@{name}").tell(READY)
        assert found.recv(100) == b"READY=1"


def test_nothing_that_the_agent_starts_may_tell(tmp_path: Path) -> None:
    """The variables are taken out, all others stay."""
    environment = {"NOTIFY_SOCKET": str(tmp_path), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "PATH": "/bin"}
    ServiceManager.taken_from(environment)
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
    ids=["ours", "anybody's", "another process's", "zero", "garbage", "none"],
)
def test_the_watchdog(environment: dict[str, str], expected: float | None) -> None:
    """So often as systemd wants it, if it is this process that it watches."""
    assert ServiceManager.taken_from({"NOTIFY_SOCKET": "/n", **environment}).watchdog_seconds == expected
    assert ServiceManager.taken_from(dict(environment)).watchdog_seconds is None


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By hand there is nobody; a socket that is gone is logged, and nothing fails."""
    ServiceManager("").tell(READY)
    assert caplog.text == ""
    ServiceManager(str(tmp_path / "gone")).tell(READY)
    assert "the service manager was not told READY=1: No such file" in caplog.text
