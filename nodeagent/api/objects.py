"""The secrets and config maps of this node's pods, each kept fresh by a watch of its own while a pod refers to it.

One watch per object, because the node authorizer allows nothing else. A watch that nobody reads from stops; the next read
starts it again. Pods that have an object's content as files are told of every change of it.
Source: the kubelet's watch-based manager (docs/facts/api-client-and-server.md C.1).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Generic, Protocol, TypeVar

from lightkube.models.core_v1 import ConfigMap, Secret
from typing_extensions import override

from nodeagent.api import errors
from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.references import (
    config_map_names,
    mounted_config_map_names,
    mounted_secret_names,
    secret_names,
)

log = logging.getLogger(__name__)

V = TypeVar("V", bound=Secret | ConfigMap)
Changed = Callable[[str], None]  # a pod's UID

FIRST_SYNC_SECONDS = 1.0
WATCH_SECONDS = (1800, 3600)
IDLE_SECONDS = 300.0
LINGER_SECONDS = 120.0


class ObjectNotReady(Exception):
    """The object is not known yet: not registered, or the API has not answered in time. Try again."""


class Objects(Protocol):
    """Secrets and config maps for pods. What is handed out is shared: do not change it."""

    def register(self, pod: AgentPod) -> None:
        """A pod came or changed: have what it refers to at hand. Repeatable."""

    def unregister(self, uid: str) -> None:
        """A pod is gone. Unknown ones are fine."""

    async def get_secret(self, namespace: str, name: str) -> Secret:
        """Return a secret that a registered pod refers to. Raises NotFound, ObjectNotReady."""

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        """Return a config map that a registered pod refers to. Raises NotFound, ObjectNotReady."""


class StaticOnly(Objects):
    """For an agent without an API: static pods may not refer to API objects, so there is never one to give."""

    @override
    def register(self, pod: AgentPod) -> None:
        return None

    @override
    def unregister(self, uid: str) -> None:
        return None

    @override
    async def get_secret(self, namespace: str, name: str) -> Secret:
        raise not_registered(namespace, name)

    @override
    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        raise not_registered(namespace, name)


class ObjectCache(Objects):
    """The real one, over an API client. `close()` stops all watches.

    `linger_seconds`: how long a config map's watch outlives its last pod, so that the next pod of the namespace (all of
    them use kube-root-ca.crt) finds it warm. Secrets do not linger. `changed(uid)`: the content of an object that the pod
    mounts is another than it was; called in the event loop, once for each change and pod.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        idle_seconds: float = IDLE_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
        first_sync_seconds: float = FIRST_SYNC_SECONDS,
        changed: Changed = lambda uid: None,
    ) -> None:
        self._secrets = _Watches(client, Secret, "secret", idle_seconds, 0.0, first_sync_seconds, changed)
        self._config_maps = _Watches(
            client, ConfigMap, "configmap", idle_seconds, linger_seconds, first_sync_seconds, changed
        )

    @override
    def register(self, pod: AgentPod) -> None:
        uid, namespace = pod.uid, pod.namespace
        for watches, names, mounted in (
            (self._secrets, secret_names(pod.spec), mounted_secret_names(pod.spec)),
            (self._config_maps, config_map_names(pod.spec), mounted_config_map_names(pod.spec)),
        ):
            watches.refer(uid, ((namespace, name) for name in names), ((namespace, name) for name in mounted))

    @override
    def unregister(self, uid: str) -> None:
        self._secrets.refer(uid, ())
        self._config_maps.refer(uid, ())

    @override
    async def get_secret(self, namespace: str, name: str) -> Secret:
        return await self._secrets.get(namespace, name)

    @override
    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        return await self._config_maps.get(namespace, name)

    async def close(self) -> None:
        await self._secrets.close()
        await self._config_maps.close()


class _Watch(Generic[V]):
    """One object: its pods, its reflector while one runs, and the copy that serves for good once it is immutable."""

    def __init__(self, start: Callable[[], Informer[V]], idle_seconds: float) -> None:
        self.pods: set[str] = set()
        self.mounted_by: set[str] = set()  # of the pods those that have the object's content as files
        self.frozen: V | None = None
        self.linger: asyncio.TimerHandle | None = None
        self._start = start
        self._idle_seconds = idle_seconds
        self._informer: Informer[V] | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._read_at = 0.0

    def running(self) -> Informer[V]:
        """Return the reflector, started if it was not, and count this as a read."""
        self._read_at = time.monotonic()
        if self._informer is None:
            self._informer = self._start()
            self._task = asyncio.create_task(self._informer.run(), context=Context())
            self._task.add_done_callback(_log_failure)
            self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._check_idle)
        return self._informer

    def stop(self) -> asyncio.Task[None] | None:
        """Stop the reflector and forget its copy. Returns the task that is ending, if one ran."""
        if self._idle is not None:
            self._idle.cancel()
        task = self._task
        if task is not None:
            task.cancel()
        self._informer = self._task = self._idle = None
        return task

    def _check_idle(self) -> None:
        unread_seconds = time.monotonic() - self._read_at
        waited_for = self.linger is not None or self._informer is None or not self._informer.has_synced
        if unread_seconds >= self._idle_seconds and not waited_for:
            self.stop()
            return
        again = self._idle_seconds - unread_seconds
        self._idle = asyncio.get_running_loop().call_later(again if again > 0 else self._idle_seconds, self._check_idle)


