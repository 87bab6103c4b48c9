"""Metrics from statistics, and those of several runtimes as one list."""

from typing import Any

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.metrics import FAMILIES, LABELS
from runtimes.serve import metrics
from runtimes.serve.metrics import RuntimeMetrics


def metric(name: str, at_ns: int, kind: "cri.MetricType", values: tuple[str, ...], value: int) -> cri.Metric:
    return cri.Metric(
        name=name, timestamp=at_ns, metric_type=kind, label_values=values, value=cri.UInt64Value(value=value)
    )


def test_a_pods_metrics() -> None:
    """Names and labels as described; counters in whole seconds; a figure that is not known is absent, not 0."""
    stats = cri.PodSandboxStats()
    stats.attributes.id = "s"
    stats.attributes.metadata.name, stats.attributes.metadata.namespace = "web", "default"
    stats.linux.cpu.timestamp = 5
    stats.linux.cpu.usage_core_nano_seconds.value = 2_900_000_000
    stats.linux.network.timestamp = 6
    stats.linux.network.default_interface.name = "eth0"
    stats.linux.network.default_interface.rx_bytes.value = 10
    stats.linux.network.interfaces.add(name="eth1").tx_bytes.value = 11
    container = stats.linux.containers.add()
    container.attributes.id = "c"
    container.attributes.labels["io.kubernetes.container.name"] = "main"
    container.memory.timestamp = 7
    container.memory.working_set_bytes.value = 4096
    pod = ("", "s", "", "s", "default", "web")
    assert metrics.of_pod(stats, {"c": "busybox"}) == cri.PodSandboxMetrics(
        pod_sandbox_id="s",
        metrics=[
            metric("container_cpu_usage_seconds_total", 5, cri.COUNTER, (*pod, "total"), 2),
            metric("container_network_receive_bytes_total", 6, cri.COUNTER, (*pod, "eth0"), 10),
            metric("container_network_transmit_bytes_total", 6, cri.COUNTER, (*pod, "eth1"), 11),
        ],
        container_metrics=[
            cri.ContainerMetrics(
                container_id="c",
                metrics=[
                    metric(
                        "container_memory_working_set_bytes",
                        7,
                        cri.GAUGE,
                        ("main", "c", "busybox", "c", "default", "web"),
                        4096,
                    )
                ],
            )
        ],
    )


def test_descriptors_fit() -> None:
    """Whatever statistics tell is described, with as many label keys as it has values."""
    keys = {item.name: len(item.label_keys) for item in metrics.descriptors(metrics._FROM_STATISTICS)}
    stats = cri.PodSandboxStats()
    for field in ("rx_bytes", "rx_errors", "tx_bytes", "tx_errors"):
        getattr(stats.linux.network.default_interface, field).value = 1
    stats.linux.process.process_count.value = 1
    container = stats.linux.containers.add()
    container.cpu.usage_core_nano_seconds.value = container.writable_layer.used_bytes.value = 1
    container.swap.swap_usage_bytes.value = 1
    for field in ("usage_bytes", "working_set_bytes", "rss_bytes"):
        getattr(container.memory, field).value = 1
    found = metrics.of_pod(stats, {})
    told = [*found.metrics, *found.container_metrics[0].metrics]
    assert {item.name for item in told} == keys.keys()
    assert all(len(item.label_values) == keys[item.name] for item in told)


def test_families() -> None:
    """Every name has a text, and no label twice."""
    for family in FAMILIES.values():
        descriptor = family.descriptor()
        assert descriptor.help and len(set(descriptor.label_keys)) == len(LABELS) + len(family.more)


def told(keys: list[str], pod: str, *values: str) -> RuntimeMetrics:
    sample = cri.Metric(name="m", label_values=values)
    return RuntimeMetrics(
        descriptors=[cri.MetricDescriptor(name="m", help=pod, label_keys=keys)],
        pods=[
            cri.PodSandboxMetrics(
                pod_sandbox_id=pod,
                metrics=[sample, cri.Metric(name="undescribed")],
                container_metrics=[cri.ContainerMetrics(container_id="c", metrics=[sample])],
            )
        ],
    )


def test_runtimes_with_other_labels() -> None:
    """One name has one list of labels, that of the first runtime with what others add; values are put in that order."""
    both = [told(["a", "b"], "one", "1", "2"), told(["c", "b"], "two", "3", "4")]
    assert metrics.merged_descriptors(both) == [cri.MetricDescriptor(name="m", help="one", label_keys=["a", "b", "c"])]
    found = metrics.merged_metrics(both)
    values = [
        (pod.pod_sandbox_id, list(item.label_values))
        for pod in found
        for item in (*pod.metrics, *pod.container_metrics[0].metrics)
    ]
    assert values == [("one", ["1", "2", ""])] * 2 + [("two", ["", "4", "3"])] * 2


async def test_a_runtime_without_metrics() -> None:
    """They are made from its statistics, and described so."""

    class Old:
        async def list_metric_descriptors(self, request: Any) -> Any:
            raise errors.NotSupported("unknown method")

        async def list_pod_sandbox_stats(self, request: Any) -> cri.ListPodSandboxStatsResponse:
            answer = cri.ListPodSandboxStatsResponse()
            container = answer.stats.add().linux.containers.add()
            container.attributes.id = "c"
            container.memory.rss_bytes.value = 1
            return answer

        async def list_containers(self, request: Any) -> cri.ListContainersResponse:
            return cri.ListContainersResponse(containers=[cri.Container(id="c", image=cri.ImageSpec(image="i"))])

    found = await metrics.metrics_of(Old())  # type: ignore[arg-type]
    assert [item.name for item in found.pods[0].container_metrics[0].metrics] == ["container_memory_rss"]
    assert list(found.pods[0].container_metrics[0].metrics[0].label_values) == ["", "c", "i", "c", "", ""]
    assert found.descriptors == (await metrics.descriptors_of(Old())).descriptors  # type: ignore[arg-type]
