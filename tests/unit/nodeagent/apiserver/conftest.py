"""A store on a temporary file, and the objects of a small cluster over it with the real hooks."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nodeagent.apiserver import kinds
from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.objects.engine import Engine
from nodeagent.apiserver.objects.objects import Answer, Objects
from nodeagent.apiserver.objects.options import DeleteOptions, WriteOptions
from nodeagent.apiserver.objects.patch import Patch, PatchType
from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.storage.history import Retention
from nodeagent.apiserver.storage.journal import Journal
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ADMIN_USER = UserInfo(name="kubernetes-admin", groups=("system:masters", "system:authenticated"))


class Clock:
    """A clock that stands still until moved."""

    def __init__(self) -> None:
        self.now = START
        self.seconds = 1000.0

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> Registry:
    return Registry(RESOURCES)


OpenStore = Callable[..., Store]


@pytest.fixture
async def open_store(tmp_path: Path, registry: Registry, clock: Clock) -> AsyncIterator[OpenStore]:
    opened: list[Store] = []

    def open_one(retention: Retention | None = None) -> Store:
        journal = Journal(tmp_path / "state.db")
        opened.append(Store(journal, registry.index, retention=retention, clock=lambda: clock.seconds))
        return opened[-1]

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


class Cluster:
    """Writes as the tests want to say them; every answer decoded."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.engine = objects.engine
        self.store = objects.engine.store
        self.user = ADMIN_USER

    async def create(self, resource: str, obj: dict[str, Any], **options: Any) -> dict[str, Any]:
        return self._decoded(await self.answer_of_create(resource, obj, **options))

    async def answer_of_create(self, resource: str, obj: dict[str, Any], **options: Any) -> Answer:
        kind = self.objects.kind(resource)
        namespace = "default" if kind.namespaced else ""
        return await self.objects.create(kind, namespace, obj, WriteOptions(**options), self.user)

    async def update(self, resource: str, obj: dict[str, Any], subresource: str | None = None) -> dict[str, Any]:
        kind = self.objects.kind(resource)
        meta = obj["metadata"]
        answer = await self.objects.update(
            kind, meta.get("namespace", ""), meta["name"], obj, WriteOptions(), self.user, subresource
        )
        return self._decoded(answer)

    async def patch(
        self,
        resource: str,
        name: str,
        content: Any,
        kind: PatchType = "strategic",
        subresource: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        found = self.objects.kind(resource)
        namespace = "default" if found.namespaced else ""
        change = Patch(type=kind, content=content)
        answer = await self.objects.patch(
            found, namespace, name, change, WriteOptions(**options), self.user, subresource
        )
        return self._decoded(answer)

    async def delete(self, resource: str, name: str, **options: Any) -> dict[str, Any]:
        kind = self.objects.kind(resource)
        namespace = "default" if kind.namespaced else ""
        return self._decoded(await self.objects.delete(kind, namespace, name, DeleteOptions(**options), self.user))

    def get(self, resource: str, name: str, namespace: str = "default") -> dict[str, Any] | None:
        kind = self.objects.kind(resource)
        stored = self.store.get(kind.storage, Key(namespace if kind.namespaced else "", name))
        return stored.decode() if stored else None

    def _decoded(self, answer: Answer) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(answer.data)
        return decoded


@pytest.fixture
async def cluster(store: Store, registry: Registry, clock: Clock) -> Cluster:
    engine = Engine(store=store, registry=registry, hooks_for=kinds.hooks_for, node_name="n1", clock=lambda: clock.now)
    made = Cluster(Objects(engine))
    await made.create("namespaces", {"metadata": {"name": "default"}})
    await made.create("serviceaccounts", {"metadata": {"name": "default"}, "automountServiceAccountToken": False})
    return made


@pytest.fixture
def pod() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "busybox:1"}]},
    }
