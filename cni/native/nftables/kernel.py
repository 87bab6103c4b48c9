"""The kernel's side: one batch is one transaction, that happens whole or not at all; dumps of what is there."""

import errno
import itertools
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

from cni.native import netlink
from cni.native.attributes import number, parse
from cni.native.netlink import ACK, DONE, DUMP, DUMP_INTERRUPTED, ERROR, HEADER, REQUEST, Answer
from cni.native.nftables.errors import NftablesError
from cni.native.nftables.messages import GET_GENERATION, Message

_NETLINK_NETFILTER = 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_NFTABLES = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_BATCH_GENERATION = 1

_FAMILY = struct.Struct(">BBH")
_BUFFER_BYTES = (
    1 << 22
)  # a table made anew with the elements of some thousand pods; what is larger makes room for itself
_DATAGRAM_BYTES = 1 << 17
_DUMPS_AT_MOST = 8

DEADLINE_SECONDS = 5.0


class Netfilter:
    """A socket to the packet filter of the network namespace in which it is first used. Threads may share it.

    It stays open: the kernel lets the one who closes a socket wait for everything that was deleted to be freed (10 ms
    and more). The kernel works while it takes a request, so that the answer waits already when we look for it; the
    deadline is for one that does not answer.
    """

    def __init__(self, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """Give the socket back; the next request opens one again."""
        with self._lock:
            self._drop()

    def commit(self, messages: Sequence[Message], *, generation: int | None = None) -> None:
        """Do all of it or nothing. With `generation` only if nobody has changed any table since (else ERESTART).

        Raises NftablesError for the first message that the kernel refused.
        """
        if not messages:
            return
        with self._lock:
            mark = b"" if generation is None else number(_BATCH_GENERATION, generation)
            first = next(self._numbers)
            parts = [_encode(_BATCH_BEGIN, REQUEST, first, 0, _NFTABLES, mark)]
            about = {first: f"batch of {len(messages)}"}
            for message in messages:
                sequence = next(self._numbers)
                about[sequence] = message.about
                flags = REQUEST | message.flags | (ACK if len(about) > len(messages) else 0)
                parts.append(_encode(message.kind, flags, sequence, message.family, 0, message.body))
            parts.append(_encode(_BATCH_END, REQUEST, next(self._numbers), 0, _NFTABLES))
            self._send(b"".join(parts), about[first])
            self._await_acknowledgement(about)

    def request(self, message: Message) -> None:
        """Do one thing that is no transaction of nf_tables."""
        with self._lock:
            self._await_acknowledgement({self._ask(message, ACK | message.flags): message.about})

    def dump(self, message: Message) -> list[bytes]:
        """All answers to a question, without their headers. Raises NftablesError: ENOENT for what is not there.

        What was there all the time is among them, even if tables change meanwhile: the kernel tells that a dump was
        interrupted, and it is then made again and the answers put together.
        """
        found: dict[bytes, None] = {}
        for _ in range(_DUMPS_AT_MOST):
            with self._lock:
                whole = self._read_dump(self._ask(message, DUMP), message.about, found)
            if whole:
                break
        return list(found)

    def get(self, message: Message) -> bytes:
        """The one answer to a question. Raises NftablesError: ENOENT for what is not there."""
        with self._lock:
            sequence = self._ask(message, 0)
            for answer in self._answers({sequence: message.about}):
                return answer.body[_FAMILY.size :]
        raise NftablesError(message.about, errno.ENODATA)

    def generation(self) -> int:
        """A number that changes with every transaction, of whomever."""
        return int.from_bytes(parse(self.get(Message(GET_GENERATION, 0, b"", "generation")))[1], "big")

    def _ask(self, message: Message, flags: int) -> int:
        sequence = next(self._numbers)
        self._send(_encode(message.kind, REQUEST | flags, sequence, message.family, 0, message.body), message.about)
        return sequence

    def _await_acknowledgement(self, about: dict[int, str]) -> None:
        """Of the last message: it comes behind the errors of those before it."""
        last = max(about)
        for answer in self._answers(about):
            if answer.sequence == last and answer.kind == ERROR:
                return

    def _read_dump(self, sequence: int, about: str, found: dict[bytes, None]) -> bool:
        whole = True
        for answer in self._answers({sequence: about}):
            whole = whole and not answer.flags & DUMP_INTERRUPTED
            if answer.kind == DONE:
                break
            found[answer.body[_FAMILY.size :]] = None
        return whole

    def _answers(self, about: dict[int, str]) -> Iterator[Answer]:
        """What comes to the messages with these numbers, without end. Raises NftablesError for what was refused.

        What else comes belongs to a request that has failed before: the rest of it.
        """
        while True:
            for answer in netlink.split(self._receive(next(iter(about.values())))):
                if answer.sequence not in about:
                    continue
                if answer.kind in (ERROR, DONE) and (refused := netlink.refusal(answer)) is not None:
                    raise NftablesError(about[answer.sequence], *refused)
                yield answer

    def _send(self, data: bytes, about: str) -> None:
        try:
            if self._socket is None:
                self._socket = self._open()
            if len(data) > _BUFFER_BYTES:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, len(data))
            self._socket.sendto(data, (0, 0))
        except OSError as error:
            self._drop()
            raise NftablesError(about, error.errno or errno.ETIMEDOUT) from error

    def _receive(self, about: str) -> bytes:
        assert self._socket is not None
        try:
            return self._socket.recv(_DATAGRAM_BYTES)
        except OSError as error:
            self._drop()
            raise NftablesError(about, error.errno or errno.ETIMEDOUT) from error

    def _open(self) -> socket.socket:
        made = netlink.opened(_NETLINK_NETFILTER, self._deadline_seconds)
        try:
            for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
                made.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        except BaseException:
            made.close()
            raise
        return made

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _encode(kind: int, flags: int, sequence: int, family: int, resource: int, body: bytes = b"") -> bytes:
    header = HEADER.pack(HEADER.size + _FAMILY.size + len(body), kind, flags, sequence, 0)
    return header + _FAMILY.pack(family, 0, resource) + body
