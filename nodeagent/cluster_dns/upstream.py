"""Questions about the rest of the world: relayed to the node's own name servers, over the transport that the asker chose."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Sequence

from typing_extensions import override

TRY_SECONDS = 2.0
ROUNDS = 2
MAX_SERVERS = 3  # as resolvers do: the asker is gone before a fourth is asked
_PORT = 53
_ID_BYTES = 2


class NoAnswer(Exception):
    """No name server has answered in time."""


class Upstream:
    """Asks the first three of `servers()`, which are read for each question, in turn, each for `try_seconds`, twice around."""

    def __init__(
        self, servers: Callable[[], Sequence[str]], *, port: int = _PORT, try_seconds: float = TRY_SECONDS
    ) -> None:
        self._servers = servers
        self._port = port
        self._try_seconds = try_seconds

    async def ask(self, question: bytes, *, tcp: bool) -> bytes:
        """The answer to a query in wire format, with the query's id. Raises NoAnswer.

        Each try has an id and a port of its own, which is what an answer from somebody else would have to guess (RFC 5452).
        """
        ask = _ask_tcp if tcp else _ask_udp
        reasons = []
        for server in itertools.chain.from_iterable([self._servers()[:MAX_SERVERS]] * ROUNDS):
            own_id = secrets.token_bytes(_ID_BYTES)
            try:
                async with asyncio.timeout(self._try_seconds):
                    answer = await ask(server, self._port, own_id + question[_ID_BYTES:])
            except TimeoutError:  # an OSError, so it comes first
                reasons.append(f"{server}: no answer within {self._try_seconds:g} s")
                continue
            except (OSError, EOFError) as error:
                reasons.append(f"{server}: {error}")
                continue
            return question[:_ID_BYTES] + answer[_ID_BYTES:]
        raise NoAnswer("; ".join(reasons) or "the node has no name server")


async def _ask_udp(server: str, port: int, query: bytes) -> bytes:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Answer(query[:_ID_BYTES]), remote_addr=(server, port)
    )
    try:
        transport.sendto(query)
        return await protocol.answer
    finally:
        transport.close()


class _Answer(asyncio.DatagramProtocol):
    """Takes the one datagram with our id; the socket is connected, so it is from the server that was asked."""

    def __init__(self, own_id: bytes) -> None:
        self._own_id = own_id
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @override
    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:_ID_BYTES] == self._own_id and not self.answer.done():
            self.answer.set_result(data)

    @override
    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _ask_tcp(server: str, port: int, query: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, port)
    try:
        writer.write(len(query).to_bytes(2) + query)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        writer.close()
    if answer[:_ID_BYTES] != query[:_ID_BYTES]:
        raise OSError("an answer to another question")
    return answer
