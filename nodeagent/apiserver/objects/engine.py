"""What every write shares: the store, the kinds, their hooks, the clock, and how an answer looks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from nodeagent.apiserver.apply.ownership import Ownership, Writer
from nodeagent.apiserver.contract import KindHooks, ServiceNetwork, UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.context import Context, HeadReader
from nodeagent.apiserver.objects.options import WriteOptions
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.storage.store import Store, Write
from nodeagent.apiserver.storage.stored import Key, Stored
from nodeagent.apitypes.encode import work_form, written_form
from nodeagent.apitypes.schema import struct_for
from runtimes.kube.field_errors import FieldError
from runtimes.kube.json_object import JsonObject

MAX_OBJECT_BYTES = 3 << 20
"""Of an object as it is stored: what a request may weigh. Many small patches would make it larger without end."""


class Restriction(Protocol):
    """Says what some users may not write even though they may write the object at all (NodeRestriction)."""

    def check(
        self, ctx: Context, operation: str, subresource: str | None, new: JsonObject | None, old: JsonObject | None
    ) -> None:
        """Raises `ApiError` 403. `operation`: create, update, delete."""
        ...


class NoRestriction:
    def check(
        self, ctx: Context, operation: str, subresource: str | None, new: JsonObject | None, old: JsonObject | None
    ) -> None:
        """Everybody may write everything."""


class Restrictions:
    """Several, in their order."""

    def __init__(self, parts: Sequence[Restriction]) -> None:
        self._parts = tuple(parts)

    def check(
        self, ctx: Context, operation: str, subresource: str | None, new: JsonObject | None, old: JsonObject | None
    ) -> None:
        for part in self._parts:
            part.check(ctx, operation, subresource, new, old)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a write came to. `data` is JSON in the stored form of the kind, or a Status (`is_status`).

    `revision`: what was found and left as it was; not to be answered before that is on disk itself.
    """

    code: int
    data: bytes
    write: Write | None = None
    is_status: bool = False
    revision: int = 0


@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts that writes are made with."""

    store: Store
    registry: Registry
    hooks_for: Callable[[str], KindHooks]
    node_name: str
    service_network: ServiceNetwork = field(default_factory=ServiceNetwork)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    restriction: Restriction = field(default_factory=NoRestriction)
    reader: HeadReader = field(init=False)
    ownership: Ownership = field(init=False)

    def __post_init__(self) -> None:
        self.reader = HeadReader(self.store, self.registry)
        self.ownership = Ownership(self.registry)

    def context(
        self, resource: Resource, namespace: str, name: str, user: UserInfo, *, dry_run: bool = False
    ) -> Context:
        return Context(
            reader=self.reader,
            resource=resource.storage,
            namespace=namespace if resource.namespaced else "",
            name=name,
            user=user,
            dry_run=dry_run,
            now=self.clock(),
            node_name=self.node_name,
            service_network=self.service_network,
        )

    def writer(self, resource: Resource, ctx: Context, options: WriteOptions, subresource: str | None = None) -> Writer:
        """Who the fields belong to that a request to `resource` writes."""
        time = ctx.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Writer(manager=options.field_manager, resource=resource, subresource=subresource or "", time=time)

    def stored_as(self, resource: Resource) -> Resource:
        """The kind in whose form `resource` is stored: itself, unless it is a view."""
        return self.registry.by_id(resource.storage) or resource

    def existing(self, resource: Resource, ctx: Context) -> Stored:
        """The newest state of the object that `ctx` names. Raises `ApiError` 404."""
        stored = self.store.head(resource.storage, Key(ctx.namespace, ctx.name))
        if stored is None:
            raise ApiError.not_found(resource.id, ctx.name)
        return stored

    def opened(self, resource: Resource, stored: Stored) -> JsonObject:
        """A copy of a stored object in the form that rules work on."""
        return self._worked(resource, stored.decode())

    def opened_apart(self, resource: Resource, stored: Stored) -> tuple[JsonObject, Any]:
        """As `opened`, but who owns what is not in it: that comes second."""
        obj = stored.decode()
        entries = obj["metadata"].pop("managedFields", None)
        return self._worked(resource, obj), entries

    def _worked(self, resource: Resource, obj: JsonObject) -> JsonObject:
        found = struct_for(resource.group_version, resource.kind)
        return work_form(found, obj) if found else obj

    def written(self, resource: Resource, obj: JsonObject) -> JsonObject:
        """A copy of `obj` in the form that is stored and answered."""
        found = struct_for(resource.group_version, resource.kind)
        return written_form(found, obj) if found else obj

    def save(self, resource: Resource, ctx: Context, obj: JsonObject, *, code: int = 200) -> Outcome:
        """Store `obj`, unless this is a dry run."""
        return self.put(resource, ctx, self.written(resource, obj), code=code)

    def put(self, resource: Resource, ctx: Context, written: JsonObject, *, code: int = 200) -> Outcome:
        """As `save` for what has its written form already."""
        data = msgspec.json.encode(written)
        if len(data) > MAX_OBJECT_BYTES:
            why = f"Request entity too large: the object would have {len(data)} bytes, the limit is {MAX_OBJECT_BYTES}"
            raise ApiError(413, "RequestEntityTooLarge", why)
        if ctx.dry_run:
            return Outcome(code=code, data=data)
        write = self.store.put(resource.storage, Key(ctx.namespace, ctx.name), written)
        return Outcome(code=code, data=write.stored.data, write=write)


def refuse(resource: Resource, name: str, errors: list[FieldError]) -> None:
    """Raises `ApiError` 422 if there are errors."""
    if errors:
        raise ApiError.invalid(resource.kind, resource.group, name, errors)
