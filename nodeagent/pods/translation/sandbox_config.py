"""A pod as the runtime's sandbox configuration. Pure. Source: docs/facts/pod-lifecycle.md 11.1."""

from collections.abc import Mapping

from lightkube.models.core_v1 import ContainerPort

from nodeagent.pods.translation.security import pod_context, sandbox_security
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.kube.labels import LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID

_PROTOCOLS = {"TCP": cri.TCP, "UDP": cri.UDP, "SCTP": cri.SCTP}


def sandbox_config(
    pod: AgentPod,
    *,
    attempt: int,
    hostname: str,
    dns: cri.DNSConfig,
    cgroup_parent: str,
    log_directory: str,
    resources: cri.LinuxContainerResources | None = None,
    overhead: cri.LinuxContainerResources | None = None,
    user_namespace: cri.UserNamespace | None = None,
) -> cri.PodSandboxConfig:
    """`hostname`: the kernel's name for the pod, left out on the node's network. `resources`: of the whole pod."""
    namespace, name = pod.key
    config = cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=name, namespace=namespace, uid=pod.uid, attempt=attempt),
        hostname="" if pod.spec.hostNetwork else hostname,
        log_directory=log_directory,
        dns_config=dns,
        port_mappings=_port_mappings(pod),
        labels={**_text_map(pod.labels), **pod_labels(pod)},
        annotations=_text_map(pod.annotations),
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=sandbox_security(pod, user_namespace=user_namespace),
            sysctls={item.name.replace("/", "."): item.value for item in pod_context(pod).sysctls or ()},
        ),
    )
    if resources is not None:
        config.linux.resources.CopyFrom(resources)
    if overhead is not None:
        config.linux.overhead.CopyFrom(overhead)
    return config


def pod_labels(pod: AgentPod) -> dict[str, str]:
    """The labels by which the runtime's objects are found again."""
    namespace, name = pod.key
    return {LABEL_POD_NAME: name, LABEL_POD_NAMESPACE: namespace, LABEL_POD_UID: pod.uid}


def _port_mappings(pod: AgentPod) -> list[cri.PortMapping]:
    """The ports of the regular containers; of several alike in one container, the first."""
    mappings: list[cri.PortMapping] = []
    for container in pod.spec.containers:
        distinct: dict[object, ContainerPort] = {}
        for port in container.ports or ():
            distinct.setdefault(port.name or _address(port), port)
        mappings += [_port_mapping(port) for port in distinct.values()]
    return mappings


def _address(port: ContainerPort) -> tuple[str, str, str, int, int]:
    host_ip = port.hostIP or ""
    family = "any" if not host_ip else "v6" if ":" in host_ip else "v4"
    return (family, port.protocol or "TCP", host_ip, port.containerPort, port.hostPort or 0)


def _port_mapping(port: ContainerPort) -> cri.PortMapping:
    return cri.PortMapping(
        protocol=_PROTOCOLS[port.protocol or "TCP"],
        container_port=port.containerPort,
        host_port=port.hostPort or 0,
        host_ip=port.hostIP or "",
    )


def _text_map(values: Mapping[str, str] | None) -> dict[str, str]:
    return dict(values or {})
