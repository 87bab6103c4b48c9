"""The CRI's metrics: names and labels as described, values as the containers have done."""

import asyncio
import re
import time

import pytest

from proto import cri_pb2 as cri
from runtimes.metrics import LABELS
from runtimes.testing.subject import Pod, Subject

pytestmark = pytest.mark.asyncio

MIB = 1024 * 1024
COUNTERS = re.compile(r"(?!container_fs_inodes_total).*_total|container_memory_failcnt")


async def described(runtime: Subject) -> dict[str, list[str]]:
    """Label keys by name."""
    answer = await runtime.service.list_metric_descriptors(cri.ListMetricDescriptorsRequest())
    found = {entry.name: list(entry.label_keys) for entry in answer.descriptors}
    assert len(found) == len(answer.descriptors), "each name once"
    assert all(entry.help for entry in answer.descriptors)
    return found


class Figures:
    """The metrics of one pod: by name, container ("" for the pod itself) and the labels that only this name has."""

    def __init__(self, keys: dict[str, list[str]], pod: cri.PodSandboxMetrics) -> None:
        self.found: dict[tuple[str, ...], int] = {}
        self.samples: list[tuple[str, cri.Metric, dict[str, str]]] = []
        for container_id, metrics in (("", pod.metrics), *((c.container_id, c.metrics) for c in pod.container_metrics)):
            for metric in metrics:
                labels = dict(zip(keys[metric.name], metric.label_values, strict=True))
                self.samples.append((container_id, metric, labels))
                more = tuple(value for key, value in labels.items() if key not in LABELS)
                entry = (metric.name, labels["container"], *more)
                assert entry not in self.found, f"{entry} twice"
                self.found[entry] = metric.value.value

    def __call__(self, name: str, container: str = "", *more: str) -> int:
        """-1: there is none."""
        return self.found.get((f"container_{name}", container, *more), -1)

    def names(self, container: str) -> set[str]:
        return {entry[0] for entry in self.found if entry[1] == container}


async def figures(runtime: Subject, pod: Pod) -> Figures:
    keys = await described(runtime)
    answer = await runtime.service.list_pod_sandbox_metrics(cri.ListPodSandboxMetricsRequest())
    return Figures(keys, next(entry for entry in answer.pod_metrics if entry.pod_sandbox_id == pod[0]))


def limited(runtime: Subject, script: str, name: str) -> cri.ContainerConfig:
    config = runtime.container_config(script, name=name)
    wanted = config.linux.resources
    wanted.cpu_shares, wanted.cpu_quota, wanted.cpu_period = 512, 30_000, 100_000
    wanted.memory_limit_in_bytes = 128 * MIB
    return config


