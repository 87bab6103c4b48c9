"""The stats summary and the metrics, from figures."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from nodeagent.metrics.registry import expose
from nodeagent.metrics.usage import agent_metrics, log_metrics, resource_metrics, volume_metrics
from nodeagent.stats.disk_usage import DiskUsage
from nodeagent.stats.node import Filesystem, Interface, NodeReader, NodeStats
from nodeagent.stats.pod_files import PodFiles
from nodeagent.stats.pods import PodReader
from nodeagent.stats.summary import Disks, summary
from nodeagent.stats.system_containers import SystemContainer
from nodeagent.stats.volumes import PodVolumeStats
from nodeagent.volumes.contract import VolumeUsage
from proto import cri_pb2 as cri
from runtimes.errors import Unavailable
from runtimes.linux.cgroups.contract import Pressure, Stall
from runtimes.usage import fill_pressure

NANO = 1_000_000_000
NOW = 1_767_225_600 * NANO  # 2026-01-01
TIME = "2026-01-01T00:00:00Z"
DISK = Filesystem(available_bytes=60, capacity_bytes=100, used_bytes=40, inodes_free=7, inodes=10)
STALL = Stall(average_10s=1.5, average_60s=0.5, average_300s=0.0, total_us=42)
STALLED = {"total": 42, "avg10": 1.5, "avg60": 0.5, "avg300": 0.0}
NODE = NodeStats(
    time_ns=NOW,
    start_time=datetime(2025, 12, 31, tzinfo=UTC),
    cpu_core_nano_seconds=5 * NANO,
    cpu_nano_cores=None,
    memory_total_bytes=1000,
    memory_usage_bytes=500,
    memory_working_set_bytes=400,
    memory_rss_bytes=300,
    page_faults=70,
    major_page_faults=7,
    cpu_pressure=Pressure(some=STALL, full=None),
    memory_pressure=Pressure(some=STALL, full=STALL),
    io_pressure=None,
    swap_available_bytes=10,
    swap_usage_bytes=2,
    interfaces=(
        Interface(name="docker0", rx_bytes=8, rx_errors=0, tx_bytes=9, tx_errors=0),
        Interface(name="eth0", rx_bytes=1, rx_errors=0, tx_bytes=2, tx_errors=0),
    ),
    filesystem=DISK,
    max_pids=32768,
    running_processes=99,
)
LABELS = {
    "io.kubernetes.pod.name": "web",
    "io.kubernetes.pod.namespace": "default",
    "io.kubernetes.pod.uid": "u1",
}


def pod_stats() -> cri.PodSandboxStats:
    stats = cri.PodSandboxStats(attributes=cri.PodSandboxAttributes(id="s1", labels=LABELS))
    stats.linux.cpu.timestamp = stats.linux.memory.timestamp = stats.linux.network.timestamp = NOW
    stats.linux.cpu.usage_core_nano_seconds.value = 3 * NANO
    stats.linux.memory.working_set_bytes.value = 30
    stats.linux.process.process_count.value = 4
    stats.linux.network.default_interface.name = "eth0"
    stats.linux.network.default_interface.rx_bytes.value = 11
    stats.linux.network.default_interface.tx_bytes.value = 12
    container = stats.linux.containers.add()
    container.attributes.id = "c1"
    container.attributes.labels["io.kubernetes.container.name"] = "main"
    container.cpu.timestamp = container.memory.timestamp = container.writable_layer.timestamp = NOW
    container.cpu.usage_core_nano_seconds.value = 2 * NANO
    container.cpu.usage_nano_cores.value = 7
    container.memory.working_set_bytes.value = 20
    container.memory.usage_bytes.value = 25
    container.writable_layer.used_bytes.value = 8
    container.writable_layer.inodes_used.value = 1
    container.swap.timestamp = stats.linux.io.timestamp = NOW
    container.swap.swap_usage_bytes.value = 6
    container.swap.swap_available_bytes.value = 3
    fill_pressure(stats.linux.io.psi, Pressure(some=STALL, full=None))
    fill_pressure(container.memory.psi, Pressure(some=STALL, full=None))
    return stats


class Service:
    """A runtime with one pod, one sandbox that has ended, and one that is not a pod's."""

    async def list_pod_sandbox(self, request):
        assert request.filter.state.state == cri.SANDBOX_READY
        return cri.ListPodSandboxResponse(
            items=[cri.PodSandbox(id="s1", created_at=NOW), cri.PodSandbox(id="s3", created_at=NOW)]
        )

    async def list_containers(self, request):
        assert request.filter.state.state == cri.CONTAINER_RUNNING
        item = cri.Container(id="c1", created_at=NOW, image=cri.ImageSpec(image="img"))
        return cri.ListContainersResponse(containers=[item])

    async def list_pod_sandbox_stats(self, request):
        others = [cri.PodSandboxStats(attributes=cri.PodSandboxAttributes(id=name)) for name in ("s2", "s3")]
        return cri.ListPodSandboxStatsResponse(stats=[pod_stats(), *others])


