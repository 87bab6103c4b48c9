"""Every request comes in here: who asks, may they, what is it, and every refusal as a Status object."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from urllib.parse import unquote

from aiohttp import web

from nodeagent.apiserver.auth.attributes import Attributes
from nodeagent.apiserver.auth.authorizer import Authorizer
from nodeagent.apiserver.auth.identity import ANONYMOUS, Authenticator
from nodeagent.apiserver.auth.impersonation import impersonated
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.metrics import ApiMetrics, Call
from nodeagent.apiserver.objects.query import flag
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.connect import Connections
from nodeagent.apiserver.rest.decoding import media_type
from nodeagent.apiserver.rest.documents import Documents
from nodeagent.apiserver.rest.in_flight import MAX_BODIES_BYTES, SMALL_BYTES, InFlight, send
from nodeagent.apiserver.rest.list_options import list_options
from nodeagent.apiserver.rest.measured_resources import MeasuredResources
from nodeagent.apiserver.rest.objects import ObjectVerbs
from nodeagent.apiserver.rest.path import Target, parse
from nodeagent.apiserver.rest.request import Request, cut, parse_query, respond_error
from nodeagent.apiserver.rest.virtual_resources import VirtualResources

log = logging.getLogger(__name__)

Query = Mapping[str, Sequence[str]]

_CONNECT = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_CREATE_TOO = frozenset({"exec", "attach", "portforward"})
_ON_COLLECTIONS = frozenset({"create", "deletecollection", "list"})
_WRITE_SECONDS = 34.0
_CLIENT_GONE = 499
_APPLY = "application/apply-patch+yaml"
_STREAMS = frozenset({"exec", "attach", "portforward", "proxy"})
_VERBS = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}
_QUICK = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class Handler:
    """The aiohttp request handler."""

    def __init__(
        self,
        registry: Registry,
        authenticator: Authenticator,
        authorizer: Authorizer,
        verbs: ObjectVerbs,
        questions: VirtualResources,
        measured: MeasuredResources,
        connections: Connections,
        documents: Documents,
        metrics: ApiMetrics,
    ) -> None:
        self._metrics = metrics
        self._registry = registry
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._verbs = verbs
        self._questions = questions
        self._measured = measured
        self._connections = connections
        self._documents = documents
        self._bodies = InFlight(MAX_BODIES_BYTES)

    async def __call__(self, http: web.BaseRequest) -> web.StreamResponse:
        call = Call()
        code, size = 0, None
        try:
            _narrow(http)
            response = await self._answer(http, call)
            code = response.status
            if isinstance(response, web.Response):
                size = response.content_length
                async with self._verbs.answers.holding(size or 0, partial(cut, http)):
                    return await send(http, response)
            if not response.chunked:
                size = response.content_length
            return response
        finally:
            # a watch that its client ends was answered long ago
            self._metrics.end(call, code or (200 if call.long else _CLIENT_GONE), size)

    async def _answer(self, http: web.BaseRequest, call: Call) -> web.StreamResponse:
        try:
            return await self._handle(http, call)
        except ApiError as error:
            return respond_error(error)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except RecursionError:
            return respond_error(ApiError.bad_request("the object is nested too deeply: exceeded max depth"))
        except TimeoutError:
            return respond_error(ApiError.timeout("the request did not finish in the allotted time", details={}))
        except Exception as error:
            log.exception("%s %s", http.method, http.path)
            return respond_error(ApiError.internal(f"{type(error).__name__}: {error}"))

    async def _handle(self, http: web.BaseRequest, call: Call) -> web.StreamResponse:
        user = self._user(http)
        raw_path = http.rel_url.raw_path
        target = parse(raw_path)
        query = parse_query(http.rel_url.raw_query_string)
        if target is None:
            path = unquote(raw_path)
            verb = "get" if http.method in ("GET", "HEAD") else http.method.lower()
            if verb == "get" and self._documents.counted(path):
                call.verb, call.subresource = "GET", path
                self._metrics.begin(call)
            self._authorize(Attributes(user=user, verb=verb, path=path))
            return self._documents.answer(http, path)
        resource = self._registry.find(target.group, target.version, target.plural)
        verb = target.verb(http.method, watch=bool(flag(query, "watch")))
        if resource is not None and verb:
            _describe(call, verb, target, resource, query, http.headers.get("Content-Type", ""))
            self._metrics.begin(call)
        self._authorize_target(user, verb, target, resource, query)
        if resource is None:
            raise ApiError.no_such_resource()
        request = Request(http=http, user=user, target=target, resource=resource, query=query, call=call)
        try:
            return await self._dispatch(verb, request)
        except ApiError as error:
            error.warnings = (*request.warnings, *error.warnings)
            raise

    def _user(self, http: web.BaseRequest) -> UserInfo:
        transport = http.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        caller = self._authenticator.authenticate(tls, http.headers.get("Authorization", ""))
        return impersonated(caller, http.headers.items(), self._authorize)

    def _authorize_target(
        self, user: UserInfo, verb: str, target: Target, resource: Resource | None, query: Query
    ) -> None:
        selection = None
        if resource is not None and verb in ("list", "watch", "deletecollection"):
            selection = list_options(_selectors_of(query), resource, target.namespace, target.name).selection
        asked = Attributes(
            user=user,
            verb=verb,
            group=target.group,
            resource=target.plural,
            subresource=target.subresource,
            namespace=target.namespace,
            name=target.name,
            selection=selection,
        )
        self._authorize(asked)
        if verb == "get" and target.subresource in _CREATE_TOO:
            # a GET that upgrades to a WebSocket does as much as a POST
            self._authorize(
                Attributes(
                    user=user,
                    verb="create",
                    group=target.group,
                    resource=target.plural,
                    subresource=target.subresource,
                    namespace=target.namespace,
                    name=target.name,
                )
            )

    def _authorize(self, asked: Attributes) -> None:
        decision = self._authorizer.authorize(asked)
        if decision.allowed:
            return
        if asked.user is ANONYMOUS:
            # who shows nothing is asked for it; whoever acts as nobody has shown who they are
            raise ApiError.unauthorized()
        raise _forbidden(asked, decision.reason)

    async def _dispatch(self, verb: str, request: Request) -> web.StreamResponse:
        resource, target = request.resource, request.target
        _check_scope(verb, resource, target)
        if not target.subresource:
            if resource.answered:
                if verb != "create":
                    raise ApiError.method_not_allowed()
                return await self._answered(request)
            if verb not in resource.verbs:
                raise ApiError.method_not_allowed()
            if verb != "watch" and (verb in _ON_COLLECTIONS) == bool(target.name):
                raise ApiError.method_not_allowed()
            if resource.measured:
                return await self._measured.answer(verb, request)
            return await self._bounded(verb, request, None)
        subresource = resource.subresource(target.subresource)
        if subresource is None:
            raise ApiError.no_such_resource()
        if verb not in subresource.verbs:
            raise ApiError.method_not_allowed()
        if target.subresource in _CONNECT:
            return await self._connections.handle(request)
        if target.rest:
            raise ApiError.no_such_resource()
        if not subresource.stored:
            return await self._answered(request)
        return await self._bounded(verb, request, target.subresource)

    async def _bounded(self, verb: str, request: Request, subresource: str | None) -> web.StreamResponse:
        if verb not in _QUICK:
            return await self._verbs.handle(verb, request, subresource)
        async with asyncio.timeout(_WRITE_SECONDS), self._bodies.holding(request.weight, request.cut):
            return await self._verbs.handle(verb, request, subresource)

    async def _answered(self, request: Request) -> web.StreamResponse:
        async with self._bodies.holding(request.weight, request.cut):
            return await self._questions.answer(request)


def _narrow(http: web.BaseRequest) -> None:
    """Let the connection buffer no more than what is not counted; a TLS transport would take half a megabyte."""
    if http.transport is not None:
        http.transport.set_write_buffer_limits(SMALL_BYTES)


def _check_scope(verb: str, resource: Resource, target: Target) -> None:
    """Namespaced kinds are named inside a namespace; the others nowhere else."""
    if target.namespace and not resource.namespaced:
        raise ApiError.no_such_resource()
    if resource.namespaced and not target.namespace:
        if target.name:
            raise ApiError.no_such_resource()
        if verb not in ("list", "watch"):
            raise ApiError.method_not_allowed()


def _describe(call: Call, verb: str, target: Target, resource: Resource, query: Query, content_type: str) -> None:
    """What the metrics say of a request."""
    subresource = resource.subresource(target.subresource) if target.subresource else None
    connects = subresource is not None and target.subresource in _STREAMS
    call.verb = "CONNECT" if connects else _VERBS[verb]
    if verb == "patch" and media_type(content_type) == _APPLY:
        call.verb = "APPLY"
    call.group, call.version, call.resource = resource.group, resource.version, resource.plural
    call.subresource = subresource.name if subresource else ""
    call.component = "apiserver"
    if target.name or verb == "create":
        call.scope = "resource"
    else:
        call.scope = "namespace" if target.namespace else "cluster"
    call.dry_run = "All" if "All" in query.get("dryRun", ()) else ""
    call.long = verb == "watch" or connects or (target.subresource == "log" and bool(flag(query, "follow")))


def _selectors_of(query: Query) -> Query:
    return {name: query[name] for name in ("fieldSelector", "labelSelector") if name in query}


def _forbidden(asked: Attributes, reason: str) -> ApiError:
    user = f'User "{asked.user.name}" cannot {asked.verb}'
    suffix = f": {reason}" if reason else ""
    if asked.path:
        return ApiError(403, "Forbidden", f'forbidden: {user} path "{asked.path}"{suffix}', details={})
    shown = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    scope = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    why = f'{user} resource "{shown}" in API group "{asked.group}" {scope}{suffix}'
    return ApiError.forbidden(asked.resource_id, asked.name, why)
