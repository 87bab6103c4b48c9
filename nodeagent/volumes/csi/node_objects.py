"""What the Node and the CSINode object say of the drivers of a node. Pure. Source: docs/facts/storage.md 10.1."""

from collections.abc import Mapping

import msgspec
from lightkube.models.core_v1 import Node
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.models.storage_v1 import CSINodeDriver, VolumeNodeResources

from csi.values import NodeInfo
from nodeagent.api.csi_node import CSINode, CSINodeSpec
from runtimes.kube.json_errors import UNREADABLE
from runtimes.kube.json_object import JsonObject

NODE_IDS = "csi.volume.kubernetes.io/nodeid"
_MAX_COUNT = 2**31 - 1


class LabelTaken(Exception):
    """A driver says that the node is elsewhere than its labels say."""


def with_driver(node: Node, driver: str, info: NodeInfo) -> JsonObject:
    """The patch of the Node's metadata by which a driver is added; empty: nothing is to be changed. Raises LabelTaken."""
    patch: JsonObject = {}
    before = _node_ids(node)
    if before.get(driver) != info.node_id:
        patch["annotations"] = {NODE_IDS: _shown({**before, driver: info.node_id})}
    labels = (node.metadata.labels if node.metadata is not None else None) or {}
    for key, value in info.topology.items():
        if labels.get(key, value) != value:
            text = f'driver reported "{key}":"{value}" but existing label is "{key}":"{labels[key]}"'
            raise LabelTaken(f"detected topology value collision: {text}")
    if missing := {key: value for key, value in info.topology.items() if key not in labels}:
        patch["labels"] = missing
    return patch


def without_driver(node: Node, driver: str) -> JsonObject:
    """Likewise when it is gone. Its labels stay: volumes that it made are still there."""
    before = _node_ids(node)
    if driver not in before:
        return {}
    left = {name: node_id for name, node_id in before.items() if name != driver}
    return {"annotations": {NODE_IDS: _shown(left) if left else None}}


def new_csi_node(node_name: str, uid: str) -> CSINode:
    owner = OwnerReference(apiVersion="v1", kind="Node", name=node_name, uid=uid)
    return CSINode(metadata=ObjectMeta(name=node_name, ownerReferences=[owner]), spec=CSINodeSpec(drivers=[]))


def is_of(found: CSINode, uid: str) -> bool:
    """Whether it belongs to the Node of that UID, not to one of the name that is gone."""
    owners = (found.metadata.ownerReferences if found.metadata is not None else None) or ()
    return any(owner.kind == "Node" and owner.uid == uid for owner in owners)


def listing(drivers: list[CSINodeDriver], driver: str, info: NodeInfo) -> list[CSINodeDriver]:
    """The CSINode's drivers with one as it is now, in its place or at the end."""
    entry = CSINodeDriver(
        name=driver,
        nodeID=info.node_id,
        topologyKeys=sorted(info.topology) or None,
        allocatable=VolumeNodeResources(count=min(info.max_volumes, _MAX_COUNT)) if info.max_volumes > 0 else None,
    )
    found = [entry if each.name == driver else each for each in drivers]
    return found if entry in found else [*found, entry]


def not_listing(drivers: list[CSINodeDriver], driver: str) -> list[CSINodeDriver]:
    return [each for each in drivers if each.name != driver]


def drivers_patch(found: CSINode, drivers: list[CSINodeDriver]) -> JsonObject:
    """The JSON merge patch that makes them the CSINode's, as long as it is the one that was found."""
    version = found.metadata.resourceVersion if found.metadata is not None else None
    return {"metadata": {"resourceVersion": version}, "spec": {"drivers": msgspec.to_builtins(drivers)}}


def _node_ids(node: Node) -> Mapping[str, str]:
    """An annotation that cannot be read is of nobody, and is written anew."""
    text = ((node.metadata.annotations if node.metadata is not None else None) or {}).get(NODE_IDS, "")
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, str])
    except UNREADABLE:
        return {}


def _shown(node_ids: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(sorted(node_ids.items()))).decode()
