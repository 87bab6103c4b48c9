"""Pods and containers as the runtime takes them: gathers what the translations need (`steps.*.…Configs`)."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nodeagent.pods.observation import LABEL_CONTAINER_NAME, observe
from nodeagent.pods.steps.containers import ContainerRequest
from nodeagent.pods.steps.contract import PodEvents, PodPaths
from nodeagent.pods.translation.container_config import ContainerContext, container_config
from nodeagent.pods.translation.dns import DNSSettings, dns_config
from nodeagent.pods.translation.environment import (
    ConfigError,
    EnvironmentSources,
    ObjectSource,
    ServiceLister,
    resolve_environment,
    variables_of,
)
from nodeagent.pods.translation.hostname import HostnameError, pod_hostname
from nodeagent.pods.translation.hosts import host_network_content, hosts_content, write_hosts
from nodeagent.pods.translation.mount_support import image_volume_refusal, recursive_read_only
from nodeagent.pods.translation.sandbox_config import sandbox_config
from nodeagent.pods.translation.security import SecuritySettings
from nodeagent.pods.translation.termination_message import create_termination_file
from nodeagent.pods.user_namespaces import UserNamespaceError
from nodeagent.podspec.containers import ContainerKind
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.pod_resources import HostLimits, container_resources, sandbox_overhead, sandbox_resources
from nodeagent.volumes.container_mounts import MountInputs, container_devices, container_mounts
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault

NODE_HOSTS = Path("/etc/hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """The node's part in every configuration. Callables answer as of now and are quick."""

    dns: Callable[[], DNSSettings]
    security: SecuritySettings
    host: HostLimits
    host_ips: Callable[[], tuple[str, ...]]
    allocatable: Callable[[], Mapping[str, str]]
    services: ServiceLister
    user_namespace: Callable[[AgentPod], cri.UserNamespace | None]  # raises UserNamespaceError


class PodConfigs:
    """Implements the sandbox step's and the containers step's view of configurations."""

    def __init__(self, settings: NodeSettings, objects: ObjectSource, events: PodEvents, paths: PodPaths) -> None:
        self._settings = settings
        self._objects = objects
        self._events = events
        self._paths = paths
        self._layout = Layout(paths.root_dir)

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
            resources=sandbox_resources(pod, self._settings.host),
            overhead=sandbox_overhead(pod, self._settings.host),
            user_namespace=self._settings.user_namespace(pod),
        )

    def warn(self, pod: AgentPod) -> None:
        """Tell the pod's owner what its resolver configuration cannot be."""
        for warning in dns_config(pod, self._settings.dns())[1]:
            self._events.event(pod, "Warning", warning.reason, warning.message)

    async def container(self, request: ContainerRequest) -> cri.ContainerConfig:
        """Raises ConfigError."""
        pod, container = request.pod, request.container
        try:
            user_namespace = self._settings.user_namespace(pod)
        except UserNamespaceError as error:
            raise ConfigError(str(error)) from error
        sources = EnvironmentSources(
            objects=self._objects,
            services=self._settings.services,
            pod_ips=request.pod_ips,
            host_ips=self._settings.host_ips(),
            allocatable=self._settings.allocatable(),
            mounted=request.mounts,
            static_pod=pod.is_static,
        )
        environment = await resolve_environment(pod, container, sources)
        try:
            if request.volume_images and (refusal := await image_volume_refusal(request.runtime)):
                raise VolumeError(refusal)
            mounts = await container_mounts(
                pod, container, await self._mount_inputs(request, variables_of(environment), user_namespace)
            )
            devices = container_devices(container, request.mounts)
        except (VolumeError, RuntimeFault) as error:
            raise ConfigError(str(error)) from error
        groups = {group for volume in request.mounts.values() for group in volume.supplemental_groups}
        return container_config(
            ContainerContext(
                pod=pod,
                kind=request.kind,
                container=container,
                restart_count=request.restart_count,
                image=request.image.image,
                image_ref=request.image.image_ref,
                environment=environment,
                mounts=mounts,
                devices=devices,
                resources=container_resources(pod, container, self._settings.host),
                security=self._settings.security,
                target_id=await self._target_id(request),
                user_namespace=user_namespace,
                volume_groups=tuple(sorted(groups)),
                runtime_handler=request.runtime.cri_handler,
            )
        )

    def write_hosts(self, pod: AgentPod, pod_ips: tuple[str, ...]) -> None:
        """Bring the pod's /etc/hosts up to date, in place. Raises HostnameError, OSError."""
        aliases = pod.spec.hostAliases or ()
        if pod.spec.hostNetwork:
            content = host_network_content(
                NODE_HOSTS.read_text(errors="replace") if NODE_HOSTS.exists() else "", aliases
            )
        else:
            hostname = pod_hostname(pod, self._settings.dns().cluster_domain)
            content = hosts_content(pod_ips, hostname.host, hostname.domain, aliases)
        write_hosts(self._layout.hosts_file(pod.uid), content)

    async def _mount_inputs(
        self, request: ContainerRequest, environment: Mapping[str, str], user_namespace: cri.UserNamespace | None
    ) -> MountInputs:
        uid = request.pod.uid
        try:
            self.write_hosts(request.pod, request.pod_ips)
            termination_file = await asyncio.to_thread(
                create_termination_file, self._layout.container_dir(uid, request.container.name)
            )
        except (HostnameError, OSError) as error:
            raise ConfigError(str(error)) from error
        return MountInputs(
            layout=self._layout,
            uid=uid,
            mounted=request.mounts,
            environment=environment,
            hosts_file=self._layout.hosts_file(uid),
            termination_log=termination_file,
            images=request.volume_images,
            recursive_read_only=await self._recursive_read_only(request),
            user_namespace=user_namespace,
        )

    async def _recursive_read_only(self, request: ContainerRequest) -> bool:
        """Asked of the runtime only for containers that want it."""
        wanted = any(
            mount.recursiveReadOnly in ("Enabled", "IfPossible") for mount in request.container.volumeMounts or ()
        )
        return wanted and await recursive_read_only(request.runtime)

    async def _target_id(self, request: ContainerRequest) -> str:
        """The container whose processes an ephemeral one is to see. Raises ConfigError."""
        target = getattr(request.container, "targetContainerName", None)
        if request.kind is not ContainerKind.EPHEMERAL or not target:
            return ""
        observed = await observe(request.runtime.service, request.pod.uid)
        for instance in observed.instances:
            if instance.status.labels.get(LABEL_CONTAINER_NAME) == target:
                return instance.status.id
        raise ConfigError(f"unable to find target container {target}")
