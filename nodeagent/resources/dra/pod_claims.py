"""Which ResourceClaims a pod is to have, whether it may have them, and which of their requests a container uses. Pure.

Source: docs/facts/node-resources.md 12.3; the texts are upstream's.
"""

from collections.abc import Iterator

from lightkube.models.core_v1 import Container, PodResourceClaim
from lightkube.models.resource_v1 import ResourceClaim

from nodeagent.podspec.effective import amounts
from nodeagent.podspec.pod import AgentPod


class NotPrepared(Exception):
    """A claim of the pod is not ready for use; trying again may help. The text is for the pod's event."""


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


def drivers_of(pod: AgentPod, claim: ResourceClaim, *, generated: bool) -> tuple[str, ...]:
    """Who has to prepare the claim. Raises NotPrepared: it is not the pod's, not reserved for it, or not allocated."""
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
    results = (allocation.devices.results if allocation.devices is not None else None) or ()
    return tuple(dict.fromkeys(result.driver for result in results))


def used_by(pod: AgentPod, container: Container) -> Iterator[tuple[str, str, str]]:
    """(ResourceClaim, request, name in the container's status) of what a container uses; request "": all of the claim's.

    What is not resolved to a claim yet is left out.
    """
    names = _claims_by_entry(pod)
    for use in (container.resources.claims if container.resources is not None else None) or ():
        if (claim := names.get(use.name)) is not None:
            shown = f"claim:{use.name}/{use.request}" if use.request else f"claim:{use.name}"
            yield claim, use.request or "", shown
    extended = pod.status.extendedResourceClaimStatus if pod.status is not None else None
    if extended is not None:
        asked = {name for name, count in amounts(container.resources, "requests").items() if count}
        for mapping in extended.requestMappings:
            if mapping.containerName == container.name and mapping.resourceName in asked:
                yield extended.resourceClaimName, mapping.requestName, mapping.resourceName


def _claims_by_entry(pod: AgentPod) -> dict[str, str]:
    statuses = (pod.status.resourceClaimStatuses if pod.status is not None else None) or ()
    found = {status.name: status.resourceClaimName for status in statuses}
    found |= {entry.name: entry.resourceClaimName for entry in pod.spec.resourceClaims or () if entry.resourceClaimName}
    return {entry: claim for entry, claim in found.items() if claim is not None}


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