async def test_metrics_of_what_containers_did(networked: Subject) -> None:
    """CPU burnt, memory taken, bytes written and received, sockets, processes and limits; all that is described has a value,
    and every value is described, in the pod's row or the container's."""
    runtime = networked
    runtime.needs("metrics")
    began = int(time.time())
    pod = await runtime.run_sandbox()
    script = (
        "dd if=/dev/zero of=/written bs=1M count=5 conv=fsync 2>/dev/null; (while :; do :; done) & "
        f"(head -c {30 * MIB} /dev/zero; sleep 1000) | tail -c {30 * MIB} & nc -l -p 8099 > /received; wait"
    )
    container_id = await runtime.launch(pod, limited(runtime, script, "worker"))
    status = await runtime.service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=pod[0]))
    await runtime.eventually(lambda: listens(runtime, container_id))
    _, writer = await asyncio.open_connection(status.status.network.ip, 8099)
    writer.write(b"x" * 300_000)
    await writer.drain()

    async def done() -> Figures | None:
        found = await figures(runtime, pod)
        # whole seconds, and the pod's row may have been read a moment before the container's
        worked = all(found("cpu_usage_seconds_total", owner, "total") >= 1 for owner in ("worker", ""))
        received = found("network_receive_bytes_total", "", "eth0") >= 300_000
        held = found("memory_working_set_bytes") > 30 * MIB
        if runtime.can("statistics of one container"):
            held = found("memory_rss", "worker") >= 30 * MIB and found("cpu_cfs_throttled_periods_total", "worker") > 0
        return found if worked and received and held else None

    found = await runtime.eventually(done)
    writer.close()
    keys = await described(runtime)
    for owner, metric, labels in found.samples:
        assert metric.metric_type == (cri.COUNTER if COUNTERS.fullmatch(metric.name) else cri.GAUGE), metric.name
        assert metric.timestamp > began * 10**9
        assert (labels["namespace"], labels["pod"], labels["id"]) == ("default", "pod", owner or pod[0])
        assert (labels["container"], bool(labels["image"])) == (("worker", True) if owner else ("", False))
    assert found("network_receive_packets_total", "", "eth0") > 0
    assert found("network_transmit_bytes_total", "", "eth0") > 0
    assert found("network_receive_errors_total", "", "eth0") == 0
    assert found("cpu_usage_seconds_total", "", "total") >= 1
    assert found("fs_usage_bytes", "worker", *device_of(found)) >= 5 * MIB
    assert found("fs_inodes_total", "worker", *device_of(found)) > found("fs_inodes_free", "worker", *device_of(found))
    assert began <= found("start_time_seconds", "worker") <= found("last_seen", "worker") <= time.time()
    assert found("spec_memory_limit_bytes", "worker") == 128 * MIB
    assert (found("spec_cpu_quota", "worker"), found("spec_cpu_period", "worker")) == (30_000, 100_000)
    assert found("processes", "worker") >= 4
    if runtime.can("statistics of one container"):
        assert abs(found("spec_cpu_shares", "worker") - 512) < 30, "as near as a weight of cgroup v2 can be"
        assert set(keys) == found.names("worker") | found.names(""), "all that is described has a value"
        parts = found("cpu_user_seconds_total", "worker") + found("cpu_system_seconds_total", "worker")
        assert 0 <= found("cpu_usage_seconds_total", "worker", "total") - parts <= 1, "each is cut to whole seconds"
        assert found("cpu_cfs_periods_total", "worker") >= found("cpu_cfs_throttled_periods_total", "worker")
        assert found("memory_rss", "worker") <= found("memory_max_usage_bytes", "worker") <= 128 * MIB
        assert found("memory_failures_total", "worker", "pgfault", "hierarchy") > 30 * MIB // 4096 // 16
        assert found("sockets", "worker") >= 1
        assert found("file_descriptors", "worker") > found("sockets", "worker")
        assert found("threads", "worker") >= found("processes", "worker")
        assert found("ulimits_soft", "worker", "max_open_files") > 0
        assert found("oom_events_total", "worker") == 0


async def listens(runtime: Subject, container_id: str) -> bool | None:
    done = await runtime.exec(container_id, "/bin/sh", "-c", "netstat -ltn | grep -q :8099")
    return done.exit_code == 0 or None


def device_of(found: Figures) -> tuple[str, ...]:
    return next(entry[2:] for entry in found.found if entry[0] == "container_fs_limit_bytes")


async def test_metrics_of_memory_kills(runtime: Subject) -> None:
    """A process killed for want of memory is counted for its container and its pod, and still when the container has ended."""
    runtime.needs("metrics")
    runtime.needs("container limits")
    pod = await runtime.run_sandbox()
    config = runtime.container_config("tail /dev/zero; while :; do sleep 0.1; done", name="victim")
    config.linux.resources.memory_limit_in_bytes = 24 * MIB
    container_id = await runtime.launch(pod, config)

    async def killed() -> Figures | None:
        found = await figures(runtime, pod)
        return found if found("oom_events_total", "victim") > 0 and found("oom_events_total") > 0 else None

    found = await runtime.eventually(killed)
    assert (found("oom_events_total", "victim"), found("oom_events_total")) == (1, 1)
    await runtime.service.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=0))
    found = await figures(runtime, pod)
    assert (found("oom_events_total", "victim"), found("oom_events_total")) == (1, 1)
    assert found.names("victim") == {"container_oom_events_total", "container_start_time_seconds"}


async def test_metrics_of_pods_that_are_down(runtime: Subject) -> None:
    """A pod that was stopped has none; one without containers has its own."""
    runtime.needs("metrics")
    pods = [await runtime.run_sandbox(runtime.sandbox_config(name)) for name in ("up", "down")]
    await runtime.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=pods[1][0]))
    answer = await runtime.service.list_pod_sandbox_metrics(cri.ListPodSandboxMetricsRequest())
    assert [(entry.pod_sandbox_id, len(entry.container_metrics)) for entry in answer.pod_metrics] == [(pods[0][0], 0)]
    assert answer.pod_metrics[0].metrics
