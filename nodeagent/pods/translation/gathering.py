"""What a container's configuration is made from and takes I/O to have: values of the API, and files on this node.

The runtime is not asked: what has to be known of it is in the request and in the node's settings.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.pods.translation.environment import (
    ConfigError,
    EnvironmentSources,
    ObjectSource,
    resolve_environment,
    variables_of,
)
from nodeagent.pods.translation.hostname import HostnameError, pod_hostname
from nodeagent.pods.translation.hosts import host_network_content, hosts_content, write_hosts
from nodeagent.pods.translation.node_settings import NodeSettings
from nodeagent.pods.translation.request import ContainerRequest
from nodeagent.pods.translation.termination_message import create_termination_file
from nodeagent.pods.user_namespaces import UserNamespaceError
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.container_mounts import prepare_subpaths
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.layout import Layout
from proto import cri_pb2 as cri

NODE_HOSTS = Path("/etc/hosts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """`environment`: the final variables. The files are there, and so is what the container's subPaths bind."""

    environment: Sequence[cri.KeyValue]
    hosts_file: Path
    termination_log: Path
    user_namespace: cri.UserNamespace | None = None


class Gatherer:
    """Repeatable: a container that is tried again finds its files, but for a fresh termination message file."""

    def __init__(self, settings: NodeSettings, objects: ObjectSource, layout: Layout) -> None:
        self._settings = settings
        self._objects = objects
        self._layout = layout

    async def gather(self, request: ContainerRequest) -> Gathered:
        """Raises ConfigError."""
        uid, container = request.pod.uid, request.container
        try:
            user_namespace = self._settings.user_namespace(request.pod)
        except UserNamespaceError as error:
            raise ConfigError(str(error)) from error
        environment = await resolve_environment(request.pod, container, self._sources(request))
        try:
            self.write_hosts(request.pod, request.pod_ips)
            termination_log = await asyncio.to_thread(
                create_termination_file, self._layout.container_dir(uid, container.name)
            )
            await prepare_subpaths(
                container,
                layout=self._layout,
                uid=uid,
                mounted=request.mounts,
                environment=variables_of(environment),
            )
        except (HostnameError, VolumeError, OSError) as error:
            raise ConfigError(str(error)) from error
        return Gathered(
            environment=environment,
            hosts_file=self._layout.hosts_file(uid),
            termination_log=termination_log,
            user_namespace=user_namespace,
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

    def _sources(self, request: ContainerRequest) -> EnvironmentSources:
        return EnvironmentSources(
            objects=self._objects,
            services=self._settings.services,
            pod_ips=request.pod_ips,
            host_ips=self._settings.host_ips(),
            allocatable=self._settings.allocatable(),
            mounted=request.mounts,
            static_pod=request.pod.is_static,
        )
