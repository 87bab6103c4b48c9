"""Pods and containers as the runtime takes them (`steps.*.…Configs`): gather what takes I/O, then translate.

The translations are pure; none of this asks the runtime that it is made for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nodeagent.api.events import Events
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.rules.runtime_view import name_of_instance
from nodeagent.pods.translation.container_config import ContainerContext, container_config
from nodeagent.pods.translation.dns import dns_config
from nodeagent.pods.translation.environment import ConfigError, ObjectSource, variables_of
from nodeagent.pods.translation.gathering import Gathered, Gatherer
from nodeagent.pods.translation.hostname import pod_hostname
from nodeagent.pods.translation.node_settings import HandlerFeatures, NodeSettings
from nodeagent.pods.translation.request import ContainerRequest
from nodeagent.pods.translation.resources import HostLimits, container_resources, sandbox_overhead, sandbox_resources
from nodeagent.pods.translation.sandbox_config import sandbox_config
from nodeagent.pods.translation.security import SecuritySettings
from nodeagent.podspec.containers import ContainerKind
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.contract import Assigned
from nodeagent.volumes.container_mounts import MountInputs, container_devices, container_mounts
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout
from proto import cri_pb2 as cri


class PodConfigs:
    """Implements the sandbox step's and the containers step's view of configurations."""

    def __init__(self, settings: NodeSettings, objects: ObjectSource, events: Events, paths: PodPaths) -> None:
        self._settings = settings
        self._events = events
        self._paths = paths
        self._gatherer = Gatherer(settings, objects, paths)

    def host_ips(self) -> tuple[str, ...]:
        return self._settings.host_ips()

    def sandbox(self, pod: AgentPod, *, attempt: int, cgroup_parent: str) -> cri.PodSandboxConfig:
        """Raises ValueError for a host name that is too long, or for users that the pod cannot have."""
        namespace, name = pod.key
        dns = self._settings.dns()
        resolver, _ = dns_config(pod, dns)
        return sandbox_config(
            pod,
            attempt=attempt,
            hostname="" if pod.spec.hostNetwork else pod_hostname(pod, dns.cluster_domain).kernel,
            dns=resolver,
            cgroup_parent=cgroup_parent,
            log_directory=str(self._paths.log_dir(namespace, name, pod.uid)),
            resources=sandbox_resources(pod.spec, self._settings.host),
            overhead=sandbox_overhead(pod.spec, self._settings.host),
            user_namespace=self._settings.user_namespace(pod),
        )

    def warn(self, pod: AgentPod) -> None:
        """Publish events about what the pod's resolver configuration cannot be."""
        for warning in dns_config(pod, self._settings.dns())[1]:
            self._events.event(pod, "Warning", warning.reason, warning.message)

    async def container(self, request: ContainerRequest) -> cri.ContainerConfig:
        """Raises ConfigError."""
        features = self._settings.features(request.handler)
        if request.volume_images and features.image_volumes_refusal:
            raise ConfigError(features.image_volumes_refusal)
        gathered = await self._gatherer.gather(request)
        node = NodePart(
            layout=self._paths, host=self._settings.host, security=self._settings.security, features=features
        )
        return container_config(container_context(request, gathered, node))

    def write_hosts(self, pod: AgentPod, pod_ips: tuple[str, ...]) -> None:
        """Bring the pod's /etc/hosts up to date, in place. Raises HostnameError, OSError."""
        self._gatherer.write_hosts(pod, pod_ips)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePart:
    """What the node has to do with it; `features`: of the pod's runtime."""

    layout: Layout
    host: HostLimits
    features: HandlerFeatures
    security: SecuritySettings = field(default_factory=SecuritySettings)


def container_context(request: ContainerRequest, gathered: Gathered, node: NodePart) -> ContainerContext:
    """Raises ConfigError for a volume that is not there, or cannot be mounted so, and for a target that is not there."""
    pod, container = request.pod, request.container
    inputs = MountInputs(
        layout=node.layout,
        mounted=request.mounts,
        environment=variables_of(gathered.environment),
        hosts_file=gathered.hosts_file,
        termination_log=gathered.termination_log,
        images=request.volume_images,
        recursive_read_only=node.features.recursive_read_only_mounts,
        user_namespace=gathered.user_namespace,
    )
    try:
        mounts = container_mounts(pod, container, inputs)
        devices = container_devices(container, request.mounts)
    except VolumeError as error:
        raise ConfigError(str(error)) from error
    groups = {group for volume in request.mounts.values() for group in volume.supplemental_groups}
    return ContainerContext(
        pod=pod,
        kind=request.kind,
        container=container,
        restart_count=request.restart_count,
        image=request.image.image,
        image_ref=request.image.image_ref,
        environment=_with_devices(request.assigned, gathered.environment),
        mounts=[*request.assigned.mounts, *mounts],
        devices=[*request.assigned.devices, *devices],
        cdi_devices=tuple(cri.CDIDevice(name=name) for name in request.assigned.cdi_names),
        annotations=request.assigned.annotations,
        resources=container_resources(pod, container, node.host, assigned=request.assigned),
        security=node.security,
        target_id=_target_id(request),
        user_namespace=gathered.user_namespace,
        volume_groups=tuple(sorted(groups)),
        runtime_handler=request.cri_handler,
    )


def _with_devices(assigned: Assigned, own: Sequence[cri.KeyValue]) -> Sequence[cri.KeyValue]:
    """The variables of plugins first: where the pod sets the same, that counts."""
    names = {item.key for item in own}
    wanted = [
        cri.KeyValue(key=name, value=value.encode())
        for name, value in assigned.environment.items()
        if name not in names
    ]
    return [*wanted, *own] if wanted else own


def _target_id(request: ContainerRequest) -> str:
    """The container whose processes an ephemeral one is to see. Raises ConfigError."""
    target = getattr(request.container, "targetContainerName", None)
    if request.kind is not ContainerKind.EPHEMERAL or not target:
        return ""
    for instance in request.instances:
        if name_of_instance(instance) == target:
            return instance.status.id
    raise ConfigError(f"unable to find target container {target}")
