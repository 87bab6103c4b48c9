"""What an evicted pod is told, word by word."""

from typing import Any

from agent_pods import agent_pod

from nodeagent.config.eviction import Signal, parse_amount
from nodeagent.eviction.messages import told
from nodeagent.eviction.signals import Observation
from nodeagent.eviction.thresholds import Threshold
from nodeagent.eviction.usage import ContainerUsage, PodUsage
from nodeagent.stats.disk_usage import DiskUsage

MIB = 2**20
MEMORY = Threshold(signal=Signal.MEMORY, amount=parse_amount("100Mi"))
SEEN = Observation(available=50 * MIB, capacity=1000 * MIB)


def usage(*, known: bool = True, **spec: Any) -> PodUsage:
    named = [
        {"name": "big", "resources": {"requests": {"memory": "10Mi", "ephemeral-storage": "1Mi"}}},
        {"name": "small", "resources": {"requests": {"memory": "10Mi", "ephemeral-storage": "9Mi"}}},
    ]
    body = {"containers": named, "initContainers": [{"name": "init"}], **spec}
    containers = {
        "big": ContainerUsage(memory_bytes=20 * MIB, layer=DiskUsage(3 * MIB), logs=DiskUsage(MIB)),
        "small": ContainerUsage(memory_bytes=10 * MIB, layer=DiskUsage(3 * MIB)),
        "init": ContainerUsage(memory_bytes=1000),
    }
    pod = agent_pod({"metadata": {"name": "p"}, "spec": body})
    return PodUsage(pod=pod, known=known, memory_bytes=30 * MIB, containers=containers if known else {})


def test_memory() -> None:
    """The threshold and what is left; each app or init container above its own request, in the order of the spec."""
    found = told(usage(), MEMORY, SEEN)
    assert found.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container init was using 1000, request is 0, has larger consumption of memory. "
        "Container big was using 20Mi, request is 10Mi, has larger consumption of memory. "
    )
    assert found.annotations == {
        "offending_containers": "init,big",
        "offending_containers_usage": "1000,20Mi",
        "starved_resource": "memory",
    }


def test_a_pods_own_request() -> None:
    """Told whenever there is one, exceeded or not."""
    found = told(usage(resources={"requests": {"memory": "40Mi"}}), MEMORY, SEEN)
    assert "available: 50Mi. Pod p was using 30Mi, request is 40Mi, has larger consumption of memory. " in found.message
    assert (found.annotations["offending_pod"], found.annotations["offending_pod_usage"]) == ("p", "30Mi")


def test_disk() -> None:
    """The writable layer and the logs count; a share of the disk is told in bytes."""
    given = Threshold(signal=Signal.NODEFS, amount=parse_amount("10%"))
    assert told(usage(), given, SEEN).message == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 100Mi, available: 50Mi. "
        "Container big was using 4Mi, request is 1Mi, has larger consumption of ephemeral-storage. "
    )


def test_inodes_and_tasks() -> None:
    """In decimal numbers, and no container is blamed."""
    for signal, name in ((Signal.NODEFS_INODES, "inodes"), (Signal.PIDS, "pids")):
        found = told(
            usage(), Threshold(signal=signal, amount=parse_amount("2000")), Observation(available=1024, capacity=9)
        )
        assert found.message == f"The node was low on resource: {name}. Threshold quantity: 2k, available: 1024. "
        assert found.annotations == {
            "offending_containers": "",
            "offending_containers_usage": "",
            "starved_resource": name,
        }


def test_nothing_is_known() -> None:
    """Neither of the signal any more, nor of the pod: no quantities, no annotations."""
    found = told(usage(known=False), MEMORY, None)
    assert (found.message, found.annotations) == ("The node was low on resource: memory. ", {})
