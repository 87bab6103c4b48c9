"""The secrets and config maps of this node's pods without a watch: read for each use, or kept for a while.

For clusters that bear reads better than watches (`configMapAndSecretChangeDetectionStrategy: Get` and `Cache`); what changes is
seen at the next use, volumes' at their next refresh. Source: the kubelet's simple and caching managers
(docs/facts/api-client-and-server.md C.1).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lightkube.models.core_v1 import ConfigMap, Node, Secret
from typing_extensions import override

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, NotFound
from nodeagent.api.objects import Objects, not_registered
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.references import config_map_names, secret_names

V = TypeVar("V", bound=Secret | ConfigMap)
Key = tuple[str, str, str]  # kind, namespace, name

TTL_ANNOTATION = "node.alpha.kubernetes.io/ttl"
DEFAULT_TTL_SECONDS = 60.0


class DirectReads(Objects):
    """Strategy `Get`: every use is a request."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    @override
    def register(self, pod: AgentPod) -> None:
        return None

    @override
    def unregister(self, uid: str) -> None:
        return None

    @override
    async def get_secret(self, namespace: str, name: str) -> Secret:
        return await self._client.get(Secret, name, namespace)

    @override
    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        return await self._client.get(ConfigMap, name, namespace)


@dataclass(slots=True)
class _Kept:
    """What is known of one object; `read_at` None: it is to be read at the next use."""

    found: Secret | ConfigMap | None = None
    missing: NotFound | None = None
    read_at: float | None = None


class CachedReads(Objects):
    """Strategy `Cache`: an object is read again when it is older than `ttl_seconds()`, and when a pod comes that uses it."""

    def __init__(
        self, client: ApiClient, ttl_seconds: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._kept: dict[Key, _Kept] = {}
        self._by_pod: dict[str, frozenset[Key]] = {}

    @override
    def register(self, pod: AgentPod) -> None:
        uid, namespace = pod.uid, pod.namespace
        keys: list[Key] = [("Secret", namespace, name) for name in secret_names(pod.spec)]
        keys += [("ConfigMap", namespace, name) for name in config_map_names(pod.spec)]
        for key in keys:
            self._kept.setdefault(key, _Kept()).read_at = None
        self._refer(uid, frozenset(keys))

    @override
    def unregister(self, uid: str) -> None:
        self._refer(uid, frozenset())

    @override
    async def get_secret(self, namespace: str, name: str) -> Secret:
        return await self._get(Secret, namespace, name)

    @override
    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        return await self._get(ConfigMap, namespace, name)

    def _refer(self, uid: str, keys: frozenset[Key]) -> None:
        self._by_pod.pop(uid, None)
        if keys:
            self._by_pod[uid] = keys
        used = frozenset[Key]().union(*self._by_pod.values())
        for key in self._kept.keys() - used:
            del self._kept[key]

    async def _get(self, kind: type[V], namespace: str, name: str) -> V:
        """An object that cannot be read again stays as it was; one that is known to be gone is."""
        kept = self._kept.get((kind.__name__, namespace, name))
        if kept is None:
            raise not_registered(namespace, name)
        if kept.read_at is None or self._clock() - kept.read_at >= self._ttl_seconds():
            try:
                kept.found, kept.missing, kept.read_at = (
                    await self._client.get(kind, name, namespace),
                    None,
                    self._clock(),
                )
            except NotFound as error:
                kept.found, kept.missing, kept.read_at = None, error, self._clock()
            except ApiError:
                if kept.found is None and kept.missing is None:
                    raise
        if kept.missing is not None:
            raise kept.missing
        assert isinstance(kept.found, kind)
        return kept.found


def ttl_seconds(node: Node | None) -> float:
    """How long the cluster wants this node to keep objects: it grows with the cluster."""
    annotations = (node.metadata.annotations if node is not None and node.metadata is not None else None) or {}
    text: str = annotations.get(TTL_ANNOTATION, "")
    return float(text) if text.isdecimal() else DEFAULT_TTL_SECONDS
