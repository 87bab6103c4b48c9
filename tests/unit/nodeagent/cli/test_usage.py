"""What `nodeagent top` tells, from the node's own pages."""

import json
from typing import Any

import pytest
from lightkube.models.core_v1 import Node, NodeCondition, NodeStatus
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.errors import Fault, Unavailable
from nodeagent.cli.usage import NodeUse, PodUse, Threshold, UsageUnknown, node_use, read

MI = 1 << 20
NODE = Node(
    metadata=ObjectMeta(name="n1"),
    status=NodeStatus(
        capacity={"cpu": "4"},
        conditions=[
            NodeCondition(type="DiskPressure", status="True"),
            NodeCondition(type="MemoryPressure", status="False"),
            NodeCondition(type="Ready", status="True"),
        ],
    ),
)
DISK = {"availableBytes": 30 * MI, "capacityBytes": 200 * MI, "inodesFree": 90, "inodes": 100}
SUMMARY: dict[str, Any] = {
    "node": {
        "nodeName": "n1",
        "cpu": {"usageNanoCores": 1_500_400_000, "psi": {"some": {"avg10": 2.5}, "full": {"avg10": 0.0}}},
        "memory": {"workingSetBytes": 300 * MI, "availableBytes": 700 * MI, "psi": {"some": {"avg10": 1.0}}},
        "swap": {"swapUsageBytes": 5},
        "io": {"psi": {"some": {"avg10": 4.0}, "full": {"avg10": 3.0}}},
        "fs": DISK,
        "runtime": {"imageFs": {**DISK, "availableBytes": 10 * MI}},
        "rlimit": {"maxpid": 1000, "curproc": 100},
    },
    "pods": [
        {
            "podRef": {"namespace": "shop", "name": "web"},
            "cpu": {"usageNanoCores": 250_000_000},
            "memory": {"workingSetBytes": 9 * MI},
            "ephemeral-storage": {"usedBytes": 4096},
            "process_stats": {"process_count": 3},
        },
        {"podRef": {"namespace": "shop", "name": "new"}},
    ],
}
CONFIGURATION = {
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%", "imagefs.inodesFree": "5%", "x.y": "1"},
    "evictionSoft": {"memory.available": "800Mi", "pid.available": "0%"},
}


def test_everything() -> None:
    """The node against what it has, its thresholds against what is there, its pods; what is not known is None."""
    assert node_use(NODE, SUMMARY, CONFIGURATION) == NodeUse(
        name="n1",
        ready=True,
        pressures=("DiskPressure",),
        cpus=4,
        cpu_millicores=1500,
        memory_bytes=300 * MI,
        memory_total_bytes=1000 * MI,
        swap_bytes=5,
        processes=100,
        max_processes=1000,
        stalls={"cpu": (2.5, 0.0), "memory": (1.0, 0.0), "io": (4.0, 3.0)},
        thresholds=(
            Threshold(signal="imagefs.inodesFree", hard=True, available=90, threshold=5, capacity=100),
            Threshold(signal="memory.available", hard=True, available=700 * MI, threshold=100 * MI, capacity=1000 * MI),
            Threshold(
                signal="memory.available", hard=False, available=700 * MI, threshold=800 * MI, capacity=1000 * MI
            ),
            Threshold(signal="nodefs.available", hard=True, available=30 * MI, threshold=20 * MI, capacity=200 * MI),
        ),
        pods=(
            PodUse(namespace="shop", name="web", cpu_millicores=250, memory_bytes=9 * MI, disk_bytes=4096, processes=3),
            PodUse(
                namespace="shop", name="new", cpu_millicores=None, memory_bytes=None, disk_bytes=None, processes=None
            ),
        ),
    )


def test_a_node_that_says_little() -> None:
    """An old kubelet's summary: no pressure, no processes, no image file system; the default thresholds of what there is."""
    told = {"nodeName": "n1", "cpu": {}, "memory": {"workingSetBytes": 1, "availableBytes": 200 * MI}}
    found = node_use(Node(), {"node": told}, {})
    assert (found.ready, found.stalls, found.cpu_millicores, found.pods) == (False, {}, None, ())
    assert [(each.signal, each.distance) for each in found.thresholds] == [("memory.available", 100 * MI)]
    assert node_use(Node(), {"node": told}, {"evictionHard": {}}).thresholds == ()


def test_thresholds_are_those_that_the_node_evicts_by() -> None:
    """0% and 100% switch one off; the defaults count beside what is given where they are merged."""
    told = {**SUMMARY["node"], "pods": []}
    given = {"nodefs.available": "100%", "pid.available": "0%", "nodefs.inodesFree": "20%"}

    def found(**more: Any) -> list[tuple[str, int]]:
        use = node_use(NODE, {"node": told}, {"evictionHard": given, **more})
        return [(each.signal, each.threshold) for each in use.thresholds]

    assert found() == [("nodefs.inodesFree", 20)]
    assert found(mergeDefaultEvictionSettings=True) == [
        ("imagefs.available", 30 * MI),
        ("imagefs.inodesFree", 5),
        ("memory.available", 100 * MI),
        ("nodefs.inodesFree", 20),
    ]


class Api:
    """Answers for the Node, and two pages by way of the proxy."""

    def __init__(self, summary: bytes | Exception) -> None:
        self.summary = summary

    def sharing(self, **settings: Any) -> "Api":
        return self

    async def get(self, kind: type[Node], name: str) -> Node:
        return NODE

    async def request(self, method: str, path: str, *, patient: bool) -> bytes:
        if path == "/api/v1/nodes/n1/proxy/configz":
            return json.dumps({"kubeletconfig": CONFIGURATION}).encode()
        assert path == "/api/v1/nodes/n1/proxy/stats/summary"
        if isinstance(self.summary, Exception):
            raise self.summary
        return self.summary


async def test_the_node_is_asked() -> None:
    """By way of the API, its two pages."""
    api: Any = Api(json.dumps(SUMMARY).encode())
    assert await read(api, "n1") == node_use(NODE, SUMMARY, CONFIGURATION)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Unavailable("connection refused", Fault.REFUSED), "connection refused"),
        (b"Not Found", "its /stats/summary cannot be read: "),
        (b'{"pods": []}', "its summary cannot be read: KeyError"),
        (b'{"node": 3}', "its summary cannot be read: TypeError"),
    ],
    ids=["away", "text", "empty", "rubbish"],
)
async def test_a_node_that_does_not_tell(answer: bytes | Exception, reason: str) -> None:
    """The reason, in one line."""
    api: Any = Api(answer)
    with pytest.raises(UsageUnknown, match=reason):
        await read(api, "n1")
