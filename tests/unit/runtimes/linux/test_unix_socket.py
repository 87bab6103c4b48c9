"""Who may listen where."""

import os
import socket
import stat
from pathlib import Path

import pytest

from runtimes.linux.unix_socket import AddressTaken, SocketPath, socket_path


def listener(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen()
    return made


def test_a_socket_is_roots_from_its_first_moment(tmp_path: Path) -> None:
    """It is bound where only its owner may look, and appears with mode 0600; withdrawn, nothing is left."""
    place = SocketPath(tmp_path / "deep" / "cri.sock")
    draft = place.draft()
    assert stat.S_IMODE(draft.parent.stat().st_mode) == 0o700
    with listener(draft):
        place.publish()
        assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(place.path))
    assert list(place.path.parent.iterdir()) == [place.path]
    place.withdraw()
    place.withdraw()
    assert list(place.path.parent.iterdir()) == []


def test_a_live_server_stays(tmp_path: Path) -> None:
    """Its process is named, and its socket untouched; so if it came while we were making ours."""
    path = tmp_path / "cri.sock"
    late = SocketPath(path)
    draft = late.draft()
    with listener(draft), listener(path):
        for attempt in (SocketPath(path).draft, late.publish):
            with pytest.raises(AddressTaken, match=f"{path} is served by process {os.getpid()} already"):
                attempt()
    assert list(tmp_path.iterdir()) == [path]


def test_a_dead_servers_socket_is_replaced(tmp_path: Path) -> None:
    """Nobody listens there any more."""
    path = tmp_path / "cri.sock"
    listener(path).close()
    place = SocketPath(path)
    with listener(place.draft()):
        place.publish()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
    place.withdraw()


def test_anothers_socket_is_not_withdrawn(tmp_path: Path) -> None:
    """Whoever has replaced ours keeps his."""
    place = SocketPath(tmp_path / "cri.sock")
    with listener(place.draft()):
        place.publish()
    place.path.unlink()
    with listener(place.path):
        place.withdraw()
        assert place.path.exists()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    """What is no socket is somebody's mistake, not ours to remove."""
    path = tmp_path / "cri.sock"
    path.write_text("precious")
    with pytest.raises(AddressTaken, match="not a socket"):
        SocketPath(path).draft()
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    """Said as such, and nothing is left."""
    path = tmp_path / ("x" * 100)
    with pytest.raises(OSError, match="too long"):
        SocketPath(path).draft()
    assert list(tmp_path.iterdir()) == []


def test_addresses() -> None:
    """unix:///path, and nothing else."""
    assert socket_path("unix:///run/x.sock") == Path("/run/x.sock")
    for wrong in ("", "/run/x.sock", "unix://x", "unix:///", "tcp://127.0.0.1:1"):
        with pytest.raises(ValueError, match="unix socket"):
            socket_path(wrong)
