"""Which objects a node needs: those that the pods bound to it name. Kept from the changes of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Change, Key, Object, Stored
from nodeagent.podspec.annotations import MIRROR

Reference = tuple[str, str, str]
"""(resource, namespace, name)"""


def references(pod: Object) -> Iterator[Reference]:
    """Config maps, secrets, claims and the service account that a pod's spec names."""
    namespace, spec = pod["metadata"].get("namespace", ""), pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _environment(namespace, container)
    for volume in spec.get("volumes") or ():
        yield from _volume(namespace, pod["metadata"].get("name", ""), volume)


def _environment(namespace: str, container: Object) -> Iterator[Reference]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield from _named(namespace, source.get("configMapKeyRef"), source.get("secretKeyRef"))
    for source in container.get("envFrom") or ():
        yield from _named(namespace, source.get("configMapRef"), source.get("secretRef"))


def _named(namespace: str, config_map: Any, secret: Any) -> Iterator[Reference]:
    if config_map:
        yield "configmaps", namespace, config_map.get("name", "")
    if secret:
        yield "secrets", namespace, secret.get("name", "")


def _volume(namespace: str, pod_name: str, volume: Object) -> Iterator[Reference]:
    yield from _named(namespace, volume.get("configMap"), None)
    if volume.get("secret"):
        yield "secrets", namespace, volume["secret"].get("secretName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _named(namespace, source.get("configMap"), source.get("secret"))
    claim = volume.get("persistentVolumeClaim")
    if claim:
        yield "persistentvolumeclaims", namespace, claim.get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", namespace, f"{pod_name}-{volume.get('name', '')}"
    for source in volume.values():
        if isinstance(source, dict):
            for field in ("nodePublishSecretRef", "secretRef"):
                if isinstance(source.get(field), dict):
                    yield "secrets", namespace, source[field].get("name", "")


class Graph:
    """References counted per node; a pod's are added with its binding and go when it goes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._needed: dict[str, Counter[Reference]] = {}
        self._pods: dict[Key, tuple[str, frozenset[Reference]]] = {}
        for stored in store.list("pods"):
            self._add(stored)
        store.listen(self._seen)

    def needs(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod of ``node`` names this object; for volumes, whether one of its claims is bound to it."""
        counted = self._needed.get(node)
        if counted is None:
            return False
        if resource == "persistentvolumes":
            return any(self._bound_to(claim, name) for claim in counted if claim[0] == "persistentvolumeclaims")
        return counted[(resource, namespace, name)] > 0

    def _bound_to(self, claim: Reference, volume: str) -> bool:
        resource, namespace, name = claim
        stored = self._store.get(resource, Key(namespace, name))
        return stored is not None and (stored.decode().get("spec") or {}).get("volumeName") == volume

    def _seen(self, change: Change) -> None:
        if change.new.resource != "pods":
            return
        if change.type == "DELETED":
            self._remove(change.new.key)
        elif change.old is None or not self._same_spec(change.old, change.new):
            self._remove(change.new.key)
            self._add(change.new)

    def _same_spec(self, old: Stored, new: Stored) -> bool:
        """A status write cannot change what a pod names: the generation moves with every change of the spec."""
        if old.index.fields.get("spec.nodeName") != new.index.fields.get("spec.nodeName"):
            return False
        return old.index.uid == new.index.uid and new.key in self._pods and _generation(old) == _generation(new)

    def _add(self, stored: Stored) -> None:
        node = stored.index.fields.get("spec.nodeName", "")
        if not node:
            return
        pod = stored.decode()
        # a node makes mirror pods itself: they must never give it anything
        is_mirror = MIRROR in (pod["metadata"].get("annotations") or {})
        found = frozenset() if is_mirror else frozenset(references(pod))
        self._pods[stored.key] = (node, found)
        self._needed.setdefault(node, Counter()).update(found)

    def _remove(self, key: Key) -> None:
        node, found = self._pods.pop(key, ("", frozenset()))
        counted = self._needed.get(node)
        if counted is None:
            return
        counted.subtract(found)
        for reference in found:
            if counted[reference] <= 0:
                del counted[reference]


def _generation(stored: Stored) -> bytes:
    _, _, rest = stored.data.partition(b'"generation":')
    return rest[:20].partition(b",")[0].partition(b"}")[0]
