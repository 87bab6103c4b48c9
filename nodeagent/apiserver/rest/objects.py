"""The verbs on stored objects: get, list, watch, create, update, patch, delete, deletecollection."""

import contextlib

import msgspec
from aiohttp import web

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.metrics import ApiMetrics
from nodeagent.apiserver.objects.objects import Answer, Objects
from nodeagent.apiserver.objects.options import delete_options
from nodeagent.apiserver.objects.query import flag, text
from nodeagent.apiserver.rest.in_flight import MAX_ANSWERS_BYTES, InFlight, in_pieces, send
from nodeagent.apiserver.rest.list_options import ListOptions, list_options
from nodeagent.apiserver.rest.listing import list_objects
from nodeagent.apiserver.rest.negotiation import JSON
from nodeagent.apiserver.rest.request import NO_CACHE, Request, add_warnings, respond
from nodeagent.apiserver.rest.watch_quota import WatchQuota
from nodeagent.apiserver.rest.watching import Watch
from nodeagent.apiserver.storage.stored import Key
from runtimes.kube.field_errors import forbidden, required


class ObjectVerbs:
    """One method per verb; each raises `ApiError`."""

    def __init__(self, objects: Objects, metrics: ApiMetrics) -> None:
        self._metrics = metrics
        self.answers = InFlight(MAX_ANSWERS_BYTES)
        self._quota = WatchQuota()
        self._objects = objects
        self._store = objects.engine.store

    async def handle(self, verb: str, request: Request, subresource: str | None) -> web.StreamResponse:
        match verb:
            case "get":
                return self.get(request)
            case "list":
                return await self.list(request)
            case "watch":
                return await self.watch(request)
            case "create":
                return await self.create(request)
            case "update":
                return await self.update(request, subresource)
            case "patch":
                return await self.patch(request, subresource)
            case "delete":
                return await self.delete(request)
            case "deletecollection":
                return await self.delete_collection(request)
        raise ApiError.method_not_allowed()

    def get(self, request: Request) -> web.Response:
        stored = self._store.get(request.resource.storage, Key(request.namespace, request.target.name))
        if stored is None:
            raise ApiError.not_found(request.resource.id, request.target.name)
        return respond(200, request.renderer().one(stored.data), request.form.media, warnings=request.warnings)

    async def list(self, request: Request) -> web.StreamResponse:
        options = list_options(request.query, request.resource, request.namespace)
        items, metadata = list_objects(self._store, request.resource, options)
        # the objects are the store's; the list made of them is not
        async with self.answers.holding(sum(len(item.data) for item in items), request.cut):
            body = request.renderer().many([item.data for item in items], metadata)
            response = respond(200, body, request.form.media, warnings=request.warnings)
            return await send(request.http, response)

    async def watch(self, request: Request) -> web.StreamResponse:
        options = list_options(request.query, request.resource, request.namespace, request.target.name)
        with self._quota.taken(request.user):
            return await self._watched(request, options)

    async def _watched(self, request: Request, options: ListOptions) -> web.StreamResponse:
        watch = Watch(self._store, request.resource, options, request.renderer())
        response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": NO_CACHE})
        add_warnings(response, request.warnings)
        response.enable_chunked_encoding()
        try:
            await response.prepare(request.http)
            # the client is gone: its disconnect ends the watch like any other end
            with contextlib.suppress(ConnectionError):
                async for batch in watch.batches():
                    async with self.answers.holding(batch.size, request.cut):
                        await in_pieces(request.http, response, batch.render())
                    self._metrics.watched(request.call, batch.count)
                await response.write_eof()
        finally:
            watch.close()
        return response

    async def create(self, request: Request) -> web.Response:
        options = await request.write_options("CreateOptions")
        body = await request.body(request.resource.kind)
        answer = await self._objects.create(request.resource, request.namespace, body, options, request.user)
        return self._respond(request, answer)

    async def update(self, request: Request, subresource: str | None) -> web.Response:
        options = await request.write_options("UpdateOptions")
        answer = await self._objects.update(
            request.resource,
            request.namespace,
            request.target.name,
            await request.body(request.resource.kind),
            options,
            request.user,
            subresource,
        )
        return self._respond(request, answer)

    async def patch(self, request: Request, subresource: str | None) -> web.Response:
        options = await request.write_options("PatchOptions")
        change = await request.patch()
        errors = []
        if change.type == "apply" and not text(request.query, "fieldManager"):
            errors.append(required("fieldManager", "is required for apply patch"))
        if flag(request.query, "force") is not None and change.type != "apply":
            errors.append(forbidden("force", "may not be specified for non-apply patch"))
        if errors:
            raise ApiError.invalid("PatchOptions", "meta.k8s.io", "", errors)
        answer = await self._objects.patch(
            request.resource,
            request.namespace,
            request.target.name,
            change,
            options,
            request.user,
            subresource,
        )
        return self._respond(request, answer)

    async def delete(self, request: Request) -> web.Response:
        options = delete_options(request.query, await request.body())
        answer = await self._objects.delete(
            request.resource, request.namespace, request.target.name, options, request.user
        )
        return self._respond(request, answer)

    async def delete_collection(self, request: Request) -> web.Response:
        options = delete_options(request.query, await request.body())
        selection = list_options(request.query, request.resource, request.namespace).selection
        deleted = await self._objects.delete_collection(request.resource, selection, options, request.user)
        metadata = {"resourceVersion": str(self._store.revision)}
        body = request.renderer().many(deleted, metadata)
        return respond(200, body, request.form.media, warnings=request.warnings)

    def _respond(self, request: Request, answer: Answer) -> web.Response:
        warnings = (*request.warnings, *answer.warnings)
        if answer.is_status:
            body = msgspec.json.format(answer.data, indent=2) if request.form.pretty else answer.data
            return respond(answer.code, body, JSON, warnings=warnings)
        body = request.renderer().one(answer.data)
        return respond(answer.code, body, request.form.media, warnings=warnings)
