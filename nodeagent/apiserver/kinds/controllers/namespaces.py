"""Namespaces live and end: the built-in ones exist, each has its service account and CA, a deleted one is emptied first."""

import asyncio
import logging

from nodeagent.apiserver.contract import LocalApi
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.base import BUILTIN_NAMESPACES, NAMESPACES, name_of, namespace_of
from nodeagent.apiserver.kinds.controllers.follow import Change, Watch, follow, forever
from nodeagent.apiserver.kinds.pods.admission import ROOT_CA_CONFIGMAP
from nodeagent.apiserver.kinds.priorityclass import RESOURCE as PRIORITY_CLASSES
from nodeagent.apiserver.kinds.priorityclass import builtin
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)
# Emptied in this order; pods first, for they take their time.
CONTENTS = (
    "pods",
    "services",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "persistentvolumeclaims",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "leases.coordination.k8s.io",
    "events",
)


class NamespaceController:
    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._active: set[str] = set()
        self._ending: set[str] = set()

    async def run(self) -> None:
        await self._create_builtin()
        await forever(self._session)

    async def _session(self) -> None:
        watches = [
            Watch(resource=NAMESPACES),
            Watch(resource="serviceaccounts", field_selector="metadata.name=default"),
            Watch(resource="configmaps", field_selector=f"metadata.name={ROOT_CA_CONFIGMAP}"),
        ]
        self._active, self._ending = set(), set()
        async with asyncio.TaskGroup() as work, follow(self._api, watches) as feed:
            while True:
                for change in await feed.batch():
                    if change.type != "SYNCED":
                        await self._apply(change, work)

    async def _apply(self, change: Change, work: asyncio.TaskGroup) -> None:
        if change.resource != NAMESPACES:
            namespace = namespace_of(change.object)
            if change.type == "DELETED" and namespace in self._active:
                await self._furnish(namespace)
            elif change.type == "MODIFIED" and change.resource == "configmaps" and namespace in self._active:
                await self._restore_ca(change.object)
            return
        name = name_of(change.object)
        if change.type == "DELETED":
            self._active.discard(name)
            self._ending.discard(name)
        elif change.object["metadata"].get("deletionTimestamp"):
            self._active.discard(name)
            if name not in self._ending:
                self._ending.add(name)
                work.create_task(self._end(name))
        elif name not in self._active:
            self._active.add(name)
            await self._furnish(name)

    async def _create_builtin(self) -> None:
        for name in BUILTIN_NAMESPACES:
            await self._ensure(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for item in builtin():
            await self._ensure(PRIORITY_CLASSES, item)

    async def _furnish(self, namespace: str) -> None:
        """The two objects that every namespace has."""
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": namespace},
        }
        await self._ensure("serviceaccounts", account)
        await self._ensure("configmaps", self._ca_configmap(namespace))

    def _ca_configmap(self, namespace: str) -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": ROOT_CA_CONFIGMAP,
                "namespace": namespace,
                "annotations": {"kubernetes.io/description": DESCRIPTION},
            },
            "data": {"ca.crt": self._api.ca_pem.decode("ascii")},
        }

    async def _restore_ca(self, stored: JsonObject) -> None:
        wanted = self._ca_configmap(namespace_of(stored))["data"]
        if stored.get("data") != wanted:
            try:
                await self._api.patch("configmaps", namespace_of(stored), ROOT_CA_CONFIGMAP, {"data": wanted})
            except ApiError as error:
                log.warning("CA of namespace %s not restored: %s", namespace_of(stored), error.message)

    async def _ensure(self, resource: str, obj: JsonObject) -> None:
        try:
            await self._api.create(resource, obj)
        except ApiError as error:
            # There already, or the namespace went away in the meantime.
            if error.code not in (403, 404, 409):
                raise

    async def _end(self, name: str) -> None:
        """Empty a namespace that is being deleted, wait until what takes its time is gone, then let it go."""
        try:
            while left := await self._empty(name):
                await self._wait_for_change(name, left)
            await self._let_go(name)
        except ApiError as error:
            if error.code != 404:
                self._ending.discard(name)
                raise

    async def _empty(self, name: str) -> list[str]:
        """Ask for the deletion of everything; returns the resources of which something is still there."""
        left = []
        for resource in CONTENTS:
            for item in await self._contents(resource, name):
                if not item["metadata"].get("deletionTimestamp"):
                    await self._delete(resource, name, name_of(item))
            if await self._contents(resource, name):
                left.append(resource)
        return left

    async def _delete(self, resource: str, namespace: str, name: str) -> None:
        try:
            await self._api.delete(resource, namespace, name, propagation="Background")
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def _contents(self, resource: str, namespace: str) -> list[JsonObject]:
        try:
            return await self._api.list(resource, namespace)
        except ApiError as error:
            if error.code == 404:  # a kind that this server does not have
                return []
            raise

    async def _wait_for_change(self, name: str, resources: list[str]) -> None:
        """Wait until something that was left is really gone (a pod after its grace period, an object after its finalizers)."""
        async with follow(self._api, [Watch(resource=resource, namespace=name) for resource in resources]) as feed:
            while True:
                if any(change.type == "DELETED" for change in await feed.batch()):
                    return
                if not any([await self._contents(resource, name) for resource in resources]):
                    return

    async def _let_go(self, name: str) -> None:
        """Take the finalizer off; what is then still there (finalizers of others) is theirs to remove."""
        namespace = await self._api.get(NAMESPACES, "", name)
        if namespace["metadata"].get("deletionTimestamp"):
            namespace.setdefault("spec", {})["finalizers"] = []
            await self._api.update(NAMESPACES, namespace, subresource="finalize")
