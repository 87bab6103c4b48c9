"""A cluster in memory: the hooks' context and the controllers' API over plain dicts, with the real hooks in between."""

import asyncio
import copy
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pod_builders import pod_body

from nodeagent.apiserver.contract import ServiceNetwork, UserInfo, WatchEvent
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds import hooks_for

ADMIN = UserInfo(name="admin", groups=("system:masters",))
CLUSTER_SCOPED = {
    "namespaces",
    "nodes",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "csidrivers.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
    "deviceclasses.resource.k8s.io",
    "resourceslices.resource.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "runtimeclasses.node.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
}


class Context:
    """AdmissionContext over a cluster's objects."""

    def __init__(self, cluster: "Cluster", resource: str, namespace: str, name: str, user: UserInfo) -> None:
        self._cluster, self.resource, self.namespace, self.name, self.user = cluster, resource, namespace, name, user
        self.dry_run = False
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self.node_name = cluster.node_name
        self.service_network = cluster.service_network
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def get(self, resource: str, namespace: str, name: str) -> Any:
        return copy.deepcopy(self._cluster.objects.get((resource, namespace, name)))

    def list(self, resource: str, namespace: str = "", *, labels: Any = None, field_selector: str = "") -> list[Any]:
        return self._cluster.select(resource, namespace, field_selector)