class _Watches(Generic[V]):
    """All watched objects of one kind, counted by the pods that refer to them."""

    def __init__(
        self,
        client: ApiClient,
        kind: type[V],
        noun: str,
        idle_seconds: float,
        linger_seconds: float,
        first_sync_seconds: float,
        changed: Changed,
    ) -> None:
        self._client = client
        self._kind = kind
        self._noun = noun
        self._idle_seconds = idle_seconds
        self._linger_seconds = linger_seconds
        self._first_sync_seconds = first_sync_seconds
        self._changed = changed
        self._watches: dict[tuple[str, str], _Watch[V]] = {}
        self._by_pod: dict[str, frozenset[tuple[str, str]]] = {}

    def refer(self, uid: str, keys: Iterable[tuple[str, str]], mounted: Iterable[tuple[str, str]] = ()) -> None:
        """Make `keys` what the pod refers to: new ones start before old ones are let go. `mounted`: what it has as files."""
        wanted, as_files = frozenset(keys), frozenset(mounted)
        before = self._by_pod.pop(uid, frozenset())
        if wanted:
            self._by_pod[uid] = wanted
        for key in wanted - before:
            self._hold(uid, key)
        for key in before - wanted:
            self._release(uid, key)
        for key in wanted:
            (self._watches[key].mounted_by.add if key in as_files else self._watches[key].mounted_by.discard)(uid)

    async def get(self, namespace: str, name: str) -> V:
        watch = self._watches.get((namespace, name))
        if watch is None:
            raise not_registered(namespace, name)
        if watch.frozen is not None:
            return watch.frozen
        informer = watch.running()
        if not informer.has_synced:
            try:
                async with asyncio.timeout(self._first_sync_seconds):
                    await informer.synced()
            except TimeoutError:
                return await self._read(namespace, name, informer.trouble)
        obj = informer.get(namespace, name)
        if obj is None:
            raise errors.not_found(f"{self._noun}s", name)
        if obj.immutable:
            watch.frozen = obj
            watch.stop()
        return obj

    async def _read(self, namespace: str, name: str, trouble: str) -> V:
        """The object, by a read of its own: where lists are refused, that may still be allowed."""
        text = f"failed to sync {self._noun} cache: timed out waiting for the condition"
        if not trouble:
            raise ObjectNotReady(text) from None
        try:
            return await self._client.get(self._kind, name, namespace)
        except errors.NotFound:
            raise
        except errors.ApiError as error:
            raise ObjectNotReady(f"{text}: {trouble}") from error

    async def close(self) -> None:
        tasks = [task for watch in self._watches.values() if (task := self._drop(watch))]
        self._watches.clear()
        self._by_pod.clear()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _hold(self, uid: str, key: tuple[str, str]) -> None:
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(lambda: self._informer(key), self._idle_seconds)
        if watch.linger is not None:
            watch.linger.cancel()
            watch.linger = None
        watch.pods.add(uid)
        if watch.frozen is None:
            watch.running()

    def _release(self, uid: str, key: tuple[str, str]) -> None:
        watch = self._watches[key]
        watch.pods.discard(uid)
        watch.mounted_by.discard(uid)
        if watch.pods:
            return
        if self._linger_seconds <= 0 or watch.frozen is not None:
            self._forget(key)
            return
        watch.linger = asyncio.get_running_loop().call_later(self._linger_seconds, self._forget, key)

    def _forget(self, key: tuple[str, str]) -> None:
        watch = self._watches.pop(key, None)
        if watch is not None:
            self._drop(watch)

    def _drop(self, watch: _Watch[V]) -> asyncio.Task[None] | None:
        if watch.linger is not None:
            watch.linger.cancel()
        return watch.stop()

    def _informer(self, key: tuple[str, str]) -> Informer[V]:
        namespace, name = key
        # A plain list first: it goes over a connection that is already open, while a watch needs one of its own.
        informer: Informer[V] = Informer(
            self._client,
            self._kind,
            namespace=namespace,
            field_selector=f"metadata.name={name}",
            watch_seconds=WATCH_SECONDS,
            watch_list=False,
            first_version="",
        )

        def tell(_: object, old: V | None, new: V | None) -> None:
            watch = self._watches.get(key)
            # what the first list brings is what the first reader gets
            if watch is not None and informer.has_synced and _content(old) != _content(new):
                for uid in tuple(watch.mounted_by):
                    self._changed(uid)

        informer.subscribe(tell)
        return informer


def _content(found: Secret | ConfigMap | None) -> object:
    """What of an object becomes files; None: it is not there."""
    if found is None:
        return None
    return found.data or {}, (found.binaryData or {}) if isinstance(found, ConfigMap) else {}


def not_registered(namespace: str, name: str) -> ObjectNotReady:
    return ObjectNotReady(f'object "{namespace}"/"{name}" not registered')


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("an object watch ended by a bug", exc_info=error)