class Away(Service):
    async def list_containers(self, request):
        raise Unavailable("gone")


def reader(*services):
    return PodReader([SimpleNamespace(handler="fake", service=service) for service in services], cgroups=None)


async def test_summary():
    """Every figure under its name; what the runtime did not say is not there."""
    snapshot = await reader(Service()).read()
    disk = {
        "time": TIME,
        "availableBytes": 60,
        "capacityBytes": 100,
        "usedBytes": 40,
        "inodesFree": 7,
        "inodes": 10,
        "inodesUsed": 3,
    }
    eth0 = {"name": "eth0", "rxBytes": 1, "rxErrors": 0, "txBytes": 2, "txErrors": 0}
    docker0 = {"name": "docker0", "rxBytes": 8, "rxErrors": 0, "txBytes": 9, "txErrors": 0}
    pod_eth0 = {"name": "eth0", "rxBytes": 11, "rxErrors": 0, "txBytes": 12, "txErrors": 0}
    kubepods = cri.ContainerStats()
    kubepods.cpu.timestamp = kubepods.memory.timestamp = NOW
    kubepods.cpu.usage_core_nano_seconds.value = 4 * NANO
    system = [SystemContainer(name="pods", cgroup="/kubepods", started_ns=NOW, stats=kubepods)]
    node_small = {
        "nodeName": "n1",
        "systemContainers": [
            {
                "name": "pods",
                "startTime": TIME,
                "cpu": {"time": TIME, "usageCoreNanoSeconds": 4 * NANO},
                "memory": {"time": TIME},
            }
        ],
        "startTime": "2025-12-31T00:00:00Z",
        "cpu": {"time": TIME, "usageCoreNanoSeconds": 5 * NANO, "psi": {"some": STALLED}},
        "memory": {
            "time": TIME,
            "availableBytes": 600,
            "usageBytes": 500,
            "workingSetBytes": 400,
            "rssBytes": 300,
            "pageFaults": 70,
            "majorPageFaults": 7,
            "psi": {"some": STALLED, "full": STALLED},
        },
        "swap": {"time": TIME, "swapAvailableBytes": 10, "swapUsageBytes": 2},
    }
    swap = {"time": TIME, "swapAvailableBytes": 3, "swapUsageBytes": 6}
    container_small = {
        "name": "main",
        "startTime": TIME,
        "cpu": {"time": TIME, "usageNanoCores": 7, "usageCoreNanoSeconds": 2 * NANO},
        "memory": {"time": TIME, "usageBytes": 25, "workingSetBytes": 20, "psi": {"some": STALLED}},
        "swap": swap,
    }
    pod_small = {
        "podRef": {"name": "web", "namespace": "default", "uid": "u1"},
        "startTime": TIME,
        "containers": [container_small],
        "cpu": {"time": TIME, "usageCoreNanoSeconds": 3 * NANO},
        "memory": {"time": TIME, "workingSetBytes": 30},
        "swap": swap,
    }
    assert summary("n1", NODE, system, snapshot.pods) == {"node": node_small, "pods": [pod_small]}
    logs = {"main": DiskUsage(used_bytes=16, inodes_used=2), "gone": DiskUsage(used_bytes=32, inodes_used=2)}
    files = PodFiles(time_ns=NOW, logs=logs, others=DiskUsage(used_bytes=4, inodes_used=1))
    images = replace(DISK, capacity_bytes=1000)
    whole = summary("n1", NODE, system, snapshot.pods, Disks(images=images, files={"u1": files}))
    image_disk = {**disk, "capacityBytes": 1000}
    container = {
        **container_small,
        "rootfs": {**image_disk, "usedBytes": 8, "inodesUsed": 1},
        "logs": {**disk, "usedBytes": 16, "inodesUsed": 2},
    }
    assert whole == {
        "node": {
            **node_small,
            "network": {"time": TIME, **eth0, "interfaces": [docker0, eth0]},
            "fs": disk,
            "runtime": {"imageFs": image_disk, "containerFs": image_disk},
            "rlimit": {"time": TIME, "maxpid": 32768, "curproc": 99},
        },
        "pods": [
            {
                **pod_small,
                "containers": [container],
                "io": {"time": TIME, "psi": {"some": STALLED}},
                "network": {"time": TIME, **pod_eth0, "interfaces": [pod_eth0]},
                "process_stats": {"process_count": 4},
                "ephemeral-storage": {**disk, "usedBytes": 8 + 16 + 32 + 4, "inodesUsed": 1 + 2 + 2 + 1},
            }
        ],
    }
    assert json.loads(json.dumps(whole)) == whole


