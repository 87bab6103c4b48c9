"""Which objects a node needs: those that the pods bound to it name. Kept from the changes of the store."""

from collections import Counter
from collections.abc import Iterator

import msgspec
from lightkube.models.core_v1 import PodSpec

from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Change, Key, Stored
from nodeagent.podspec.annotations import MIRROR
from nodeagent.podspec.references import claim_names, config_map_names, secret_names
from runtimes.kube.json_object import JsonObject

Reference = tuple[str, str, str]
"""(resource, namespace, name)"""
_NODE_SECRETS = (
    "nodeStageSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)  # of a PersistentVolume's spec.csi


def references(pod: JsonObject) -> Iterator[Reference]:
    """Config maps, secrets, claims and the service account that a pod's spec names. Raises msgspec.ValidationError."""
    namespace, spec = pod["metadata"].get("namespace", ""), msgspec.convert(pod.get("spec") or {}, PodSpec)
    if spec.serviceAccountName:
        yield "serviceaccounts", namespace, spec.serviceAccountName
    for resource, names in (
        ("secrets", secret_names(spec)),
        ("configmaps", config_map_names(spec)),
        ("persistentvolumeclaims", claim_names(pod["metadata"].get("name", ""), spec.volumes or ())),
    ):
        yield from ((resource, namespace, name) for name in names)


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
        """Whether a pod of `node` names this object; for volumes, whether one of its claims is bound to it; for secrets, whether
        such a volume names it for use on nodes."""
        counted = self._needed.get(node)
        if counted is None:
            return False
        if resource == "persistentvolumes":
            return any(self._bound_to(claim, name) for claim in counted if claim[0] == "persistentvolumeclaims")
        if counted[(resource, namespace, name)] > 0:
            return True
        return resource == "secrets" and any(
            self._opened_by(claim, namespace, name) for claim in counted if claim[0] == "persistentvolumeclaims"
        )

    def _bound_to(self, claim: Reference, volume: str) -> bool:
        return self._spec(*claim).get("volumeName") == volume

    def _opened_by(self, claim: Reference, namespace: str, secret: str) -> bool:
        """Whether the claim's volume needs the secret on the node."""
        source = self._spec("persistentvolumes", "", self._spec(*claim).get("volumeName") or "").get("csi") or {}
        needed = [source.get(field) or {} for field in _NODE_SECRETS]
        return any(each.get("namespace") == namespace and each.get("name") == secret for each in needed)

    def _spec(self, resource: str, namespace: str, name: str) -> JsonObject:
        stored = self._store.get(resource, Key(namespace, name))
        return (stored.decode().get("spec") if stored is not None else None) or {}

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
        try:
            found = frozenset() if is_mirror else frozenset(references(pod))
        except msgspec.ValidationError:  # the node cannot read it either
            found = frozenset()
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
