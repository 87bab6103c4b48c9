"""One HTTP request as the handlers see it, and the answers they give."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.metrics import Call
from nodeagent.apiserver.objects.options import WriteOptions, manager_of, write_options
from nodeagent.apiserver.objects.patch import Patch
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.decoding import MAX_BODY_BYTES, decode, decode_patch, duplicate_fields, is_yaml
from nodeagent.apiserver.rest.negotiation import JSON, Representation, negotiate
from nodeagent.apiserver.rest.path import Target
from nodeagent.apiserver.rest.rendering import IncludeObject, Renderer, serialize
from nodeagent.apiserver.rest.warnings import warning_headers

NO_CACHE = "no-cache, private"
_APART_BYTES = 64 << 10  # a few milliseconds, also as YAML of single letters
Result = TypeVar("Result")


def cut(http: web.BaseRequest) -> None:
    """End a request's connection at once."""
    if http.transport is not None:
        http.transport.abort()


async def apart(size: int, work: Callable[[], Result]) -> Result:
    """`work` on a body of `size` bytes: a large one is read beside the event loop, which has others to answer."""
    return await asyncio.to_thread(work) if size > _APART_BYTES else work()


def parse_query(text: str) -> Mapping[str, Sequence[str]]:
    return parse_qs(text, keep_blank_values=True) if text else {}


@dataclass(slots=True, kw_only=True)
class Request:
    """Authenticated, authorized, its path understood."""

    http: web.BaseRequest
    user: UserInfo
    target: Target
    resource: Resource
    query: Mapping[str, Sequence[str]]
    call: Call
    form: Representation = field(init=False)

    def __post_init__(self) -> None:
        # what may be answered to a request that is passed on to a node is for the node to say
        passed_on = self.target.subresource == "proxy"
        self.form = Representation() if passed_on else negotiated(self.http, self.query)

    @property
    def namespace(self) -> str:
        return self.target.namespace if self.resource.namespaced else ""

    @property
    def warnings(self) -> Sequence[str]:
        """What every answer about this resource says."""
        return (self.resource.deprecation,) if self.resource.deprecation else ()

    def last(self, name: str) -> str:
        values = self.query.get(name)
        return values[-1] if values else ""

    @property
    def weight(self) -> int:
        """The bytes that the body may have: as many as a request may, where it does not say."""
        if not self.http.body_exists:
            return 0
        return min(self.http.content_length or MAX_BODY_BYTES, MAX_BODY_BYTES)

    def cut(self) -> None:
        """End the connection at once."""
        cut(self.http)

    async def bytes(self) -> bytes:
        """The body. Raises `ApiError` 413."""
        if self.http.content_length is not None and self.http.content_length > MAX_BODY_BYTES:
            raise too_large()
        if not self.http.body_exists:
            return b""
        if self.http.headers.get("Expect", "").lower() == "100-continue":
            await self.http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            return await self.http.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise too_large() from error

    async def body(self, kind: str = "") -> Any:
        """The decoded body, an object of `kind`; "" for one that may be missing. Raises `ApiError` 400, 413, 415."""
        data = await self.bytes()
        return await apart(len(data), lambda: decode(data, self._content_type, kind=kind))

    async def patch(self) -> Patch:
        """The decoded body of a PATCH. Raises `ApiError` 400, 413, 415."""
        data = await self.bytes()
        return await apart(len(data), lambda: decode_patch(data, self._content_type))

    async def write_options(self, kind: str) -> WriteOptions:
        """The knobs of a write, with what its decoded body cannot tell, and who writes. Raises `ApiError` 413, 422."""
        options = write_options(self.query, kind)
        if not options.field_manager:
            options = replace(options, field_manager=manager_of(self.http.headers.get("User-Agent", "")))
        if options.field_validation == "Ignore":
            return options
        data = await self.bytes()
        duplicates = await apart(len(data), lambda: duplicate_fields(data, self._content_type))
        in_yaml = is_yaml(self._content_type)
        return replace(options, duplicates=duplicates, in_yaml=in_yaml) if duplicates else options

    @property
    def _content_type(self) -> str:
        return self.http.headers.get("Content-Type", "")

    def renderer(self, resource: Resource | None = None) -> Renderer:
        include: IncludeObject = "Metadata"
        match self.last("includeObject"):
            case "None" | "Object" as stated:
                include = stated
            case "" | "Metadata":
                pass
            case other:
                raise ApiError.bad_request(f'unrecognized includeObject value: "{other}"')
        return Renderer(resource or self.resource, self.form, include)


def negotiated(http: web.BaseRequest, query: Mapping[str, Sequence[str]]) -> Representation:
    headers = http.headers
    pretty = query.get("pretty", [""])[-1]
    return negotiate(headers.get("Accept", ""), pretty=pretty, user_agent=headers.get("User-Agent", ""))


def too_large() -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY_BYTES}")


def respond(code: int, body: bytes, media: str = JSON, *, warnings: Iterable[str] = ()) -> web.Response:
    response = web.Response(status=code, body=body, headers={"Content-Type": media, "Cache-Control": NO_CACHE})
    add_warnings(response, warnings)
    return response


def add_warnings(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    for header in warning_headers(warnings):
        response.headers.add("Warning", header)


def respond_value(code: int, value: Any, form: Representation, *, warnings: Iterable[str] = ()) -> web.Response:
    return respond(code, serialize(value, form), form.media, warnings=warnings)


def respond_error(error: ApiError, *, pretty: bool = False) -> web.Response:
    body = msgspec.json.encode(error.status())
    text = msgspec.json.format(body, indent=2) if pretty else body
    response = respond(error.code, text, warnings=error.warnings)
    response.headers.update(error.headers)
    return response
