"""Verbs of a CRI service as data: an attribute of a class says which messages a verb has and how long it may take."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from google.protobuf.message import Message

from runtimes.cri.endpoint import Endpoint, Verb
from runtimes.deadlines import default_deadline

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Peer(Protocol):
    """Who has such attributes: `service` is the full name of the gRPC service at the other end."""

    service: str
    endpoint: Endpoint


class Call(Generic[Request, Response]):
    """One verb. The CRI names a method's messages by the method, so the method follows from the request.

    `pieces`: of a verb that lists, the message of the method that gives a long answer in pieces.
    """

    def __init__(
        self,
        request: type[Request],
        response: type[Response],
        *,
        pieces: type[Message] | None = None,
        deadline: Callable[[Any], float | None] = default_deadline,
    ) -> None:
        self.method = request.__name__.removesuffix("Request")
        self.response = response
        self.pieces = pieces
        self.stream = pieces.__name__.removesuffix("Response") if pieces is not None else ""
        self.deadline = deadline
        self._attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name

    @overload
    def __get__(self, peer: None, owner: type) -> Self: ...

    @overload
    def __get__(self, peer: Peer, owner: type) -> Verb[Request, Response]: ...

    def __get__(self, peer: Peer | None, owner: type) -> Self | Verb[Request, Response]:
        if peer is None:
            return self
        verb = self._verb(peer.endpoint, f"/{peer.service}/")
        vars(peer)[self._attribute] = verb  # made once: the next look finds it there
        return verb

    def _verb(self, endpoint: Endpoint, service: str) -> Verb[Request, Response]:
        if self.pieces is None:
            return endpoint.verb(service + self.method, self.response, self.deadline)
        return endpoint.listing(service + self.method, self.response, self.pieces, service + self.stream)
