"""The write API: each method decides in one go, then waits for the commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects import create, delete, patch, pods, update
from nodeagent.apiserver.objects.context import Context
from nodeagent.apiserver.objects.engine import Engine, Outcome
from nodeagent.apiserver.objects.options import DeleteOptions, WriteOptions
from nodeagent.apiserver.objects.patch import Patch
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.selectors import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the client gets: `data` is JSON in the stored form of the kind, or a Status (`is_status`)."""

    code: int
    data: bytes
    is_status: bool = False
    warnings: Sequence[str] = ()


class Objects:
    """All methods raise `ApiError`; a 2xx is on disk when they return."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def kind(self, resource: str) -> Resource:
        """By `pods` or `leases.coordination.k8s.io`."""
        found = self.engine.registry.by_id(resource)
        if found is None:
            raise ApiError.no_such_resource()
        return found

    async def create(
        self, resource: Resource, namespace: str, body: Any, options: WriteOptions, user: UserInfo
    ) -> Answer:
        ctx = self._context(resource, namespace, "", user, options.dry_run)
        with ctx.carried():
            return await self._answer(create.create(self.engine, resource, body, ctx, options), ctx)

    async def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        options: WriteOptions,
        user: UserInfo,
        subresource: str | None = None,
    ) -> Answer:
        ctx = self._context(resource, namespace, name, user, options.dry_run)
        with ctx.carried():
            return await self._answer(update.update(self.engine, resource, body, ctx, options, subresource), ctx)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Patch,
        options: WriteOptions,
        user: UserInfo,
        subresource: str | None = None,
    ) -> Answer:
        ctx = self._context(resource, namespace, name, user, options.dry_run)
        with ctx.carried():
            return await self._answer(patch.patch(self.engine, resource, change, ctx, options, subresource), ctx)

    async def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions, user: UserInfo
    ) -> Answer:
        ctx = self._context(resource, namespace, name, user, options.dry_run)
        with ctx.carried():
            return await self._answer(delete.delete(self.engine, resource, ctx, options), ctx)

    async def delete_collection(
        self, resource: Resource, selection: Selection, options: DeleteOptions, user: UserInfo
    ) -> list[bytes]:
        """Delete what is selected. Returns the objects as they were, or as they are while they wait to be removed."""
        found = self.engine.store.head_list(resource.storage, selection, selection.namespace)
        outcomes: list[Outcome] = []
        for stored in found:
            ctx = self._context(resource, stored.key.namespace, stored.key.name, user, options.dry_run)
            try:
                outcome = delete.delete(self.engine, resource, ctx, options)
            except ApiError as error:
                if error.code != 404:
                    raise
                continue
            outcomes.append(Outcome(code=200, data=stored.data, write=outcome.write) if outcome.is_status else outcome)
        for outcome in outcomes:
            if outcome.write is not None:
                await outcome.write.durable()
        return [outcome.data for outcome in outcomes]

    async def bind(self, namespace: str, name: str, body: Any, options: WriteOptions, user: UserInfo) -> Answer:
        ctx = self._context(self.kind("pods"), namespace, name, user, options.dry_run)
        with ctx.carried():
            return await self._answer(pods.bind(self.engine, body, ctx, options), ctx)

    async def evict(self, namespace: str, name: str, body: Any, options: WriteOptions, user: UserInfo) -> Answer:
        ctx = self._context(self.kind("pods"), namespace, name, user, options.dry_run)
        with ctx.carried():
            return await self._answer(pods.evict(self.engine, body, ctx, options), ctx)

    def _context(self, resource: Resource, namespace: str, name: str, user: UserInfo, dry_run: bool) -> Context:
        return self.engine.context(resource, namespace, name, user, dry_run=dry_run)

    async def _answer(self, outcome: Outcome, ctx: Context) -> Answer:
        if outcome.write is not None:
            await outcome.write.durable()
        elif outcome.revision:
            await self.engine.store.settled(outcome.revision)
        return Answer(code=outcome.code, data=outcome.data, is_status=outcome.is_status, warnings=tuple(ctx.warnings))
