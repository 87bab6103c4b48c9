"""The resource claims of a pod, and why it cannot have them (docs/facts/node-resources.md 12.3).

Claims are prepared by DRA drivers that register on the node. This node takes no such registration yet, so what an allocated claim
lacks is its driver; all that upstream asks of a claim before it calls a driver is asked here in its order and words.
"""

from collections.abc import Iterator
from typing import Protocol

from lightkube.models.core_v1 import PodResourceClaim
from lightkube.models.resource_v1 import ResourceClaim

from nodeagent.api.errors import ApiError
from nodeagent.podspec.pod import AgentPod


class NotPrepared(Exception):
    """A claim of the pod is not ready for use; trying again may help. The text is for the pod's event."""


class Claims(Protocol):
    """Where claims are read. Raises ApiError."""

    async def get(self, kind: type[ResourceClaim], name: str, namespace: str) -> ResourceClaim: ...


class ResourceClaims:
    """`claims` None: a node without an API, whose pods can have none."""

    def __init__(self, claims: Claims | None) -> None:
        self._claims = claims

    async def prepare(self, pod: AgentPod) -> None:
        """Make every claim of the pod ready for use. Raises NotPrepared."""
        for name, generated in wanted(pod):
            check(pod, await self._fetch(pod, name), generated=generated)

    async def _fetch(self, pod: AgentPod, name: str) -> ResourceClaim:
        if self._claims is None:
            raise NotPrepared(f"fetch ResourceClaim {name}: this node has no API server")
        try:
            return await self._claims.get(ResourceClaim, name, pod.namespace)
        except ApiError as error:
            raise NotPrepared(f"fetch ResourceClaim {name}: {error}") from error


def wanted(pod: AgentPod) -> Iterator[tuple[str, bool]]:
    """(name of a ResourceClaim, whether it was generated for this pod) of all that the pod is to have. Raises NotPrepared.

    An entry whose template needed no claim, as the status says, is none. What the scheduler claimed for extended resources is.
    """
    for entry in pod.spec.resourceClaims or ():
        if entry.resourceClaimName is not None:
            yield entry.resourceClaimName, False
        elif (generated := _generated(pod, entry)) is not None:
            yield generated, True
    extended = pod.status.extendedResourceClaimStatus if pod.status is not None else None
    if extended is not None:
        yield extended.resourceClaimName, False


def check(pod: AgentPod, claim: ResourceClaim, *, generated: bool) -> None:
    """Raises NotPrepared: not the pod's, not reserved for it, not allocated, or allocated by a driver that is not here."""
    assert claim.metadata is not None
    namespace, pod_name = pod.key
    name = claim.metadata.name
    if generated and not _is_owned(pod, claim):
        raise NotPrepared(
            f"ResourceClaim {namespace}/{name} was not created for pod {namespace}/{pod_name} (pod is not owner)"
        )
    reserved = (claim.status.reservedFor if claim.status is not None else None) or ()
    if all(consumer.uid != pod.uid for consumer in reserved):
        raise NotPrepared(
            f"pod {pod_name} ({pod.uid}) is not allowed to use ResourceClaim {name} ({claim.metadata.uid})"
        )
    allocation = claim.status.allocation if claim.status is not None else None
    if allocation is None:
        raise NotPrepared(f"ResourceClaim {name}: not allocated")
    for result in (allocation.devices.results if allocation.devices is not None else None) or ():
        raise NotPrepared(f"DRA driver {result.driver} is not registered")


def _generated(pod: AgentPod, entry: PodResourceClaim) -> str | None:
    """The claim made from the entry's template; None: none was needed. Raises NotPrepared: none yet."""
    namespace, name = pod.key
    if entry.resourceClaimTemplateName is None:
        text = "none of the supported fields are set"
        raise NotPrepared(f'pod "{namespace}/{name}", spec.resourceClaims "{entry.name}": {text}')
    for status in (pod.status.resourceClaimStatuses if pod.status is not None else None) or ():
        if status.name == entry.name:
            return status.resourceClaimName
    raise NotPrepared(f'pod "{namespace}/{name}": ResourceClaim not created yet')


def _is_owned(pod: AgentPod, claim: ResourceClaim) -> bool:
    assert claim.metadata is not None
    owners = claim.metadata.ownerReferences or ()
    return any(owner.controller and owner.uid == pod.uid for owner in owners)
