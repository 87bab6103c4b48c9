"""Limits, their change while a container runs, and statistics."""

from pathlib import Path

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.testing.subject import Pod, Subject

pytestmark = pytest.mark.asyncio

MIB = 1024 * 1024


def unified() -> bool:
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def cpusets() -> bool:
    root = Path("/sys/fs/cgroup")
    return "cpuset" in (root / "cgroup.controllers").read_text().split() if unified() else (root / "cpuset").exists()


def cgroup_file(runtime: Subject, pod: Pod, container_id: str, controller: str, v1: str, v2: str) -> str:
    """A file of the container's cgroup, by its name on this host's cgroup version."""
    path = Path(pod[1].linux.cgroup_parent.lstrip("/"), container_id)
    root = Path("/sys/fs/cgroup")
    return (root / path / v2 if unified() else root / controller / path / v1).read_text().strip()


async def test_limits_are_in_force(runtime: Subject) -> None:
    """CPU shares and quota, memory and CPU set, in the container's own cgroup below the pod's."""
    runtime.needs("container limits")
    pod, config = await runtime.run_sandbox(), runtime.container_config()
    wanted = config.linux.resources
    wanted.cpu_shares, wanted.cpu_quota, wanted.cpu_period = 512, 50000, 100000
    wanted.memory_limit_in_bytes = 64 * MIB
    if cpusets():
        wanted.cpuset_cpus = "0"
    container_id = await runtime.launch(pod, config)
    if unified():
        assert cgroup_file(runtime, pod, container_id, "", "", "cpu.max") == "50000 100000"
        assert cgroup_file(runtime, pod, container_id, "", "", "memory.max") == str(64 * MIB)
    else:
        assert cgroup_file(runtime, pod, container_id, "cpu", "cpu.shares", "") == "512"
        assert cgroup_file(runtime, pod, container_id, "cpu", "cpu.cfs_quota_us", "") == "50000"
        assert cgroup_file(runtime, pod, container_id, "memory", "memory.limit_in_bytes", "") == str(64 * MIB)
    if cpusets():
        assert cgroup_file(runtime, pod, container_id, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    told = (await runtime.status(container_id)).resources.linux
    assert {field.name: getattr(told, field.name) for field, _ in wanted.ListFields()} == {
        field.name: value for field, value in wanted.ListFields()
    }


async def test_limits_change_while_it_runs(runtime: Subject) -> None:
    """What is said is changed, the rest stays, and the status tells the sum."""
    runtime.needs("container limits")
    pod, config = await runtime.run_sandbox(), runtime.container_config()
    wanted = config.linux.resources
    wanted.cpu_shares, wanted.cpu_quota, wanted.cpu_period, wanted.memory_limit_in_bytes = 512, 50000, 100000, 64 * MIB
    container_id = await runtime.launch(pod, config)
    change = cri.LinuxContainerResources(cpu_quota=70000, cpu_period=100000, memory_limit_in_bytes=96 * MIB)
    await runtime.service.update_container_resources(
        cri.UpdateContainerResourcesRequest(container_id=container_id, linux=change)
    )
    if unified():
        assert cgroup_file(runtime, pod, container_id, "", "", "cpu.max") == "70000 100000"
        assert cgroup_file(runtime, pod, container_id, "", "", "memory.max") == str(96 * MIB)
    else:
        assert cgroup_file(runtime, pod, container_id, "cpu", "cpu.cfs_quota_us", "") == "70000"
        assert cgroup_file(runtime, pod, container_id, "cpu", "cpu.shares", "") == "512"
        assert cgroup_file(runtime, pod, container_id, "memory", "memory.limit_in_bytes", "") == str(96 * MIB)
    found = (await runtime.status(container_id)).resources.linux
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit_in_bytes) == (512, 70000, 96 * MIB)
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    if not runtime.can("no update after the end"):
        return
    with pytest.raises(errors.WrongState):
        await runtime.service.update_container_resources(
            cri.UpdateContainerResourcesRequest(container_id=container_id, linux=change)
        )


async def test_nothing_but_what_is_said_is_limited(runtime: Subject) -> None:
    """Without limits there are none, and the status tells none."""
    runtime.needs("container limits")
    pod = await runtime.run_sandbox()
    container_id = await runtime.launch(pod, runtime.container_config())
    if unified():
        assert cgroup_file(runtime, pod, container_id, "", "", "memory.max") == "max"
    else:
        assert int(cgroup_file(runtime, pod, container_id, "memory", "memory.limit_in_bytes", "")) > 1 << 60
        assert cgroup_file(runtime, pod, container_id, "cpu", "cpu.cfs_quota_us", "") == "-1"
    told = (await runtime.status(container_id)).resources.linux
    assert (told.cpu_quota, told.memory_limit_in_bytes, told.cpuset_cpus) in ((0, 0, ""), (-1, 0, ""))


