"""A runtime without statistics of pods (UNIMPLEMENTED, as older containerds answer): their cgroups tell."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodeagent.stats.pod_cgroups import PodCgroupReader
from nodeagent.stats.pods import PodReader
from proto import cri_pb2 as cri
from runtimes.errors import NotSupported, Unavailable
from runtimes.linux.cgroups.contract import CpuStats, MemoryStats, PidsStats

LABELS = {"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "shop"}
CGROUPS = {"u1": "/kubepods/podu1"}
HEADER = "Inter-| Receive | Transmit\n face |bytes ...\n"


class Service:
    """Two pods: one that runs on a network of its own, and one that has no cgroup any more. Verbs of pods are not there."""

    async def list_pod_sandbox(self, request: cri.ListPodSandboxRequest) -> cri.ListPodSandboxResponse:
        items = [
            cri.PodSandbox(id=name, created_at=5, labels={**LABELS, "io.kubernetes.pod.uid": uid})
            for name, uid in (("s2", "u2"), ("s1", "u1"))
        ]
        return cri.ListPodSandboxResponse(items=items)

    async def list_containers(self, request: cri.ListContainersRequest) -> cri.ListContainersResponse:
        image = cri.ImageSpec(image="img")
        main = cri.Container(id="c1", pod_sandbox_id="s1", created_at=6, image=image)
        return cri.ListContainersResponse(containers=[main])

    async def list_pod_sandbox_stats(self, request: cri.ListPodSandboxStatsRequest) -> cri.ListPodSandboxStatsResponse:
        raise NotSupported("unknown method ListPodSandboxStats")

    async def list_container_stats(self, request: cri.ListContainerStatsRequest) -> cri.ListContainerStatsResponse:
        stats = []
        for container_id in ("c1", "ended"):
            one = cri.ContainerStats(attributes=cri.ContainerAttributes(id=container_id))
            one.attributes.labels["io.kubernetes.container.name"] = "main"
            one.memory.working_set_bytes.value = 20
            stats.append(one)
        return cri.ListContainerStatsResponse(stats=stats)

    async def list_metric_descriptors(self, request: Any) -> Any:
        raise NotSupported("unknown method ListMetricDescriptors")


class Kernel:
    """The cgroup of pod u1, with a process in it that has ended and one that runs."""

    version = 1
    controllers = frozenset({"pids"})

    @property
    def statistics(self) -> "Kernel":
        return self

    def cpu(self, path: str, *, details: bool = True) -> CpuStats:
        assert path == "/kubepods/podu1"
        return CpuStats(usage_ns=3_000_000_000)

    def memory(self, path: str, *, details: bool = True) -> MemoryStats:
        return MemoryStats(usage_bytes=40, working_set_bytes=30)

    def pids(self, path: str, *, details: bool = True) -> PidsStats:
        return PidsStats(current=4)

    def processes(self, path: str) -> frozenset[int]:
        return frozenset({7, 8})


def proc(folder: Path, *, pods_network: str) -> Path:
    """A procfs: the agent on one network, process 8 of the pod on `pods_network`."""
    for pid, network in (("self", "net:[1]"), ("8", pods_network)):
        (folder / pid / "ns").mkdir(parents=True)
        (folder / pid / "ns/net").symlink_to(network)
        (folder / pid / "net").mkdir()
    (folder / "8/net/dev").write_text(HEADER + "eth0: 11 0 0 0 0 0 0 0 12 0 0 0 0 0 0 0\n")
    return folder


def reader(service: Service, folder: Path) -> PodReader:
    runtime = SimpleNamespace(handler="old", service=service)
    return PodReader([cast("Any", runtime)], PodCgroupReader(cast("Any", Kernel()), CGROUPS.get, proc=folder))


async def test_the_pods_of_such_a_runtime(tmp_path: Path) -> None:
    """The pod's figures are its cgroup's, its network is that of a process in it, its containers are the runtime's."""
    snapshot = await reader(Service(), proc(tmp_path, pods_network="net:[2]")).read()
    assert snapshot.complete
    one, other = snapshot.pods
    assert (one.namespace, one.name, one.uid, one.created_ns) == ("shop", "web", "u1", 5)
    linux = one.stats.linux
    assert (linux.cpu.usage_core_nano_seconds.value, linux.memory.working_set_bytes.value) == (3_000_000_000, 30)
    assert linux.process.process_count.value == 4
    assert linux.network.default_interface.rx_bytes.value == 11
    (container,) = one.containers
    assert (container.name, container.image, container.created_ns) == ("main", "img", 6)
    assert container.stats.memory.working_set_bytes.value == 20
    assert (other.uid, other.containers) == ("u2", ())
    assert not other.stats.linux.HasField("cpu")


async def test_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second reading on; of a cgroup that was gone in between nothing is remembered."""
    statistics, told = reader(Service(), proc(tmp_path, pods_network="net:[2]")), []
    for uid in ("u1", "u1", "gone", "u1"):
        with monkeypatch.context() as patch:
            patch.delitem(CGROUPS, "u1")
            patch.setitem(CGROUPS, uid, "/kubepods/podu1")
            told.append((await statistics.read()).pods[0].stats.linux.cpu.HasField("usage_nano_cores"))
    assert told == [False, True, False, False]


async def test_rates_beside_another_runtime(tmp_path: Path) -> None:
    """What is remembered of one runtime's pods is not forgotten because another one does not have them."""
    kernel: Any = Kernel()
    cgroups = PodCgroupReader(kernel, CGROUPS.get, proc=proc(tmp_path, pods_network="net:[2]"))
    one, other = cast("Any", Service()), cast("Any", Service())
    sandbox = cri.PodSandbox(id="s1", labels={"io.kubernetes.pod.uid": "u1"})
    await cgroups.read(one, [sandbox], [])
    await cgroups.read(other, [], [])
    (again,) = await cgroups.read(one, [sandbox], [])
    assert again.linux.cpu.HasField("usage_nano_cores")


async def test_a_pod_on_the_hosts_network(tmp_path: Path) -> None:
    """The host's traffic is not the pod's."""
    snapshot = await reader(Service(), proc(tmp_path, pods_network="net:[1]")).read()
    assert not snapshot.pods[0].stats.linux.HasField("network")


async def test_their_metrics(tmp_path: Path) -> None:
    """Are made of the same figures."""
    (told,) = await reader(Service(), proc(tmp_path, pods_network="net:[2]")).metrics()
    (pod,) = (item for item in told.pods if item.pod_sandbox_id == "s1")
    names = {metric.name: metric.value.value for metric in pod.metrics}
    assert names["container_memory_working_set_bytes"] == 30
    assert names["container_network_receive_bytes_total"] == 11
    assert [item.container_id for item in pod.container_metrics] == ["c1"]


async def test_a_runtime_that_does_not_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Is no runtime without statistics: it is left out, and that is told."""

    class Away(Service):
        async def list_pod_sandbox_stats(self, request: Any) -> Any:
            raise Unavailable("gone")

    snapshot = await reader(Away(), proc(tmp_path, pods_network="net:[2]")).read()
    assert (snapshot.pods, snapshot.complete) == ((), False)
    assert "runtime old: no statistics: gone" in caplog.messages
