"""What the kernel answers, from a socket that the test fills."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from cni.native.netlink import Message, NetlinkError, Socket

LINK, ERROR, DONE = 16, 2, 3
MULTIPART, INTERRUPTED = 0x2, 0x10


@pytest.fixture
def ends() -> Iterator[tuple[Socket, socket.socket]]:
    """The socket, and the kernel's end of it."""
    made = Socket()
    made.close()
    made._socket, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kernel.settimeout(20)
    with made, kernel:
        yield made, kernel


def message(kind: int, sequence: int, flags: int = 0, body: bytes = bytes(4)) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def refusal(number: int) -> bytes:
    return struct.pack("=i", -number) + bytes(16)


def test_a_dump_into_which_a_change_came_is_made_again(ends: tuple[Socket, socket.socket]) -> None:
    """Whether the kernel says so at an object or at the end: what is returned was there at one time."""
    asked, kernel = ends
    kernel.send(message(LINK, 1, MULTIPART, b"old1") + message(LINK, 1, MULTIPART | INTERRUPTED, b"old2"))
    kernel.send(message(DONE, 1, MULTIPART))
    kernel.send(message(LINK, 2, MULTIPART, b"old3"))
    kernel.send(message(DONE, 2, MULTIPART | INTERRUPTED))
    kernel.send(message(LINK, 3, MULTIPART, b"new1"))
    kernel.send(message(LINK, 3, MULTIPART, b"new2") + message(DONE, 3, MULTIPART))
    assert [found.body for found in asked.dump(Message(LINK, 0, b""))] == [b"new1", b"new2"]


def test_changes_without_end(ends: tuple[Socket, socket.socket]) -> None:
    """A list that never was so is not passed for one."""
    asked, kernel = ends
    for sequence in range(1, 9):
        kernel.send(message(DONE, sequence, MULTIPART | INTERRUPTED))
    with pytest.raises(NetlinkError) as caught:
        asked.dump(Message(LINK, 0, b""))
    assert caught.value.errno == errno.EINTR


def test_the_first_refusal_of_several_is_told(ends: tuple[Socket, socket.socket]) -> None:
    """With the place of its message; the rest of the answers does not become another request's."""
    asked, kernel = ends
    kernel.send(message(ERROR, 1, body=refusal(errno.EEXIST)))
    kernel.send(message(ERROR, 2, body=refusal(errno.ENODEV)))
    kernel.send(message(ERROR, 3, body=refusal(0)))
    fine = Message(LINK, 0, b"", errno.EEXIST)
    with pytest.raises(NetlinkError) as caught:
        asked.request(fine, fine, fine)
    assert (caught.value.errno, caught.value.place) == (errno.ENODEV, 1)
    kernel.send(message(LINK, 2, body=b"late") + message(LINK, 4, body=b"mine") + message(ERROR, 4, body=refusal(0)))
    assert [found.body for found in asked.request(fine)] == [b"mine"]