async def test_figures_are_chosen_by_filter(runtime: Subject) -> None:
    """Of containers by id, sandbox and label, of sandboxes by id and label; what does not run has none."""
    pods = [await runtime.run_sandbox(runtime.sandbox_config(name)) for name in ("one", "two")]
    ids = [await runtime.launch(pod, runtime.container_config(name=f"c{n}")) for n, pod in enumerate(pods)]
    if runtime.can("figures of the running only"):
        await runtime.create(pods[0], runtime.container_config(name="created"))
    for wanted, expected in (
        (cri.ContainerStatsFilter(), set(ids)),
        (cri.ContainerStatsFilter(id=ids[0]), {ids[0]}),
        (cri.ContainerStatsFilter(pod_sandbox_id=pods[1][0]), {ids[1]}),
        (cri.ContainerStatsFilter(label_selector={"part": "c1"}), {ids[1]}),
        (cri.ContainerStatsFilter(id=ids[0], label_selector={"part": "c1"}), set()),
    ):
        request = cri.ListContainerStatsRequest(filter=wanted)
        found = {entry.attributes.id for entry in (await runtime.service.list_container_stats(request)).stats}
        assert found == expected, wanted
    for chosen, names in (
        (cri.PodSandboxStatsFilter(), {pods[0][0], pods[1][0]}),
        (cri.PodSandboxStatsFilter(id=pods[0][0]), {pods[0][0]}),
        (cri.PodSandboxStatsFilter(label_selector={"app": "two"}), {pods[1][0]}),
    ):
        response = await runtime.service.list_pod_sandbox_stats(cri.ListPodSandboxStatsRequest(filter=chosen))
        assert {entry.attributes.id for entry in response.stats} == names, chosen


async def test_statistics_of_a_container(runtime: Subject) -> None:
    """CPU time grows, memory holds what was taken, the writable layer what was written."""
    runtime.needs("processes", "statistics")
    pod = await runtime.run_sandbox()
    script = "head -c 5000000 /dev/zero > /written; echo written; while :; do :; done"
    container_id = await runtime.launch(pod, runtime.container_config(script))
    log = Path((await runtime.status(container_id)).log_path)
    await runtime.until(lambda: "written" in log.read_text())
    request = cri.ContainerStatsRequest(container_id=container_id)

    first = (await runtime.service.container_stats(request)).stats
    assert first.attributes.id == container_id
    assert dict(first.attributes.labels) == {"part": "main"}
    if not runtime.can("statistics of one container"):
        return

    async def later() -> cri.ContainerStats | None:
        """Figures may be collected now and then only."""
        stats = (await runtime.service.container_stats(request)).stats
        grown = stats.cpu.usage_core_nano_seconds.value > first.cpu.usage_core_nano_seconds.value
        counted = stats.writable_layer.used_bytes.value >= 5_000_000
        return stats if grown and counted and stats.cpu.usage_nano_cores.value else None

    second = await runtime.eventually(later)
    assert second.cpu.timestamp > first.cpu.timestamp
    assert second.cpu.usage_nano_cores.value > 0
    assert 0 < second.memory.working_set_bytes.value <= second.memory.usage_bytes.value
    assert second.memory.page_faults.value > 0
    assert second.writable_layer.inodes_used.value >= 1
    assert second.writable_layer.fs_id.mountpoint
    listed = await runtime.service.list_container_stats(
        cri.ListContainerStatsRequest(filter=cri.ContainerStatsFilter(pod_sandbox_id=pod[0]))
    )
    assert [entry.attributes.id for entry in listed.stats] == [container_id]


async def test_statistics_of_a_sandbox(runtime: Subject) -> None:
    """The sum of the pod, its processes, and its containers one by one."""
    runtime.needs("statistics")
    pod = await runtime.run_sandbox()
    ids = {await runtime.launch(pod, runtime.container_config(name=name)) for name in ("a", "b")}
    stats = (await runtime.service.pod_sandbox_stats(cri.PodSandboxStatsRequest(pod_sandbox_id=pod[0]))).stats
    assert stats.attributes.id == pod[0]
    assert stats.attributes.metadata == pod[1].metadata
    assert {entry.attributes.id for entry in stats.linux.containers} == ids
    assert stats.linux.cpu.usage_core_nano_seconds.value > 0
    assert stats.linux.memory.working_set_bytes.value > 0
    assert stats.linux.process.process_count.value >= 2
    listed = await runtime.service.list_pod_sandbox_stats(
        cri.ListPodSandboxStatsRequest(filter=cri.PodSandboxStatsFilter(label_selector={"app": "pod"}))
    )
    assert [entry.attributes.id for entry in listed.stats] == [pod[0]]
