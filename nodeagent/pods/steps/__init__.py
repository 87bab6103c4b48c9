"""The steps of a pod's start, as a list.

What makes something for containers before they are created is a step before `ContainersStep`: a file beside the others, a slot
on `contract.SyncPass` that `ContainersStep` waits for (`devices.py` and `SyncPass.assigned`), and one line here.
"""

from typing import Protocol

from nodeagent.api.events import Events
from nodeagent.pods.hooks import Hooks
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.steps.cgroup import CgroupStep
from nodeagent.pods.steps.claims import ClaimsStep, PreparedClaims
from nodeagent.pods.steps.containers import ContainerConfigs, ContainersStep
from nodeagent.pods.steps.contract import Gate, StartObserver, Step
from nodeagent.pods.steps.devices import DevicesStep, NodeResources
from nodeagent.pods.steps.directories import DirectoriesStep
from nodeagent.pods.steps.gates import Claims, ClaimsGate, NetworkGate, Networks
from nodeagent.pods.steps.images import ImageSource, ImagesStep
from nodeagent.pods.steps.records import RecordsStep
from nodeagent.pods.steps.sandbox import SandboxConfigs, SandboxStep
from nodeagent.pods.steps.starts import HostsFiles, PodTerminator, StartsStep
from nodeagent.pods.steps.user_namespace import IdRanges, UserNamespaceStep
from nodeagent.pods.steps.volumes import PodVolumes, VolumesStep


class Configs(SandboxConfigs, ContainerConfigs, HostsFiles, Protocol):
    """Who translates pods and containers for the runtime."""


def pod_gates(*, networks: Networks, claims: Claims) -> tuple[Gate, ...]:
    """What must hold before the steps, in the order in which it is asked."""
    return (NetworkGate(networks), ClaimsGate(claims))


def pod_steps(
    *,
    paths: PodPaths,
    cgroup: CgroupStep,
    user_namespaces: IdRanges,
    volumes: PodVolumes,
    configs: Configs,
    images: ImageSource,
    claims: PreparedClaims,
    resources: NodeResources,
    hooks: Hooks,
    terminator: PodTerminator,
    events: Events,
    networks: Networks,
    observer: StartObserver,
) -> tuple[Step, ...]:
    """The steps in the order in which they are begun; teardown goes the other way. A feature is one line here."""
    return (
        DirectoriesStep(paths),
        RecordsStep(),
        ClaimsStep(claims),
        cgroup,
        UserNamespaceStep(user_namespaces),
        VolumesStep(volumes),
        ImagesStep(images),
        DevicesStep(resources),
        SandboxStep(configs, events, networks, observer),
        ContainersStep(configs, events, paths),
        StartsStep(hosts=configs, hooks=hooks, terminator=terminator, events=events, paths=paths, observer=observer),
    )
