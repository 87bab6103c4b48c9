"""Creates that store nothing of their own: reviews, tokens, bindings, evictions."""

from aiohttp import web

from nodeagent.apiserver.auth.node_tokens import NodeTokens
from nodeagent.apiserver.contract import TokenAuthority
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.body import accept
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.objects import Answer, Objects
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.objects.place import settle_namespace
from nodeagent.apiserver.rest.negotiation import JSON
from nodeagent.apiserver.rest.request import Request, respond, respond_value
from nodeagent.apiserver.rest.reviews import Reviews
from nodeagent.apitypes.encode import written_form
from nodeagent.apitypes.schema import struct_for
from runtimes.kube.field_errors import invalid
from runtimes.kube.json_object import JsonObject

TOKEN_REQUEST = "TokenRequest"


class VirtualResources:
    def __init__(self, objects: Objects, reviews: Reviews, tokens: TokenAuthority, node_tokens: NodeTokens) -> None:
        self._objects = objects
        self._reviews = reviews
        self._tokens = tokens
        self._node_tokens = node_tokens

    async def answer(self, request: Request) -> web.Response:
        """Raises `ApiError`."""
        resource, target = request.resource, request.target
        options = await request.write_options("CreateOptions")
        subresource = resource.subresource(target.subresource) if target.subresource else None
        body = await request.body(subresource.kind if subresource else resource.kind)
        match target.subresource or resource.plural:
            case "binding":
                return _plain(await self._objects.bind(request.namespace, target.name, body, options, request.user))
            case "bindings":
                name = ((body.get("metadata") or {}).get("name") if isinstance(body, dict) else None) or ""
                return _plain(await self._objects.bind(request.namespace, name, body, options, request.user))
            case "eviction":
                return _plain(await self._objects.evict(request.namespace, target.name, body, options, request.user))
        ctx = self._objects.engine.context(
            resource, request.namespace, target.name, request.user, dry_run=options.dry_run
        )
        if target.subresource == "token":
            obj = self._token(request, accept_token(request, body, ctx, options), ctx)
        elif self._reviews.answers(resource.kind) and not target.subresource:
            obj = self._reviews.answer(resource, accept(resource, body, ctx, options), request.user)
        else:
            raise ApiError.no_such_resource()
        kind = struct_for(obj["apiVersion"], obj["kind"])
        answer = written_form(kind, obj) if kind else obj
        return respond_value(201, answer, request.form, warnings=ctx.warnings)

    def _token(self, request: Request, asked: JsonObject, ctx: Context) -> JsonObject:
        self._node_tokens.check(asked, ctx)
        return self._tokens.request_token(request.namespace, request.target.name, asked, ctx)


def accept_token(request: Request, body: object, ctx: Context, options: WriteOptions) -> JsonObject:
    """The body as a TokenRequest."""
    asked = accept(
        request.resource,
        body,
        ctx,
        options,
        kind=TOKEN_REQUEST,
        group_version="authentication.k8s.io/v1",
    )
    settle_namespace(asked, ctx)
    name = asked["metadata"].get("name")
    if name and name != ctx.name:
        wrong = invalid("metadata.name", name, "must match the service account name if specified")
        raise ApiError.invalid(TOKEN_REQUEST, "authentication.k8s.io", ctx.name, [wrong])
    return asked


def _plain(answer: Answer) -> web.Response:
    return respond(answer.code, answer.data, JSON, warnings=answer.warnings)
