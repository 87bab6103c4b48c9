"""metrics.k8s.io: what nodes and pods use, for `kubectl top`. Nothing is stored: the nodes are asked when somebody reads it.

Objects as metrics-server makes them: labels are those of the Pod or Node; what is not measured (yet) is not there.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from aiohttp import web

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.timestamps import rfc3339
from nodeagent.apiserver.registry.resource import Resource
from nodeagent.apiserver.rest.list_options import list_options
from nodeagent.apiserver.rest.node_usage import NODE, NodeUsage, Of, Usage
from nodeagent.apiserver.rest.request import Request, respond
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key, Stored
from runtimes.kube.duration import go_duration
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)


class MeasuredResources:
    """Answers reads of the resources that are `measured`."""

    def __init__(self, store: Store, usage: NodeUsage) -> None:
        self._store = store
        self._usage = usage

    async def answer(self, verb: str, request: Request) -> web.Response:
        """`verb`: get or list. Raises `ApiError`."""
        resource = request.resource
        renderer = request.renderer()
        if verb == "get":
            stored = self._store.get(resource.plural, Key(request.namespace, request.target.name))
            found = await self._measured(resource, [stored] if stored is not None else [])
            if not found:
                raise ApiError.not_found(resource.id, request.target.name)
            body = renderer.one(found[0])
        else:
            selection = list_options(request.query, resource, request.namespace).selection
            chosen = self._store.list(resource.plural, selection, selection.namespace)
            body = renderer.many(await self._measured(resource, chosen), {})
        return respond(200, body, request.form.media)

    async def _measured(self, resource: Resource, chosen: Sequence[Stored]) -> list[bytes]:
        """The objects of those of the Pods or Nodes that are measured."""
        if resource.namespaced:
            nodes = {stored.key: stored.index.fields.get("spec.nodeName", "") for stored in chosen}
        else:
            nodes = {stored.key: stored.key.name for stored in chosen}
        usages = await self._of_nodes(sorted({name for name in nodes.values() if name}))
        found: list[bytes] = []
        for stored in chosen:
            usage = usages.get(nodes[stored.key], {})
            made = _pod(stored, usage) if resource.namespaced else _node(stored, usage)
            if made is not None:
                found.append(msgspec.json.encode({"kind": resource.kind, "apiVersion": resource.group_version, **made}))
        return found

    async def _of_nodes(self, names: Sequence[str]) -> Mapping[str, Mapping[Of, Usage]]:
        """By node; one that does not answer is left out."""
        answers = await asyncio.gather(*(self._usage.read(name) for name in names), return_exceptions=True)
        found: dict[str, Mapping[Of, Usage]] = {}
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, ApiError):
                log.warning("what node %s uses is not known: %s", name, answer.message)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[name] = answer
        return found


def _node(stored: Stored, usages: Mapping[Of, Usage]) -> JsonObject | None:
    usage = usages.get(NODE)
    return None if usage is None else {**_described(stored, [usage]), "usage": _quantities(usage)}


def _pod(stored: Stored, usages: Mapping[Of, Usage]) -> JsonObject | None:
    place = (stored.key.namespace, stored.key.name)
    found = {of.container: usage for of, usage in usages.items() if (of.namespace, of.pod) == place}
    if not found:
        return None
    containers = [{"name": name, "usage": _quantities(usage)} for name, usage in sorted(found.items())]
    return {**_described(stored, found.values()), "containers": containers}


def _described(stored: Stored, usages: Iterable[Usage]) -> JsonObject:
    """Metadata, and the window that the figures are of."""
    latest = max(usages, key=lambda usage: usage.at)
    metadata: JsonObject = {"name": stored.key.name}
    if stored.key.namespace:
        metadata["namespace"] = stored.key.namespace
    metadata["creationTimestamp"] = rfc3339(time.time())
    if stored.index.labels:
        metadata["labels"] = dict(stored.index.labels)
    window = go_duration(round(latest.window_seconds, 3))
    return {"metadata": metadata, "timestamp": rfc3339(latest.at), "window": window}


def _quantities(usage: Usage) -> JsonObject:
    whole, rest = divmod(usage.memory_bytes, 1024)
    return {"cpu": f"{usage.cpu_nano_cores}n", "memory": str(usage.memory_bytes) if rest else f"{whole}Ki"}