class Cluster:
    """LocalApi in memory: one dict, one revision counter, watches as queues."""

    node_name = "node1"
    service_network = ServiceNetwork()
    ca_pem = b"-----BEGIN CERTIFICATE-----\n"

    def __init__(self) -> None:
        self._generated = itertools.count(1)
        self.objects: dict[tuple[str, str, str], Any] = {}
        self.log: list[tuple[str, str, str]] = []
        self._revision = itertools.count(1)
        self._watches: list[tuple[str, str, str, asyncio.Queue[WatchEvent]]] = []
        self.signed: list[tuple[bytes, tuple[str, ...], int]] = []

    def context(
        self,
        resource: str = "pods",
        namespace: str = "default",
        name: str = "x",
        user: UserInfo = ADMIN,
    ) -> Context:
        return Context(self, resource, namespace, name, user)

    def put(self, resource: str, obj: Any) -> Any:
        """Store an object as it is, without hooks."""
        key = self._key(resource, obj)
        kind = "MODIFIED" if key in self.objects else "ADDED"
        obj = copy.deepcopy(obj)
        obj["metadata"].setdefault("uid", f"uid-{key[1]}-{key[2]}")
        obj["metadata"]["resourceVersion"] = str(next(self._revision))
        self.objects[key] = obj
        self._publish(resource, kind, obj)
        return copy.deepcopy(obj)

    def select(self, resource: str, namespace: str = "", field_selector: str = "") -> list[Any]:
        found = [
            obj for (where, ns, _), obj in sorted(self.objects.items()) if where == resource and namespace in ("", ns)
        ]
        return [copy.deepcopy(obj) for obj in found if self._matches(obj, field_selector)]

    def all(self, resource: str) -> list[Any]:
        return self.select(resource)

    async def get(self, resource: str, namespace: str, name: str) -> Any:
        await asyncio.sleep(0)
        found = self.objects.get((resource, namespace, name))
        if found is None:
            raise ApiError.not_found(resource, name)
        return copy.deepcopy(found)

    async def list(
        self, resource: str, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> Any:
        await asyncio.sleep(0)
        wanted = dict(pair.split("=", 1) for pair in label_selector.split(",") if pair).items()
        found = self.select(resource, namespace, field_selector)
        return [obj for obj in found if wanted <= (obj["metadata"].get("labels") or {}).items()]

    async def watch(
        self, resource: str, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        entry = (resource, namespace, field_selector, queue)
        for obj in self.select(resource, namespace, field_selector):
            queue.put_nowait(WatchEvent(type="ADDED", object=obj))
        queue.put_nowait(WatchEvent(type="SYNCED", object={}))
        self._watches.append(entry)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watches.remove(entry)

    async def create(self, resource: str, obj: Any) -> Any:
        await asyncio.sleep(0)
        obj = copy.deepcopy(obj)
        if "name" not in obj["metadata"]:
            obj["metadata"]["name"] = f"{obj['metadata']['generateName']}{next(self._generated)}"
        key = self._key(resource, obj)
        hooks, ctx = hooks_for(resource), self.context(resource, key[1], key[2])
        hooks.prepare_create(obj, ctx)
        errors = hooks.validate_create(obj)
        if errors:
            raise ApiError.invalid(obj.get("kind", ""), "", key[2], errors)
        if key in self.objects:
            raise ApiError.already_exists(resource, key[2])
        self.log.append(("create", resource, key[2]))
        return self.put(resource, obj)

    async def update(self, resource: str, obj: Any, *, subresource: str | None = None) -> Any:
        await asyncio.sleep(0)
        key = self._key(resource, obj)
        if key not in self.objects:
            raise ApiError.not_found(resource, key[2])
        old, new = self.objects[key], copy.deepcopy(obj)
        new["metadata"] = {**old["metadata"], **{k: v for k, v in new["metadata"].items() if v is not None}}
        hooks = hooks_for(resource)
        hooks.prepare_update(new, old, self.context(resource, key[1], key[2]), subresource)
        errors = hooks.validate_update(new, old, subresource)
        if errors:
            raise ApiError.invalid(obj.get("kind", ""), "", key[2], errors)
        if {**new, "metadata": {**new["metadata"], "resourceVersion": ""}} == {
            **old,
            "metadata": {**old["metadata"], "resourceVersion": ""},
        }:
            return copy.deepcopy(old)
        self.log.append((f"update/{subresource or ''}", resource, key[2]))
        if resource == "namespaces" and new["metadata"].get("deletionTimestamp") and not new["spec"].get("finalizers"):
            self._drop(key)
            return new
        return self.put(resource, new)

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Any,
        *,
        subresource: str | None = None,
        patch_type: str = "strategic",
    ) -> Any:
        await asyncio.sleep(0)
        old = self.objects.get((resource, namespace, name))
        if old is None:
            raise ApiError.not_found(resource, name)
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted and wanted != old["metadata"]["resourceVersion"]:
            raise ApiError.conflict(resource, name, "changed")
        return await self.update(resource, _merged(old, patch), subresource=subresource)

    async def delete(self, resource: str, namespace: str, name: str, **_: Any) -> None:
        await asyncio.sleep(0)
        key = (resource, namespace, name)
        if key not in self.objects:
            raise ApiError.not_found(resource, name)
        obj = copy.deepcopy(self.objects[key])
        hooks_for(resource).prepare_delete(obj, self.context(resource, namespace, name))
        self.log.append(("delete", resource, name))
        if obj.get("spec", {}).get("finalizers") or (resource == "pods" and obj["spec"].get("nodeName")):
            obj["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
            self.put(resource, obj)
        else:
            self._drop(key)

    def remove(self, resource: str, namespace: str, name: str) -> None:
        self._drop((resource, namespace, name))

    async def bind(self, namespace: str, pod: str, node: str, *, uid: str = "") -> None:
        await asyncio.sleep(0)
        obj = copy.deepcopy(self.objects[("pods", namespace, pod)])
        self.log.append(("bind", pod, node))
        obj["spec"]["nodeName"] = node
        self.put("pods", obj)

    def sign_certificate(self, request_pem: bytes, *, usages: Sequence[str], lifetime_seconds: int) -> bytes:
        self.signed.append((request_pem, tuple(usages), lifetime_seconds))
        return b"signed"

    def _drop(self, key: tuple[str, str, str]) -> None:
        obj = self.objects.pop(key)
        obj["metadata"]["resourceVersion"] = str(next(self._revision))
        self._publish(key[0], "DELETED", obj)

    def _publish(self, resource: str, kind: Any, obj: Any) -> None:
        for where, namespace, selector, queue in self._watches:
            if (
                where == resource
                and namespace in ("", obj["metadata"].get("namespace", ""))
                and self._matches(obj, selector)
            ):
                queue.put_nowait(WatchEvent(type=kind, object=copy.deepcopy(obj)))

    def _matches(self, obj: Any, selector: str) -> bool:
        field, _, value = selector.partition("=")
        known = {"metadata.name": obj["metadata"]["name"], "type": obj.get("type")}
        return not selector or known.get(field) == value

    def _key(self, resource: str, obj: Any) -> tuple[str, str, str]:
        namespace = "" if resource in CLUSTER_SCOPED else obj["metadata"].get("namespace", "default")
        return resource, namespace, obj["metadata"]["name"]


def _merged(old: Any, patch: Any) -> Any:
    """Merge patch, with the lists of conditions merged by type."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif key == "conditions":
            current = {item["type"]: item for item in result.get(key) or []}
            for item in value:
                current[item["type"]] = {**current.get(item["type"], {}), **item}
            result[key] = list(current.values())
        else:
            result[key] = _merged(result.get(key), value)
    return result


async def settle(rounds: int = 200) -> None:
    """Let every task run until nothing moves any more (no time passes)."""
    for _ in range(rounds):
        await asyncio.sleep(0)


@pytest.fixture
def cluster() -> Cluster:
    """A cluster with its four namespaces and the default service account."""
    made = Cluster()
    for name in ("default", "kube-system"):
        made.put("namespaces", {"metadata": {"name": name}, "spec": {"finalizers": ["kubernetes"]}})
    made.put("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
    return made


@pytest.fixture
def settled() -> Any:
    return settle


@pytest.fixture
def new_pod() -> Any:
    return pod_body
