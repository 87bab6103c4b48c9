"""The pod's and the node's IPs as a pod's status shows them. Source: docs/facts/pod-lifecycle.md 6.3."""

import contextlib
import ipaddress
from collections.abc import Iterable, Sequence

from lightkube.models.core_v1 import HostIP, PodIP, PodStatus

from nodeagent.pods.rules.model import NodeAddresses, Observed
from nodeagent.pods.rules.runtime_view import is_host_network
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri


def host_ips(node: NodeAddresses) -> list[HostIP] | None:
    return [HostIP(ip=ip) for ip in _one_per_family(node.host_ips)] or None


def pod_ips(pod: AgentPod, observed: Observed, previous: PodStatus, node: NodeAddresses) -> list[PodIP] | None:
    """One IP per family, the node's primary family first. The last ones known outlive the sandbox."""
    known = [item.ip for item in previous.podIPs or () if item.ip]
    if not known and previous.podIP:
        known = [previous.podIP]
    if is_host_network(pod):
        ips = _host_network_ips(known, _one_per_family(node.host_ips))
    else:
        ips = _sandbox_ips(observed, known, node)
    return [PodIP(ip=ip) for ip in ips] or None


def _host_network_ips(known: Sequence[str], node_ips: Sequence[str]) -> list[str]:
    """The node's IPs, immutable once set; a family that the node got later is added."""
    return _one_per_family((*known, *node_ips))


def _sandbox_ips(observed: Observed, known: Sequence[str], node: NodeAddresses) -> list[str]:
    ready = [sandbox for sandbox in observed.sandboxes if sandbox.state == cri.SANDBOX_READY]
    if not ready:
        return list(known)
    network = ready[0].network
    ips = _one_per_family((network.ip, *(extra.ip for extra in network.additional_ips)))
    first_family = _version(node.host_ips[0]) if node.host_ips else 4
    return sorted(ips, key=lambda ip: _version(ip) != first_family)


def _one_per_family(ips: Iterable[str]) -> list[str]:
    found: dict[int, str] = {}
    for text in ips:
        with contextlib.suppress(
            ValueError
        ):  # empty, or no address at all: what a runtime says is not ours to vouch for
            address = ipaddress.ip_address(text)
            found.setdefault(address.version, str(address))
    return list(found.values())


def _version(text: str) -> int:
    return ipaddress.ip_address(text).version
