"""A pod's containers as resource managers see them: who may be given something, and who goes on with what another had. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lightkube.models.core_v1 import Container

from nodeagent.podspec.containers import is_sidecar
from nodeagent.podspec.effective import Amounts, together
from nodeagent.podspec.pod import AgentPod

_Item = TypeVar("_Item")


def in_order(pod: AgentPod) -> Sequence[Container]:
    """Those that may be given something: init containers first, each list in its order."""
    return (*(pod.spec.initContainers or ()), *pod.spec.containers)


def needed_at_once(pod: AgentPod, containers: Sequence[Container], of: Callable[[Container], Amounts]) -> Amounts:
    """What one container needs, or all of a pod at the time when they need most. `of`: what each needs."""
    if len(containers) == 1:
        return of(containers[0])
    return together(
        (of(item) for item in pod.spec.containers),
        ((of(item), is_sidecar(item)) for item in pod.spec.initContainers or ()),
    )


def reusable(pod: AgentPod, held: Mapping[str, frozenset[_Item]]) -> frozenset[_Item]:
    """What ordinary init containers have, which will have ended; less what those have that run on. `held`: by container."""
    ended = {item.name for item in pod.spec.initContainers or () if not is_sidecar(item)}
    done = frozenset[_Item]().union(*(own for name, own in held.items() if name in ended))
    return done.difference(*(own for name, own in held.items() if name not in ended))
