"""The way of a pod, as a list."""

from typing import Protocol

from nodeagent.api.events import Events
from nodeagent.pods.hooks import Hooks
from nodeagent.pods.killing import Killer
from nodeagent.pods.resource_claims import ResourceClaims
from nodeagent.pods.steps.cgroup import Cgroup
from nodeagent.pods.steps.containers import ContainerConfigs, Containers, Images
from nodeagent.pods.steps.contract import Gate, PodPaths, Step
from nodeagent.pods.steps.directories import Directories
from nodeagent.pods.steps.gates import ClaimsGate, NetworkGate, Networks
from nodeagent.pods.steps.records import Records
from nodeagent.pods.steps.sandbox import Sandbox, SandboxConfigs
from nodeagent.pods.steps.user_namespace import UserNamespaceRange
from nodeagent.pods.steps.volumes import Volumes
from nodeagent.pods.user_namespaces import UserNamespaces
from nodeagent.volumes.manager import VolumeManager


class Configs(SandboxConfigs, ContainerConfigs, Protocol):
    """Who translates pods and containers for the runtime."""


def pod_gates(*, networks: Networks, claims: ResourceClaims) -> tuple[Gate, ...]:
    """What must hold before the steps, in the order in which it is asked."""
    return (NetworkGate(networks), ClaimsGate(claims))


def pod_steps(
    *,
    paths: PodPaths,
    cgroup: Cgroup,
    user_namespaces: UserNamespaces,
    volumes: VolumeManager,
    configs: Configs,
    images: Images,
    hooks: Hooks,
    killer: Killer,
    events: Events,
    networks: Networks,
) -> tuple[Step, ...]:
    """The steps in the order in which they are begun; teardown goes the other way. A feature is one line here."""
    return (
        Directories(paths),
        Records(),
        cgroup,
        UserNamespaceRange(user_namespaces),
        Volumes(volumes),
        Sandbox(configs, events, networks),
        Containers(images=images, configs=configs, hooks=hooks, killer=killer, events=events, paths=paths),
    )
