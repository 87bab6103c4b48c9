"""Mirror pods: the API's picture of static pods. Source: docs/facts/pod-lifecycle.md 1.4.

The agent only ever writes them; what it runs is the static pod. Status goes to the mirror by the status writer.
"""

import logging
from collections.abc import Callable

import msgspec
from lightkube.models.core_v1 import Node, Pod
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import AlreadyExists, Conflict, NotFound
from nodeagent.podspec import annotations
from nodeagent.podspec.pod import API, AgentPod

log = logging.getLogger(__name__)


class MirrorPods:
    """Keeps mirror pods in step with static pods. `node`: the own Node as last seen. Calls raise ApiError."""

    def __init__(self, client: ApiClient, node_name: str, node: Callable[[], Node | None]) -> None:
        self._client = client
        self._node_name = node_name
        self._node = node

    async def ensure(self, static: AgentPod, mirror: AgentPod | None) -> bool:
        """Make `mirror`, as last seen in the API, the right one; say whether the API has one afterwards.

        A mirror that is being deleted, or is of an older manifest, is deleted and made again.
        """
        if mirror is not None:
            if not mirror.is_deleted and is_mirror_of(mirror, static):
                return True
            await self.delete(mirror)
        return await self.create(static)

    async def create(self, static: AgentPod) -> bool:
        """Create the mirror; False while there is no Node to own it, or another pod has its name."""
        owner = self._owner()
        if owner is None:
            return False
        wanted = mirror_of(static, owner)
        try:
            await self._client.create(wanted)
        except AlreadyExists:
            found = AgentPod.of(await self._client.get(Pod, static.name, static.namespace), API)
            return _same_manifest(found, static)
        return True

    async def delete(self, mirror: AgentPod) -> None:
        """Delete this very mirror, without grace. Fine if it is gone or was replaced."""
        await self._delete(mirror, mirror.uid)

    async def delete_orphan(self, mirror: AgentPod) -> None:
        """Delete a mirror that has no static pod, whichever has its name by now."""
        await self._delete(mirror, None)

    async def _delete(self, mirror: AgentPod, uid: str | None) -> None:
        log.info("deleting mirror pod %s/%s", mirror.namespace, mirror.name)
        try:
            await self._client.delete(Pod, mirror.name, mirror.namespace, grace_period_seconds=0, uid=uid)
        except (NotFound, Conflict) as error:
            log.debug("mirror pod %s/%s: %s", mirror.namespace, mirror.name, error)

    def _owner(self) -> OwnerReference | None:
        node = self._node()
        metadata = (node.metadata if node else None) or ObjectMeta()
        if not metadata.uid or metadata.deletionTimestamp is not None:
            return None
        return OwnerReference(apiVersion="v1", kind="Node", name=self._node_name, uid=metadata.uid, controller=True)


def mirror_of(static: AgentPod, owner: OwnerReference) -> Pod:
    """Return the mirror to create for a static pod."""
    marked = {**static.annotations, annotations.MIRROR: static.annotations.get(annotations.HASH, "")}
    return Pod(
        metadata=ObjectMeta(
            name=static.name,
            namespace=static.namespace,
            labels=static.metadata.labels,
            annotations=marked,
            ownerReferences=[owner],
        ),
        spec=msgspec.structs.replace(static.spec),
    )


def is_mirror_of(mirror: AgentPod, static: AgentPod) -> bool:
    """Name, namespace and manifest hash agree."""
    return mirror.key == static.key and _same_manifest(mirror, static)


def _same_manifest(mirror: AgentPod, static: AgentPod) -> bool:
    return mirror.annotations.get(annotations.MIRROR) == static.annotations.get(annotations.HASH)
