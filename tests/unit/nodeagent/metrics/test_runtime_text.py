"""What runtimes measure, in the text that a scraper reads."""

from prometheus_client.core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.metrics.runtime_text import runtime_text
from proto import cri_pb2 as cri
from runtimes.metrics import LABELS, Row, container_values, descriptors, pod_values
from runtimes.serve.metrics import RuntimeMetrics

POD = cri.PodSandboxMetadata(name="web", namespace="default")


def test_runtime_metrics() -> None:
    """Each under its own name, counters as such, with its labels and its time; what is told already is left out."""
    row, own = Row(container_values("c", "main", "busybox", POD), 2_500_000_000), Row(pod_values("s", POD), 0)
    row.add("container_cpu_usage_seconds_total", 5, "total")
    row.add("container_fs_reads_total", 7, "/dev/vda")
    row.add("container_fs_inodes_total", 8, "/dev/vda")
    row.add("container_memory_failcnt", 9)
    own.add("container_processes", 3)
    names = ["container_cpu_usage_seconds_total", "container_fs_reads_total", "container_fs_inodes_total"]
    names += ["container_memory_failcnt", "container_processes", "container_threads"]
    pod = cri.PodSandboxMetrics(pod_sandbox_id="s", metrics=own.metrics)
    pod.container_metrics.add(container_id="c", metrics=row.metrics)
    known = [CounterMetricFamily("container_cpu_usage_seconds", "told already", labels=LABELS)]
    runtime = RuntimeMetrics(descriptors=descriptors(names), pods=[pod])
    text = runtime_text([runtime], {"c": "/pod/c"}, known).decode()
    bare = 'container="main",id="/pod/c",image="busybox",name="c",namespace="default",pod="web"'
    of_main = 'container="main",id="/pod/c",image="busybox",name="c",namespace="default",pod="web",device="/dev/vda"'
    assert [line for line in text.splitlines() if not line.startswith("# HELP")] == [
        "# TYPE container_fs_reads_total counter",
        f"container_fs_reads_total{{{of_main}}} 7 2500",
        "# TYPE container_fs_inodes_total gauge",
        f"container_fs_inodes_total{{{of_main}}} 8 2500",
        "# TYPE container_memory_failcnt counter",
        f"container_memory_failcnt{{{bare}}} 9 2500",
        "# TYPE container_processes gauge",
        'container_processes{container="",id="s",image="",name="s",namespace="default",pod="web"} 3',
    ]


def test_labels_of_others_making() -> None:
    """Whatever an image or a device is called, a scraper reads it as it is; so it does labels in another order."""
    odd = 'a"b\\c\nd'
    row = Row(container_values("c", "main", odd, POD), 0)
    row.add("container_fs_reads_total", 7, odd)
    own = cri.PodSandboxMetrics(metrics=row.metrics)
    foreign = cri.MetricDescriptor(name="vendor_gauge", help="one\ntwo", label_keys=["pod", "zone"])
    own.metrics.append(cri.Metric(name="vendor_gauge", label_values=["web", odd], value=cri.UInt64Value(value=1)))
    runtime = RuntimeMetrics(descriptors=[*descriptors(["container_fs_reads_total"]), foreign], pods=[own])
    families = text_string_to_metric_families(runtime_text([runtime], {}, []).decode())
    reads, vendor = (sample.labels for family in families for sample in family.samples)
    assert (reads["image"], reads["device"], reads["id"]) == (odd, odd, "c")
    assert vendor == {"pod": "web", "zone": odd}
