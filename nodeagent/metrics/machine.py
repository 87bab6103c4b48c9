"""machine_*: the hardware under the node. Source: docs/facts/node-resources.md 7.2."""

from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from nodeagent.node.facts import ROOT, Machine

_LABELS = ("machine_id", "system_uuid", "boot_id")


class MachineMetrics(Collector):
    """What does not change while the machine runs. `root`: of the file tree that it is read from."""

    def __init__(self, machine: Machine, *, root: Path = ROOT) -> None:
        self._machine = machine
        self._physical_cores = psutil.cpu_count(logical=False) or machine.cpus
        self._sockets = _sockets(root)

    @override
    def collect(self) -> Iterator[Metric]:
        machine = self._machine
        labels = (machine.machine_id, machine.system_uuid, machine.boot_id)
        for name, text, value in (
            ("cpu_cores", "Number of logical CPU cores.", machine.cpus),
            ("cpu_physical_cores", "Number of physical CPU cores.", self._physical_cores),
            ("cpu_sockets", "Number of CPU sockets.", self._sockets),
            ("memory_bytes", "Amount of memory installed on the machine.", machine.memory_bytes),
            ("swap_bytes", "Amount of swap memory available on the machine.", machine.swap_bytes),
        ):
            family = GaugeMetricFamily(f"machine_{name}", text, labels=_LABELS)
            family.add_metric(labels, value)
            yield family
        failed = GaugeMetricFamily("machine_scrape_error", "1 if the machine could not be read, 0 otherwise")
        failed.add_metric((), 0 if machine.cpus and machine.memory_bytes else 1)
        yield failed
        version = GaugeMetricFamily(
            "cadvisor_version_info",
            "Versions of the kernel and the operating system; there is no cAdvisor and no Docker.",
            labels=("kernelVersion", "osVersion", "dockerVersion", "cadvisorVersion", "cadvisorRevision"),
        )
        version.add_metric((machine.kernel_version, machine.os_image, "", "", ""), 1)
        yield version


def _sockets(root: Path) -> int:
    """At least one, also where the kernel does not say."""
    found = set()
    for file in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology/physical_package_id"):
        try:
            found.add(file.read_text().strip())
        except OSError:
            continue
    return len(found) or 1
