"""The API for the controllers inside the server: the contract's `LocalApi` over the same objects as HTTP."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

import msgspec

from nodeagent.apiserver.contract import ServiceNetwork, UserInfo, WatchEvent
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.objects.objects import Answer, Objects
from nodeagent.apiserver.objects.options import DeleteOptions, Propagation, WriteOptions
from nodeagent.apiserver.objects.patch import Patch
from nodeagent.apiserver.pki import MASTERS, Pki
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.selectors import Selection, parse_fields, parse_labels
from nodeagent.apiserver.storage.stored import Key
from runtimes.kube.json_object import JsonObject

USER = UserInfo(name="system:apiserver", groups=(MASTERS, "system:authenticated"))
_OPTIONS = WriteOptions(field_validation="Ignore", field_manager="apiserver")


class Local:
    """Implements `contract.LocalApi`."""

    def __init__(self, objects: Objects, pki: Pki) -> None:
        self._objects = objects
        self._store = objects.engine.store
        self._pki = pki

    @property
    def node_name(self) -> str:
        return self._objects.engine.node_name

    @property
    def service_network(self) -> ServiceNetwork:
        return self._objects.engine.service_network

    @property
    def ca_pem(self) -> bytes:
        return self._pki.ca_pem

    def sign_certificate(self, request_pem: bytes, *, usages: Sequence[str], lifetime_seconds: int) -> bytes:
        return self._pki.sign(request_pem, usages=usages, lifetime_seconds=lifetime_seconds)

    async def get(self, resource: str, namespace: str, name: str) -> JsonObject:
        kind = self._objects.kind(resource)
        stored = self._store.get(kind.storage, Key(namespace, name))
        if stored is None:
            raise ApiError.not_found(kind.id, name)
        return stored.decode()

    async def list(
        self, resource: str, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> list[JsonObject]:
        kind = self._objects.kind(resource)
        selection = _selection(kind, namespace, label_selector, field_selector)
        return [stored.decode() for stored in self._store.list(kind.storage, selection, namespace)]

    async def watch(
        self, resource: str, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[WatchEvent]:
        kind = self._objects.kind(resource)
        selection = _selection(kind, namespace, label_selector, field_selector)
        # both without an await between: nothing is missed, nothing comes twice
        existing = self._store.list(kind.storage, selection, namespace)
        watcher = self._store.watch(kind.storage, selection, self._store.revision)
        try:
            for stored in existing:
                yield WatchEvent(type="ADDED", object=stored.decode())
            yield WatchEvent(type="SYNCED", object={})
            while True:
                await watcher.wait(None)
                for seen in watcher.take():
                    yield WatchEvent(type=seen.type, object=seen.stored.decode())
                if watcher.lost:
                    raise ApiError.expired("the watch fell too far behind")
                if watcher.closed:
                    return
        finally:
            self._store.unwatch(kind.storage, watcher)

    async def create(self, resource: str, obj: JsonObject) -> JsonObject:
        namespace = (obj.get("metadata") or {}).get("namespace") or ""
        return _decoded(await self._objects.create(self._objects.kind(resource), namespace, obj, _OPTIONS, USER))

    async def update(self, resource: str, obj: JsonObject, *, subresource: str | None = None) -> JsonObject:
        meta = obj["metadata"]
        kind, namespace = self._objects.kind(resource), meta.get("namespace") or ""
        return _decoded(await self._objects.update(kind, namespace, meta["name"], obj, _OPTIONS, USER, subresource))

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: JsonObject | Sequence[JsonObject],
        *,
        subresource: str | None = None,
        patch_type: Literal["merge", "strategic", "json"] = "strategic",
    ) -> JsonObject:
        change = Patch(type=patch_type, content=patch if isinstance(patch, dict) else [*patch])
        kind = self._objects.kind(resource)
        return _decoded(await self._objects.patch(kind, namespace, name, change, _OPTIONS, USER, subresource))

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: Propagation | None = None,
    ) -> None:
        options = DeleteOptions(uid=uid, grace_period_seconds=grace_period_seconds, propagation=propagation)
        await self._objects.delete(self._objects.kind(resource), namespace, name, options, USER)

    async def bind(self, namespace: str, pod: str, node: str, *, uid: str = "") -> None:
        metadata: dict[str, Any] = {"name": pod, "namespace": namespace, **({"uid": uid} if uid else {})}
        body = {"metadata": metadata, "target": {"kind": "Node", "name": node}}
        await self._objects.bind(namespace, pod, body, _OPTIONS, USER)


def _selection(kind: Resource, namespace: str, labels: str, fields: str) -> Selection:
    return Selection(
        namespace=namespace,
        labels=parse_labels(labels),
        fields=parse_fields(fields, kind.field_labels, kind.aliases),
    )


def _decoded(answer: Answer) -> JsonObject:
    obj: JsonObject = msgspec.json.decode(answer.data)
    return obj
