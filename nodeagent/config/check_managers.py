"""What a kubelet refuses of its CPU, memory and topology managers, before it looks at the machine."""

from collections.abc import Iterator

from nodeagent.config.cpu_options import ALPHA_GATE, BadOption, cpu_options
from nodeagent.config.kubelet import KubeletConfiguration
from nodeagent.config.topology_options import BadTopologyOption, topology_options
from runtimes.kube import quantity

Problem = tuple[tuple[str | int, ...], str]


def managers(document: KubeletConfiguration) -> Iterator[Problem]:
    try:
        cpu_options(
            document.cpuManagerPolicy,
            document.cpuManagerPolicyOptions,
            alpha=document.featureGates.get(ALPHA_GATE, False),
            topology_policy=document.topologyManagerPolicy,
        )
    except BadOption as error:
        yield ("cpuManagerPolicyOptions",), str(error)
    try:
        topology_options(document.topologyManagerPolicyOptions)
    except BadTopologyOption as error:
        yield ("topologyManagerPolicyOptions",), str(error)
    if document.cpuManagerPolicy == "static" and not document.reservedSystemCPUs and not _reserves(document, "cpu"):
        yield (
            ("cpuManagerPolicy",),
            "[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero",
        )
    if document.memoryManagerPolicy == "Static" and not document.reservedMemory:
        yield ("memoryManagerPolicy",), "[memorymanager] you should specify the system reserved memory"


def _reserves(document: KubeletConfiguration, resource: str) -> bool:
    """Whether anything of it is reserved. What is no quantity is told elsewhere."""
    for reserved in (document.systemReserved, document.kubeReserved):
        try:
            if quantity.parse(reserved.get(resource, "0")) > 0:
                return True
        except quantity.InvalidQuantity:
            return True
    return False
