"""The calls of a CSI service as data: an attribute of a class says which messages a call has."""

from collections.abc import AsyncGenerator
from typing import Generic, Protocol, Self, TypeVar, overload

from google.protobuf.message import Message

from csi.endpoint import Endpoint

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
_Asked = TypeVar("_Asked", bound=Message, contravariant=True)
_Given = TypeVar("_Given", bound=Message, covariant=True)


class Service:
    """Who has such attributes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint


class Bound(Protocol[_Asked, _Given]):
    """A call that can be made. `deadline_seconds` None: the endpoint's. Raises CSIError."""

    async def __call__(self, request: _Asked, *, deadline_seconds: float | None = None) -> _Given: ...


class _Messages(Generic[Request, Response]):
    """CSI names a method's messages by the method, so the method follows from the request."""

    def __init__(self, request: type[Request], response: type[Response]) -> None:
        self.request = request
        self.response = response


class Call(_Messages[Request, Response]):
    """One call."""

    @overload
    def __get__(self, service: None, owner: type) -> Self: ...

    @overload
    def __get__(self, service: Service, owner: type) -> Bound[Request, Response]: ...

    def __get__(self, service: Service | None, owner: type) -> Self | Bound[Request, Response]:
        if service is None:
            return self
        endpoint, response = service.endpoint, self.response

        async def call(request: Request, *, deadline_seconds: float | None = None) -> Response:
            return await endpoint.call(request, response, deadline_seconds=deadline_seconds)

        return call


class BoundStream(Protocol[_Asked, _Given]):
    """A call that is answered by many messages. Raises CSIError, also after some of them."""

    def __call__(self, request: _Asked, *, deadline_seconds: float | None = None) -> AsyncGenerator[_Given, None]: ...


class Stream(_Messages[Request, Response]):
    """One such call, as `Call` otherwise."""

    @overload
    def __get__(self, service: None, owner: type) -> Self: ...

    @overload
    def __get__(self, service: Service, owner: type) -> BoundStream[Request, Response]: ...

    def __get__(self, service: Service | None, owner: type) -> Self | BoundStream[Request, Response]:
        if service is None:
            return self
        endpoint, response = service.endpoint, self.response

        def call(request: Request, *, deadline_seconds: float | None = None) -> AsyncGenerator[Response, None]:
            return endpoint.stream(request, response, deadline_seconds=deadline_seconds)

        return call
