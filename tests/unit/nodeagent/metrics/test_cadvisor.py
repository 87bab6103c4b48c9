"""/metrics/cadvisor: what runtimes and cgroups measure, in the text that a scraper reads."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import small_machine
from prometheus_client.parser import text_string_to_metric_families

from nodeagent.metrics.cadvisor import Measured, cadvisor_page
from nodeagent.metrics.machine import MachineMetrics
from nodeagent.stats.node import Filesystem, Interface, NodeStats
from nodeagent.stats.pods import ContainerStats, PodsSnapshot, PodStats
from nodeagent.stats.system_containers import Groups, SystemContainer
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import Pressure, Stall
from runtimes.metrics import LABELS, Row, container_values, descriptors, pod_values
from runtimes.serve.metrics import RuntimeMetrics

POD = cri.PodSandboxMetadata(name="web", namespace="default")
NANO = 1_000_000_000
STALL = Stall(average_10s=0, average_60s=0, average_300s=0, total_us=7_900_000)
NODE = NodeStats(
    time_ns=9 * NANO,
    start_time=datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC),
    cpu_core_nano_seconds=5 * NANO + NANO // 2,
    cpu_nano_cores=None,
    memory_total_bytes=1000,
    memory_usage_bytes=500,
    memory_working_set_bytes=400,
    memory_rss_bytes=300,
    page_faults=70,
    major_page_faults=7,
    cpu_pressure=Pressure(some=STALL, full=None),
    memory_pressure=None,
    io_pressure=None,
    swap_available_bytes=10,
    swap_usage_bytes=2,
    interfaces=(Interface(name="eth0", rx_bytes=1, rx_errors=0, tx_bytes=2, tx_errors=0, rx_packets=3, rx_dropped=4),),
    filesystem=Filesystem(
        available_bytes=60, capacity_bytes=100, used_bytes=40, inodes_free=7, inodes=10, device="/dev/vda"
    ),
    max_pids=32768,
    running_processes=99,
)
MACHINE = dataclasses.replace(small_machine.MACHINE, system_uuid="u", memory_bytes=1000, swap_bytes=12, max_pids=9)


def told() -> RuntimeMetrics:
    """A pod with one container that uses memory; the pod's network."""
    main, own = Row(container_values("c1", "main", "img", POD), 8 * NANO), Row(pod_values("s1", POD), 8 * NANO)
    main.add("container_cpu_usage_seconds_total", 2, "total")
    main.add("container_memory_working_set_bytes", 20)
    own.add("container_memory_working_set_bytes", 30)
    own.add("container_network_receive_bytes_total", 11, "eth0")
    pod = cri.PodSandboxMetrics(pod_sandbox_id="s1", metrics=own.metrics)
    pod.container_metrics.add(container_id="c1", metrics=main.metrics)
    names = ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes")
    return RuntimeMetrics(descriptors=descriptors([*names, "container_network_receive_bytes_total"]), pods=[pod])


def snapshot() -> PodsSnapshot:
    main = cri.ContainerStats(attributes=cri.ContainerAttributes(id="c1"))
    stats = cri.PodSandboxStats(attributes=cri.PodSandboxAttributes(id="s1"))
    main.cpu.timestamp = stats.linux.cpu.timestamp = 8 * NANO
    main.cpu.usage_core_nano_seconds.value = 2 * NANO + NANO // 4
    stats.linux.cpu.usage_core_nano_seconds.value = 3 * NANO
    container = ContainerStats(name="main", image="img", created_ns=1, stats=main)
    idle = ContainerStats(name="idle", image="img", created_ns=1, stats=cri.ContainerStats())
    pod = PodStats(namespace="default", name="web", uid="u1", created_ns=1, stats=stats, containers=(container, idle))
    return PodsSnapshot(pods=(pod,), complete=False)


def kubepods() -> Groups:
    stats = cri.ContainerStats()
    stats.cpu.timestamp = 8 * NANO
    stats.cpu.usage_core_nano_seconds.value = 4 * NANO
    row = Row(("", "/kubepods", "", "", "", ""), 8 * NANO)
    row.add("container_memory_working_set_bytes", 35)
    return Groups(usages=[SystemContainer(name="pods", cgroup="/kubepods", started_ns=1, stats=stats)], rows=[row])


def page() -> dict[tuple[str, ...], tuple[float, float | None]]:
    """(name, container, id, image, name, namespace, pod, further labels by their names…) -> value, time."""
    paths = {"s1": "/kubepods/podu1", "c1": "/kubepods/podu1/c1"}
    measured = Measured(node=NODE, pods=snapshot(), told=[told()], groups=kubepods(), paths=paths)
    text = cadvisor_page(measured, MachineMetrics(MACHINE, root=Path("/nonexistent"))).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            known = tuple(labels.pop(name, "-") for name in LABELS)
            found[(sample.name, *known, *labels.values())] = (sample.value, sample.timestamp)
    return found


ROOT, GROUP = ("", "/", "", "", "", ""), ("", "/kubepods", "", "", "", "")
OF_POD = ("", "/kubepods/podu1", "", "s1", "default", "web")
OF_MAIN = ("main", "/kubepods/podu1/c1", "img", "c1", "default", "web")
NOBODY = ("-",) * len(LABELS)


def test_every_kind_of_row() -> None:
    """The machine, the groups, the pod and its container, each with all labels and its cgroup; CPU in fractions of seconds."""
    found = page()
    cpu = {key[1:-1]: value for key, value in found.items() if key[0] == "container_cpu_usage_seconds_total"}
    assert cpu == {ROOT: (5.5, 9), GROUP: (4, 8), OF_POD: (3, 8), OF_MAIN: (2.25, 8)}
    memory = {key[1:]: value for key, value in found.items() if key[0] == "container_memory_working_set_bytes"}
    assert memory == {ROOT: (400, 9), GROUP: (35, 8), OF_POD: (30, 8), OF_MAIN: (20, 8)}
    received = {key[1:]: value for key, value in found.items() if key[0] == "container_network_receive_bytes_total"}
    assert received == {(*ROOT, "eth0"): (1, 9), (*OF_POD, "eth0"): (11, 8)}


def test_the_machine() -> None:
    """As the root of all cgroups, with its file system, pressure and network; and its hardware."""
    found = page()
    for name, *more, value in (
        ("container_memory_failures_total", "pgfault", "hierarchy", 70),
        ("container_fs_usage_bytes", "/dev/vda", 40),
        ("container_fs_limit_bytes", "/dev/vda", 100),
        ("container_fs_inodes_free", "/dev/vda", 7),
        ("container_network_receive_packets_total", "eth0", 3),
        ("container_network_receive_packets_dropped_total", "eth0", 4),
        ("container_pressure_cpu_waiting_seconds_total", 7),
        ("container_spec_memory_limit_bytes", 1000),
        ("container_start_time_seconds", 3),
    ):
        assert found[(str(name), *ROOT, *map(str, more))] == (value, 9), name
    for name, value in (("cpu_cores", 4), ("cpu_sockets", 1), ("memory_bytes", 1000), ("swap_bytes", 12)):
        assert found[(f"machine_{name}", *NOBODY, "b", "m", "u")] == (value, None)
    assert found[("cadvisor_version_info", *NOBODY, "", "", "", "6.1", "Debian")] == (1, None)
    assert found[("container_scrape_error", *NOBODY)] == (1, None)
    assert found[("machine_scrape_error", *NOBODY)] == (0, None)
