"""Pod specs from the body of a create through defaulting, admission and validation to the configurations for a runtime."""

import asyncio
from datetime import UTC, datetime

from lightkube.models.core_v1 import Pod

from nodeagent.api import wire
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.decoding import decode
from nodeagent.pods.admission.rules import NodeView, admit
from nodeagent.pods.rules.model import Desired, Memory, NodeAddresses, Observed
from nodeagent.pods.rules.plan import make_plan
from nodeagent.pods.status.pod import pod_status
from nodeagent.pods.translation.container_config import ContainerContext, container_config
from nodeagent.pods.translation.dns import DNSSettings, Resolver, dns_config
from nodeagent.pods.translation.environment import ConfigError, EnvironmentSources, resolve_environment
from nodeagent.pods.translation.hostname import HostnameError, pod_hostname
from nodeagent.pods.translation.hosts import hosts_content
from nodeagent.pods.translation.resources import (
    HostLimits,
    container_resources,
    pod_cgroup_limits,
    sandbox_overhead,
    sandbox_resources,
)
from nodeagent.pods.translation.sandbox_config import sandbox_config
from nodeagent.pods.translation.security import verify_non_root
from nodeagent.podspec.containers import containers
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeError
from proto import cri_pb2 as cri
from tests.fuzz import api_under_test as api
from tests.fuzz.contract import Target
from tests.fuzz.grammar import near
from tests.fuzz.samples import PODS

_HOST = HostLimits(memory_capacity_bytes=8 << 30, cgroup_v2=True, huge_page_sizes=("2MB",))
_NODE = NodeView(name="n1", allocatable={"cpu": "4", "memory": "8Gi", "pods": "110"})
_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class _NoObjects:
    async def get_config_map(self, namespace: str, name: str) -> object:
        raise ConfigError("none")

    get_secret = get_config_map


def _created(data: bytes) -> None:
    outcome = api.create("pods", decode(data, "application/json", kind="Pod"))
    # as the informer reads it, and the merger takes it in: an API gives every pod a uid
    pod = AgentPod.of(wire.decode(Pod, outcome.data), "api")
    admit(pod, (), _NODE)
    desired = Desired(pod=pod)
    make_plan(desired, Observed(), Memory(), _NOW)
    pod_status(desired, Observed(), Memory(), None, NodeAddresses(host_ips=("10.0.0.1",)), _NOW)
    asyncio.run(_configured(pod))


async def _configured(pod: AgentPod) -> None:
    hostname = pod_hostname(pod, "cluster.local")
    pod_cgroup_limits(pod, _HOST)
    dns, _ = dns_config(pod, DNSSettings(cluster_dns=("10.96.0.10",), cluster_domain="cluster.local", host=Resolver()))
    assert pod.spec is not None
    hosts_content(("10.1.0.5",), str(hostname), "", pod.spec.hostAliases or ())
    sandbox_config(
        pod,
        attempt=0,
        hostname="h",
        dns=dns,
        cgroup_parent="/kubepods",
        log_directory="/var/log/pods",
        resources=sandbox_resources(pod.spec, _HOST),
        overhead=sandbox_overhead(pod.spec, _HOST),
    )
    sources = EnvironmentSources(objects=_NoObjects(), host_ips=("10.0.0.1",), pod_ips=("10.1.0.5",))  # type: ignore[arg-type]
    for kind, container in containers(pod):
        verify_non_root(pod, container, cri.Image(uid=cri.Int64Value(value=1)))
        container_config(
            ContainerContext(
                pod=pod,
                container=container,
                kind=kind,
                image=cri.Image(),
                image_ref="sha256:a",
                restart_count=0,
                environment=await resolve_environment(pod, container, sources),
                resources=container_resources(pod, container, _HOST),
            )
        )


TARGET = Target(
    name="pod",
    run=_created,
    allowed=(ApiError, ConfigError, HostnameError, VolumeError),
    inputs=near(*PODS),
    words=(b'"1e999999999"', b'"99999999999999999999Ei"', b'"$(A)$(A)"', b'"\\u0000"', b"-1", b"9223372036854775808"),
)
