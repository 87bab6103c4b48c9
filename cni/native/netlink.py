"""Netlink sockets and messages (linux/netlink.h), for what is done once a pod or oftener.

Messages are packed here and several go in one send: pyroute2 costs 0.5 ms of Python a request, and 170 ms to import, which a
program that is started for every pod would pay every time.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from cni.native.attributes import attribute, parse, string

NETLINK_ROUTE = 0

REQUEST = 0x1
ACK = 0x4
ECHO = 0x8
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400

ERROR = 2
DONE = 3
DUMP_INTERRUPTED = 0x10
_CAPPED = 0x100
_HAS_DETAILS = 0x200
_DETAIL_TEXT = 1
_SOL_NETLINK = 270
_OPTION_EXT_ACK = 11
_OPTION_CAP_ACK = 10
_OPTION_STRICT = 12
HEADER = struct.Struct("=IHHII")
_RECEIVE_BYTES = 1 << 18
_TIMEOUT_SECONDS = 20.0
_DUMPS_AT_MOST = 8


class Message(NamedTuple):
    """One request, or one answer. `body`: the family's header and the attributes. `fine`: the error that is none."""

    kind: int
    flags: int
    body: bytes
    fine: int = 0


class Answer(NamedTuple):
    """One message from the kernel, as it came."""

    kind: int
    flags: int
    sequence: int
    body: bytes


class Refusal(NamedTuple):
    """The kernel's answer to a message that failed."""

    number: int
    detail: str


class NetlinkError(OSError):
    """What the kernel refused; `place` is the message's number in its batch."""

    def __init__(self, refusal: Refusal, place: int = 0) -> None:
        number, detail = refusal
        super().__init__(number, f"{os.strerror(number)}: {detail}" if detail else os.strerror(number))
        self.place = place


def number(kind: int, value: int) -> bytes:
    """An attribute of 32 bits, in the host's order as route netlink has it."""
    return attribute(kind, struct.pack("=I", value))


def as_number(data: bytes | None) -> int:
    """The value of such an attribute, of whatever size; 0 for one that is absent."""
    return int.from_bytes(data or b"", sys.byteorder)


def opened(protocol: int, timeout_seconds: float) -> socket.socket:
    """A socket of the network namespace in which the calling thread is, to which the kernel says what was wrong."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        made.setsockopt(_SOL_NETLINK, _OPTION_EXT_ACK, 1)
        made.setsockopt(_SOL_NETLINK, _OPTION_CAP_ACK, 1)
        made.settimeout(timeout_seconds)
    except OSError:
        made.close()
        raise
    return made


def split(data: bytes) -> Iterator[Answer]:
    """The messages of one datagram."""
    start = 0
    while start + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, start)
        yield Answer(kind, flags, sequence, data[start + HEADER.size : start + length])
        start += max(length + 3 & ~3, HEADER.size)


def refusal(answer: Answer) -> Refusal | None:
    """What the kernel refused, of an answer of kind ERROR or DONE; None: nothing."""
    status = -struct.unpack_from("=i", answer.body)[0] if len(answer.body) >= 4 else 0
    return Refusal(status, _detail(answer)) if status > 0 else None


class Socket:
    """A netlink socket of the network namespace in which the calling thread is. For one thread at a time.

    Nothing here waits for anything but the kernel's own work on the request.
    """

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = opened(protocol, _TIMEOUT_SECONDS)
        try:
            self._socket.setsockopt(_SOL_NETLINK, _OPTION_STRICT, 1)  # dumps are filtered by the kernel
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, *messages: Message) -> list[Message]:
        """Send all at once, in order; return what came back beside acknowledgements.

        The kernel works through them in one system call, so that no signal comes between; it goes on after one that fails.
        Raises NetlinkError of the first that did.
        """
        first = self.send(*messages)
        answers, failure = [], None
        for place, answer in self.answers(first, len(messages)):
            if isinstance(answer, Message):
                answers.append(answer)
            elif answer is not None and failure is None and answer.number != messages[place].fine:
                failure = NetlinkError(answer, place)
        if failure is not None:
            raise failure
        return answers

    def dump(self, message: Message) -> list[Message]:
        """Every object of a kind, as they were at one time: a dump into which a change comes is made again.

        Raises NetlinkError, EINTR where there is no end of changes.
        """
        whole = message._replace(flags=message.flags | DUMP)
        for _ in range(_DUMPS_AT_MOST - 1):
            try:
                return self.request(whole)
            except NetlinkError as error:
                if error.errno != errno.EINTR:
                    raise
        return self.request(whole)

    def send(self, *messages: Message) -> int:
        """Send; return the first's sequence number. Blocks until the kernel has worked through them."""
        first = self._sequence + 1
        self._sequence += len(messages)
        parts = []
        for place, message in enumerate(messages):
            flags = REQUEST | message.flags
            if place == len(messages) - 1 and message.flags & DUMP != DUMP:
                flags |= ACK  # the others speak up only when they fail
            length = 16 + len(message.body)
            parts.append(HEADER.pack(length, message.kind, flags, first + place, 0) + message.body)
            parts.append(b"\0" * (-length % 4))
        self._socket.send(b"".join(parts))
        return first

    def answers(self, first: int, count: int) -> Iterator[tuple[int, Message | Refusal | None]]:
        """What comes for the messages from `first` on, each with its place: None at the end.

        A dump that is not whole ends with EINTR.
        """
        interrupted = False
        while True:
            for answer in split(self._socket.recv(_RECEIVE_BYTES)):
                place = answer.sequence - first
                if not 0 <= place < count:
                    continue  # of a request that was given up
                interrupted = interrupted or (answer.kind != ERROR and bool(answer.flags & DUMP_INTERRUPTED))
                if answer.kind not in (ERROR, DONE):
                    yield place, Message(answer.kind, answer.flags, answer.body)
                    continue
                if (refused := refusal(answer)) is not None:
                    yield place, refused
                elif interrupted and answer.kind == DONE:
                    yield place, Refusal(errno.EINTR, "objects changed while they were listed")
                if place == count - 1:
                    yield place, None
                    return


def _detail(answer: Answer) -> str:
    """The kernel's words on an error, where it has any."""
    if not answer.flags & _HAS_DETAILS:
        return ""
    start = 4
    if answer.kind == ERROR:
        start += HEADER.size if answer.flags & _CAPPED else max(HEADER.size, HEADER.unpack_from(answer.body, 4)[0])
    return string(parse(answer.body[start:]).get(_DETAIL_TEXT, b""))


def is_gone(error: OSError) -> bool:
    """Whether the object that a request named is not there (any more)."""
    return error.errno in (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.ENXIO, errno.EADDRNOTAVAIL)