async def test_volumes_in_the_summary():
    """By name, of a pod what is measured of it; what a volume's plug-in does not know is left out."""
    snapshot = await reader(Service()).read()
    data = VolumeUsage(capacity_bytes=100, available_bytes=60, used_bytes=40, inodes=10, inodes_free=7, inodes_used=3)
    found = PodVolumeStats(time_ns=NOW, volumes={"raw": VolumeUsage(capacity_bytes=5, claim="c"), "data": data})
    (pod,) = summary("n1", NODE, (), snapshot.pods, Disks(images=DISK, volumes={"u1": found}))["pods"]
    assert pod["volume"] == [
        {
            "time": TIME,
            "availableBytes": 60,
            "capacityBytes": 100,
            "usedBytes": 40,
            "inodesFree": 7,
            "inodes": 10,
            "inodesUsed": 3,
            "name": "data",
        },
        {"time": TIME, "capacityBytes": 5, "name": "raw", "pvcRef": {"name": "c", "namespace": "default"}},
    ]
    assert "ephemeral-storage" not in pod


async def test_local_volumes_are_ephemeral_storage():
    """What a pod's volumes take of the node's own disk counts with its logs and layers."""
    snapshot = await reader(Service()).read()
    usage = VolumeUsage(capacity_bytes=100, used_bytes=40, inodes_used=3)
    found = PodVolumeStats(
        time_ns=NOW, volumes={"here": usage, "there": usage}, local=frozenset({"here", "unmeasured"})
    )
    disks = Disks(images=DISK, volumes={"u1": found}, files={"u1": PodFiles(time_ns=NOW)})
    (pod,) = summary("n1", NODE, (), snapshot.pods, disks)["pods"]
    storage = pod["ephemeral-storage"]
    assert (storage["usedBytes"], storage["inodesUsed"], storage["capacityBytes"]) == (8 + 40, 1 + 3, 100)


