"""Metrics from statistics."""

from proto import cri_pb2 as cri
from runtimes.serve import metrics


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
    container = stats.linux.containers.add()
    container.attributes.id = "c"
    container.attributes.labels["io.kubernetes.container.name"] = "main"
    container.memory.timestamp = 7
    container.memory.working_set_bytes.value = 4096
    pod = ("s", "s", "default", "web")
    assert metrics.of_pod(stats, {"c": "busybox"}) == cri.PodSandboxMetrics(
        pod_sandbox_id="s",
        metrics=[
            metric("pod_cpu_usage_seconds_total", 5, cri.COUNTER, pod, 2),
            metric("container_network_receive_bytes_total", 6, cri.COUNTER, (*pod, "eth0"), 10),
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


def metric(name: str, at_ns: int, kind: "cri.MetricType", values: tuple[str, ...], value: int) -> cri.Metric:
    return cri.Metric(
        name=name, timestamp=at_ns, metric_type=kind, label_values=values, value=cri.UInt64Value(value=value)
    )


def test_descriptors_fit() -> None:
    """Every name once, with as many label keys as its metrics have values."""
    keys = {item.name: len(item.label_keys) for item in metrics.descriptors()}
    assert len(keys) == len(metrics.descriptors())
    stats = cri.PodSandboxStats()
    for field in ("rx_bytes", "rx_errors", "tx_bytes", "tx_errors"):
        getattr(stats.linux.network.default_interface, field).value = 1
    stats.linux.process.process_count.value = 1
    container = stats.linux.containers.add()
    container.cpu.usage_core_nano_seconds.value = container.writable_layer.used_bytes.value = 1
    found = metrics.of_pod(stats, {})
    told = [*found.metrics, *found.container_metrics[0].metrics]
    assert len(told) == 7
    assert all(len(item.label_values) == keys[item.name] for item in told)
