"""What the containers step asks a configuration for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nodeagent.images.manager import EnsuredImage
from nodeagent.pods.rules.model import Instance
from nodeagent.podspec.containers import AnyContainer, ContainerKind
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.contract import NOTHING, Assigned
from nodeagent.volumes.contract import MountedVolume
from proto import cri_pb2 as cri


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRequest:
    """One container to be created, with what this pass knows of its pod.

    `handler`: the pod's runtime, as this node names it; `cri_handler`: as the runtime itself does. `instances`: the pod's
    containers in the runtime, the newest first. `volume_images`: pulled image volumes by volume name. `assigned`: what the
    container has of the node for itself.
    """

    pod: AgentPod
    kind: ContainerKind
    container: AnyContainer
    restart_count: int
    image: EnsuredImage
    mounts: Mapping[str, MountedVolume]
    pod_ips: tuple[str, ...]
    handler: str = ""
    cri_handler: str = ""
    instances: Sequence[Instance] = ()
    volume_images: Mapping[str, cri.ImageSpec] = field(default_factory=dict)
    assigned: Assigned = NOTHING
