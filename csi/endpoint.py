"""One CSI socket: a call is a request message, sent on a connection of its own, with a deadline.

A fresh connection for every call is what drivers are used to (docs/facts/storage.md 10.3); it costs half a millisecond on a unix
socket, and a driver that was restarted or replaced is met at once. Whether there is anybody to talk to is known before the
request is sent, so that `Unreachable` means: nothing has been asked for.
"""

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from csi import errors
from proto import csi_pb2 as csi
from runtimes.linux.unix_socket import MAX_PATH_BYTES, SCHEME

DEADLINE_SECONDS: Final = 120.0  # docs/facts/storage.md 10.3
# Who accepts connections and does not speak HTTP/2 in that time is not a driver, or hangs.
CONNECT_SECONDS: Final = 10.0
# tokens of a pod's service account ride in the context of drivers that do not take them as secrets
TOKENS = "csi.storage.k8s.io/serviceAccount.tokens"

Answer = TypeVar("Answer", bound=Message)
Ended = Callable[[str, str, float], None]
log = logging.getLogger(__name__)


def _methods() -> Mapping[str, str]:
    """Request message -> `/csi.v1.Service/Method`."""
    services = csi.DESCRIPTOR.services_by_name.values()
    return {
        method.input_type.name: f"/{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
    }


_METHODS: Final = _methods()


def path_of(request: Message) -> str:
    """The gRPC path of the call that a message of `proto.csi_pb2` is a request of: `/csi.v1.Node/NodeStageVolume`."""
    return _METHODS[type(request).__name__]


class Endpoint:
    """Where a driver listens. It holds nothing open between calls, and may be used from several tasks at once."""

    def __init__(
        self,
        address: str,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        ended: Ended = lambda method, code, seconds: None,
    ) -> None:
        """`address`: unix:///path, or the path alone, as drivers register it. Raises ValueError for another.

        `ended(method, code, seconds)`: told of every call, with its gRPC code.
        """
        path = address.removeprefix(SCHEME)
        if not path.startswith("/") or path == "/" or "\0" in path:
            raise ValueError(f"{address!r} is not a unix socket such as unix:///run/csi/csi.sock")
        if len(path.encode()) > MAX_PATH_BYTES:
            raise ValueError(f"{address!r}: the path is too long for a unix socket ({MAX_PATH_BYTES} bytes)")
        self.path = Path(path)
        self.deadline_seconds = deadline_seconds
        self._ended = ended

    async def call(self, request: Message, answer: type[Answer], *, deadline_seconds: float | None = None) -> Answer:
        """Send a request of `proto.csi_pb2` to its method. `answer`: the class of the response.

        The deadline (None: the endpoint's own) holds for the connection and the answer together. A cancelled caller leaves at
        once; the driver is told, and may go on all the same. Raises CSIError.
        """
        method = type(request).__name__.removesuffix("Request")
        limit = self.deadline_seconds if deadline_seconds is None else deadline_seconds
        began = time.monotonic()
        outcome = "CANCELLED"
        try:
            from csi import channel  # gRPC takes 10 MB, which a node without drivers need not have

            async with channel.connected(self.path, method, min(limit, CONNECT_SECONDS)) as connection:
                remaining = max(limit - (time.monotonic() - began), 0.001)
                path, secrets = path_of(request), secret_values(request)
                result = await channel.ask(
                    connection, path, request, answer, deadline_seconds=remaining, secrets=secrets
                )
            outcome = "OK"
            return result
        except errors.CSIError as error:
            outcome = error.code
            raise
        finally:
            self._tell(request, outcome, time.monotonic() - began)

    async def stream(
        self, request: Message, answer: type[Answer], *, deadline_seconds: float | None = None
    ) -> AsyncGenerator[Answer, None]:
        """As `call`, of a call that is answered by many messages: each as it comes. Close it where it is not read to its end."""
        from csi import channel

        method = type(request).__name__.removesuffix("Request")
        limit = self.deadline_seconds if deadline_seconds is None else deadline_seconds
        began, outcome = time.monotonic(), "CANCELLED"
        try:
            async with channel.connected(self.path, method, min(limit, CONNECT_SECONDS)) as connection:
                remaining = max(limit - (time.monotonic() - began), 0.001)
                secrets = secret_values(request)
                answers = channel.listen(
                    connection, path_of(request), request, answer, deadline_seconds=remaining, secrets=secrets
                )
                async with contextlib.aclosing(answers):
                    async for each in answers:
                        yield each
            outcome = "OK"
        except errors.CSIError as error:
            outcome = error.code
            raise
        finally:
            self._tell(request, outcome, time.monotonic() - began)

    def _tell(self, request: Message, outcome: str, took_seconds: float) -> None:
        path = path_of(request)
        log.debug("%s at %s: %s in %.3f s", path.rpartition("/")[2], self.path, outcome, took_seconds)
        self._ended(path, outcome, took_seconds)


def secret_values(request: Message) -> Iterable[str]:
    """The credentials in a request: what no log and no error may show."""
    fields: Any = request
    for name in ("secrets", "volume_context"):
        if name in request.DESCRIPTOR.fields_by_name:
            yield from (value for key, value in getattr(fields, name).items() if name == "secrets" or key == TOKENS)


def shown(request: Message) -> str:
    """A message as text for people, with its credentials struck out."""
    copy = type(request)()
    copy.CopyFrom(request)
    fields: Any = copy
    for name in ("secrets", "volume_context"):
        if name in request.DESCRIPTOR.fields_by_name:
            entries = getattr(fields, name)
            for key in entries:
                if name == "secrets" or key == TOKENS:
                    entries[key] = errors.HIDDEN
    return f"{type(request).__name__}{{{' '.join(str(copy).split())}}}"
