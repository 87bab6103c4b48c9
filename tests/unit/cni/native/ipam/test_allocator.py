"""Reservations in host-local's format: who has which address, and what killed processes leave."""

import fcntl
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

import pytest

from cni.native.failure import Code, Failure
from cni.native.ipam import reservations
from cni.native.ipam.allocator import Allocator
from cni.native.ipam.ranges import parse_sets
from cni.native.ipam.reservations import LockTimeout, Owner

SETS = parse_sets([[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/64"}]])
FOUR = parse_sets([[{"subnet": "10.1.0.0/29"}]])
A, B = Owner("a", "eth0"), Owner("b", "eth0")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "net"


@pytest.fixture
def allocator(tmp_path: Path) -> Allocator:
    return Allocator(str(tmp_path), "net")


def given(allocator: Allocator, owner: Owner, *requested: str) -> list[str]:
    return [lease.with_prefix for lease in allocator.reserve(owner, SETS, [ip_address(text) for text in requested])]


def test_files_are_those_of_host_local(allocator: Allocator, folder: Path) -> None:
    """One for each address with id, CR LF and interface; the last of each set; the lock."""
    assert given(allocator, A) == ["10.1.0.2/29", "fd00::2/64"]
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {
        "10.1.0.2": b"a\r\neth0",
        "fd00::2": b"a\r\neth0",
        "last_reserved_ip.0": b"10.1.0.2",
        "last_reserved_ip.1": b"fd00::2",
        "lock": b"",
    }
    assert (folder / "10.1.0.2").stat().st_mode & 0o777 == 0o600


def test_addresses_come_again_late(allocator: Allocator) -> None:
    """A released one is given last; another object of the same folder goes on where this one was."""
    given(allocator, A)
    allocator.release(A)
    assert given(allocator, A)[0] == "10.1.0.3/29"


def test_host_local_goes_on_for_us_and_we_for_it(tmp_path: Path, allocator: Allocator, folder: Path) -> None:
    """Files that came and went between two calls count, those of old versions with the id alone, too."""
    given(allocator, A)
    (folder / "10.1.0.3").write_bytes(b"other\r\neth0")
    (folder / "10.1.0.4").write_bytes(b"old")
    (folder / "10.1.0.2").unlink()
    assert given(allocator, B)[0] == "10.1.0.5/29"
    allocator.release(Owner("old", "eth0"))
    assert not (folder / "10.1.0.4").exists()
    assert given(Allocator(str(tmp_path), "net"), Owner("c", "eth0"))[0] == "10.1.0.6/29"


def test_a_file_that_is_another_owners_by_now_is_left(allocator: Allocator, folder: Path) -> None:
    """An inode that came again does not deceive: what is released is read first."""
    given(allocator, A)
    with (folder / "10.1.0.2").open("r+b") as file:  # the same inode
        file.truncate()
        file.write(b"b\r\neth0")
    allocator.release(A)
    assert (folder / "10.1.0.2").exists()


def test_a_second_reservation_is_refused(allocator: Allocator) -> None:
    """The first stays; another interface of the container is another owner."""
    given(allocator, A)
    with pytest.raises(Failure, match=r"a has already the address (10\.1\.0\.2|fd00::2) for eth0"):
        given(allocator, A)
    assert given(allocator, Owner("a", "net1"))[0] == "10.1.0.3/29"


def test_a_range_without_a_free_address(allocator: Allocator, folder: Path) -> None:
    """Try again later, in host-local's words; nothing of the failed one stays."""
    for number in range(5):
        allocator.reserve(Owner(f"c{number}", "eth0"), FOUR, [])
    with pytest.raises(Failure, match=r"no IP addresses available in range set: 10\.1\.0\.1-10\.1\.0\.6") as caught:
        given(allocator, A)
    assert caught.value.code == Code.NOT_AVAILABLE
    with pytest.raises(Failure):
        allocator.require_free(FOUR)
    assert not [path for path in folder.iterdir() if b"a\r\n" in path.read_bytes()]
    allocator.release(Owner("c2", "eth0"))
    allocator.require_free(FOUR)


def test_requested_addresses(allocator: Allocator) -> None:
    """Of each set the one that is in it; the gateway's, a taken one and one of no set are refused, and nothing stays."""
    assert given(allocator, A, "10.1.0.5") == ["10.1.0.5/29", "fd00::2/64"]
    for wanted, message in (
        ("10.1.0.5", "is not available in range set"),
        ("10.1.0.1", "is the gateway's"),
        ("192.0.2.1", "in none of the ranges"),
    ):
        with pytest.raises(Failure, match=message):
            given(allocator, B, wanted)
    assert given(allocator, B, "fd00::77")[1] == "fd00::77/64"


def test_what_the_killed_leave(allocator: Allocator, folder: Path) -> None:
    """An empty file of host-local is nobody's and given out again; ours that has no address yet goes with its owner's DEL."""
    folder.mkdir()
    (folder / "10.1.0.2").touch()
    (folder / ".new").write_bytes(b"b\r\neth0")
    (folder / "last_reserved_ip.0").touch()
    assert given(allocator, A)[0] == "10.1.0.2/29"
    (folder / ".new").write_bytes(b"b\r\neth0")
    allocator.release(B)
    assert not (folder / ".new").exists()


def test_garbage(allocator: Allocator, folder: Path) -> None:
    """What is nobody's of the valid ones goes."""
    given(allocator, A)
    given(allocator, B)
    allocator.keep_only({B, Owner("never", "eth0")})
    assert sorted(path.name for path in folder.iterdir() if path.name[0] in "1f") == ["10.1.0.3", "fd00::3"]


def test_check(allocator: Allocator, folder: Path) -> None:
    """Every address is to be the owner's; looking changes nothing, an abandoned file included."""
    given(allocator, A)
    (folder / "10.1.0.6").touch()
    allocator.check(A, ["10.1.0.2", "fd00::2"])
    with pytest.raises(Failure, match=r"address 10\.1\.0\.2 is reserved for 'a', not for 'b'"):
        allocator.check(B, ["10.1.0.2"])
    with pytest.raises(Failure, match="reserved for nobody"):
        allocator.check(A, ["10.1.0.3"])
    assert (folder / "10.1.0.6").exists()


def test_nothing_is_made_for_a_delete(allocator: Allocator, folder: Path) -> None:
    """Nor for a CHECK, a GC or a STATUS of a network that never had a pod."""
    allocator.release(A)
    allocator.keep_only(set())
    allocator.require_free(SETS)
    assert not folder.exists()


def test_threads_share_one(allocator: Allocator) -> None:
    """Many at once get one address each."""
    sets = parse_sets([[{"subnet": "10.1.0.0/24"}]])
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: allocator.reserve(Owner(f"c{n}", "eth0"), sets, []), range(40)))
    assert len({lease.address for leases in found for lease in leases}) == 40


def test_a_lock_that_is_never_let_go(allocator: Allocator, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that hangs with it holds nobody up for ever."""
    monkeypatch.setattr(reservations, "_LOCK_SECONDS", 0.01)
    folder.mkdir()
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(LockTimeout, match="held by another program"):
        given(allocator, A)
    os.close(fd)
    assert given(allocator, A)
    assert threading.active_count() >= 1