def samples(text: bytes):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): (sample.value, sample.timestamp)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_resource_metrics():
    """What metrics-server reads, with the times at which it was measured."""
    snapshot = await reader(Service()).read()
    seconds = NOW / NANO
    container = (("container", "main"), ("namespace", "default"), ("pod", "web"))
    pod = (("namespace", "default"), ("pod", "web"))
    assert samples(expose(resource_metrics(NODE, snapshot))) == {
        ("node_cpu_usage_seconds_total", ()): (5, seconds),
        ("node_memory_working_set_bytes", ()): (400, seconds),
        ("node_swap_usage_bytes", ()): (2, seconds),
        ("container_cpu_usage_seconds_total", container): (2, seconds),
        ("container_memory_working_set_bytes", container): (20, seconds),
        ("container_start_time_seconds", container): (seconds, None),
        ("container_swap_usage_bytes", container): (6, seconds),
        ("container_swap_limit_bytes", container): (9, seconds),
        ("pod_swap_usage_bytes", pod): (6, seconds),
        ("pod_cpu_usage_seconds_total", pod): (3, seconds),
        ("pod_memory_working_set_bytes", pod): (30, seconds),
        ("resource_scrape_error", ()): (0, None),
    }


async def test_a_runtime_that_does_not_answer():
    """The others are still told of, and the scrape says that something is missing."""
    snapshot = await reader(Service(), Away()).read()
    assert [pod.name for pod in snapshot.pods] == ["web"]
    assert samples(expose(resource_metrics(NODE, snapshot)))[("resource_scrape_error", ())] == (1, None)


def test_agent_metrics():
    """What runs here."""
    assert samples(expose(agent_metrics("n1", 1, 2))) == {
        ("kubelet_node_name", (("node", "n1"),)): (1, None),
        ("kubelet_running_pods", ()): (1, None),
        ("kubelet_running_containers", (("container_state", "running"),)): (2, None),
    }


async def test_metrics_of_claims():
    """By claim, what is known of its volume; other volumes, and pods that are not measured yet, are left out."""
    snapshot = await reader(Service()).read()
    data = VolumeUsage(capacity_bytes=100, available_bytes=60, used_bytes=40, inodes=10, inodes_free=7, inodes_used=3)
    usages = {"raw": VolumeUsage(capacity_bytes=5, claim="raw"), "a": data, "b": replace(data, claim="data")}
    found = PodVolumeStats(time_ns=NOW, volumes=usages)
    names = {"capacity_bytes": 100, "available_bytes": 60, "used_bytes": 40, "inodes": 10, "inodes_free": 7}
    expected = {("data", name): value for name, value in {**names, "inodes_used": 3}.items()}
    assert samples(expose(volume_metrics(snapshot.pods, {"u1": found}))) == {
        (f"kubelet_volume_stats_{name}", (("namespace", "default"), ("persistentvolumeclaim", claim))): (value, None)
        for (claim, name), value in {**expected, ("raw", "capacity_bytes"): 5}.items()
    }
    assert samples(expose(volume_metrics(snapshot.pods, {}))) == {}


async def test_metrics_of_logs():
    """By container, of its folder, whether or not it runs now; of a pod that is not measured yet, nothing."""
    snapshot = await reader(Service()).read()
    logs = {"main": DiskUsage(used_bytes=16, inodes_used=2), "gone": DiskUsage(used_bytes=32, inodes_used=2)}
    pod = (("namespace", "default"), ("pod", "web"), ("uid", "u1"))
    assert samples(expose(log_metrics(snapshot.pods, {"u1": PodFiles(time_ns=NOW, logs=logs)}))) == {
        ("kubelet_container_log_filesystem_used_bytes", (("container", name), *pod)): (value, None)
        for name, value in (("main", 16), ("gone", 32))
    }
    assert samples(expose(log_metrics(snapshot.pods, {}))) == {}


def test_the_machine(tmp_path):
    """The real figures make sense, and the second reading knows the rate."""
    reads = NodeReader(tmp_path)
    first, second = reads.read(), reads.read()
    assert first.cpu_nano_cores is None
    assert second.cpu_nano_cores is not None and second.cpu_nano_cores >= 0
    assert 0 < first.memory_working_set_bytes <= first.memory_usage_bytes < first.memory_total_bytes
    assert 0 < first.filesystem.available_bytes < first.filesystem.capacity_bytes
    assert second.page_faults >= first.page_faults > 0
    assert 0 < first.running_processes < first.max_pids
    assert all(interface.name != "lo" for interface in first.interfaces)
