"""Logs and statistics of real containers."""

import asyncio
import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.stats.pod_cgroups import PodCgroupReader
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.detect import detect

pytestmark = pytest.mark.node


async def test_follow_across_rotation(node):
    """`logs -f` across real rotations by conmon: every line once, until the container ends."""
    script = "sleep 0.3; for i in $(seq 1 3000); do echo line $i; [ $((i % 300)) = 0 ] && sleep 0.1; done"
    container_id = await node.run("one", script)
    status = await node.subject.status(container_id)
    rotations = 0

    async def rotate():
        nonlocal rotations
        log = Path(status.log_path)
        while (await node.subject.status(container_id)).state == cri.CONTAINER_RUNNING:
            log.rename(log.with_name(f"{log.name}.20260101-{rotations:06}"))
            await node.subject.service.reopen_container_log(cri.ReopenContainerLogRequest(container_id=container_id))
            rotations += 1
            await asyncio.sleep(0.15)

    async with node.endpoint.http() as http, http.get("/containerLogs/default/one/main?follow=true") as answer:
        rotating = asyncio.create_task(rotate())
        text = await answer.text()
        rotating.cancel()
        await asyncio.gather(rotating, return_exceptions=True)
    assert text.splitlines() == [f"line {number}" for number in range(1, 3001)]
    assert rotations > 1


async def test_fifty_megabytes_of_log(node):
    """A large log arrives whole."""
    container_id = await node.run("one", "yes 0123456789012345678901234567890123456789 | head -n 1000000")
    await node.subject.exited(container_id)
    async with node.endpoint.http() as http, http.get("/containerLogs/default/one/main") as answer:
        body = await answer.read()
    assert (len(body), body.count(b"\n")) == (41_000_000, 1_000_000)


async def test_statistics(node):
    """The summary and the metrics tell of the node, the pod and its container."""
    script = "echo begun; head -c 8388608 /dev/zero > /written; while true; do :; done"
    container_id = await node.run("busy", script, log_path="main/0.log")
    status, text = await node.endpoint.get("/stats/summary")
    document = json.loads(text)
    assert (status, document["node"]["nodeName"]) == (200, "node-1")
    always = {"nodeName", "systemContainers", "startTime", "cpu", "memory", "swap"}
    assert set(document["node"]) >= always | {"fs", "runtime", "rlimit", "network"}
    (kubepods,) = document["node"]["systemContainers"]
    assert kubepods["name"] == "pods" and kubepods["cpu"]["usageCoreNanoSeconds"] > 0
    (pod,) = document["pods"]
    assert (pod["podRef"]["name"], pod["podRef"]["namespace"]) == ("busy", "default")
    (container,) = pod["containers"]
    assert container["name"] == "main"
    (volume,) = pod["volume"]
    assert container["logs"]["usedBytes"] > 0
    assert pod["ephemeral-storage"]["usedBytes"] >= container["logs"]["usedBytes"] + volume["usedBytes"]
    assert container["rootfs"]["usedBytes"] <= pod["ephemeral-storage"]["usedBytes"]
    assert volume["name"] == "scratch" and 0 < volume["usedBytes"] < volume["capacityBytes"]
    assert container["cpu"]["usageCoreNanoSeconds"] > 0 and container["memory"]["workingSetBytes"] > 0
    _, text = await node.endpoint.get("/stats/summary?only_cpu_and_memory=true")
    assert set(json.loads(text)["node"]) == always
    _, text = await node.endpoint.get("/metrics/resource")
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    (sample,) = families["container_cpu_usage_seconds"]
    assert sample.labels == {"container": "main", "pod": "busy", "namespace": "default"}
    assert sample.value > 0 and sample.timestamp is not None
    assert families["resource_scrape_error"][0].value == 0
    await check_the_kernel_tells_the_same(node, container_id)
    await check_cgroups_tell_the_same(node)
    _, text = await node.endpoint.get("/metrics")
    assert "kubelet_running_pods 1.0" in text and "process_cpu_seconds_total" in text


async def check_the_kernel_tells_the_same(node, container_id):
    """Each row's `id` is the cgroup that has its figures; they grow as those do, and a group has what its members have."""
    kernel = detect().statistics

    async def rows(name):
        _, text = await node.endpoint.get("/metrics/cadvisor")
        families = {family.name: family.samples for family in text_string_to_metric_families(text)}
        for family in ("container_memory_cache", "container_threads", "container_fs_limit_bytes"):
            assert {sample.labels["container"] for sample in families[family]} >= {"main"}, family
        return {sample.labels["id"]: sample for sample in families[name]}

    parent = node.subject.cgroup_parent
    before = {path: kernel.cpu(path).usage_ns for path in (parent, await pod_cgroup(node))}
    cpu = await rows("container_cpu_usage_seconds")
    (main,) = (path for path, sample in cpu.items() if sample.labels["name"] == container_id)
    assert main.rpartition("/")[0] == await pod_cgroup(node)
    assert cpu[main].labels["container"] == "main" and cpu[main].labels["namespace"] == "default"
    for path, usage_ns in before.items():
        # one second at most lies between what is kept and what is asked
        assert usage_ns / 1e9 - 1.5 <= cpu[path].value <= kernel.cpu(path).usage_ns / 1e9, path
    await asyncio.sleep(1.1)  # by then all is written, and figures are taken anew
    again = await rows("container_cpu_usage_seconds")
    assert all(again[path].value > cpu[path].value for path in (main, parent, "/"))
    memory = await rows("container_memory_usage_bytes")
    used = kernel.memory(main).usage_bytes
    assert abs(memory[main].value - used) < 4 << 20, (memory[main].value, used)


async def pod_cgroup(node):
    (pod,) = (await node.subject.service.list_pod_sandbox(cri.ListPodSandboxRequest())).items
    return f"{node.subject.cgroup_parent}/pod{pod.metadata.uid}"


async def check_cgroups_tell_the_same(node):
    """What is told of the pods of a runtime without such statistics has the same figures as this one's own."""
    service = node.subject.runtime.service
    (pod,) = (await service.list_pod_sandbox(cri.ListPodSandboxRequest())).items
    containers = (await service.list_containers(cri.ListContainersRequest())).containers
    reader = PodCgroupReader(detect(), lambda uid: f"{node.subject.cgroup_parent}/pod{uid}")
    (own,) = (await service.list_pod_sandbox_stats(cri.ListPodSandboxStatsRequest())).stats
    (read,) = await reader.read(service, [pod], containers)
    assert read.attributes == own.attributes
    assert {field.name for field, _ in read.linux.ListFields()} == {field.name for field, _ in own.linux.ListFields()}
    assert read.linux.cpu.usage_core_nano_seconds.value >= own.linux.cpu.usage_core_nano_seconds.value > 0
    assert read.linux.network.default_interface.name == own.linux.network.default_interface.name
    assert [item.attributes for item in read.linux.containers] == [item.attributes for item in own.linux.containers]
