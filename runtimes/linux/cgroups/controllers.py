"""cgroupspy's typed files, and the controllers that it lacks or has in part, in its style: on v1 some, and all of v2.

A controller is bound to one cgroup directory: `CpuController(Directory(path)).shares = 512`. A file that is not there raises
FileNotFoundError; `present` makes None of that.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from cgroupspy import controllers as cgroupspy
from cgroupspy.interfaces import BaseFileInterface, DictFile, FlagFile, ListFile
from typing_extensions import override

from runtimes.linux.cgroups.contract import Pressure, Stall
from runtimes.linux.cgroups.tree import names_in

_T = TypeVar("_T")

UNLIMITED_BYTES = 1 << 62
"""A limit of v1 at or above this is "unlimited" in pages."""
_FILE_BYTES = 1 << 16


class Directory:
    """What cgroupspy calls a node: a cgroup directory."""

    def __init__(self, path: str) -> None:
        self.full_path = os.fsencode(path)


class Controller(cgroupspy.Controller):
    """One whose files are read without Python's buffers, in half the time: statistics read some sixty files a pod.

    The kernel hands a file of figures over in one piece (lists of processes alone come in several: `tree.processes`).
    """

    @override
    def get_property(self, filename: bytes) -> str:
        file = os.open(self.node.full_path + b"/" + filename, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(file, _FILE_BYTES).decode().strip()
        finally:
            os.close(file)


def present(read: Callable[[], _T]) -> _T | None:
    """What `read` answers; None where the kernel has no such file, counts no such thing, or the cgroup is gone."""
    try:
        return read()
    except OSError:
        return None


class TypedFile(BaseFileInterface, Generic[_T]):
    """A file whose text stands for a `_T`: subclasses say how."""

    @override
    def __get__(self, instance: cgroupspy.Controller, owner: type[cgroupspy.Controller]) -> _T:
        return self.sanitize_get(instance.get_property(self.filename))

    @override
    def __set__(self, instance: cgroupspy.Controller, value: _T) -> None:
        super().__set__(instance, value)

    @override
    def sanitize_get(self, value: str) -> _T:
        raise NotImplementedError


class CountFile(TypedFile[int]):
    """A number that is none but a number."""

    @override
    def sanitize_get(self, value: str) -> int:
        return int(value)


class MaxFile(TypedFile[int | None]):
    """A number, or `max` for None."""

    @override
    def sanitize_get(self, value: str) -> int | None:
        return None if value == "max" else int(value)

    @override
    def sanitize_set(self, value: int | None) -> str:
        return "max" if value is None or value < 0 else str(value)


class WordFile(TypedFile[str]):
    """One word or line of text."""

    @override
    def sanitize_get(self, value: str) -> str:
        return value


class CpuMaxFile(TypedFile[tuple[int | None, int]]):
    """`<quota or max> <period>` as (quota or None, period), in microseconds."""

    @override
    def sanitize_get(self, value: str) -> tuple[int | None, int]:
        quota, period = value.split()
        return (None if quota == "max" else int(quota), int(period))

    @override
    def sanitize_set(self, value: tuple[int | None, int]) -> str:
        quota, period = value
        return f"{'max' if quota is None or quota < 0 else quota} {period}"


class PressureFile(TypedFile[Pressure]):
    """Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`."""

    @override
    def sanitize_get(self, value: str) -> Pressure:
        return parse_pressure(value)


def parse_pressure(text: str) -> Pressure:
    """Of a cgroup's file, or of the machine's in /proc/pressure. Source: the kernel's accounting/psi."""
    found: dict[str, Stall] = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=") for pair in pairs)
        found[kind] = Stall(
            average_10s=float(values["avg10"]),
            average_60s=float(values["avg60"]),
            average_300s=float(values["avg300"]),
            total_us=int(values["total"]),
        )
    return Pressure(some=found.get("some"), full=found.get("full"))


class DeviceTableFile(TypedFile[Mapping[str, Mapping[str, int]]]):
    """Figures by device number: lines `8:0 rbytes=4096 wbytes=0` (v2), or `8:0 Read 4096` with a sum at the end (v1)."""

    @override
    def sanitize_get(self, value: str) -> Mapping[str, Mapping[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for line in value.splitlines():
            device, *rest = line.split()
            if ":" not in device:
                continue  # v1: the sum
            pairs = (
                [tuple(rest)] if len(rest) == 2 and "=" not in line else [tuple(pair.split("=", 1)) for pair in rest]
            )
            found.setdefault(device, {}).update((pair[0], int(pair[1])) for pair in pairs if len(pair) == 2)
        return {device: figures for device, figures in found.items() if figures}


class PidsController(Controller):
    """pids.max, pids.current; the same files on v1 and v2."""

    max = MaxFile("pids.max")
    current = CountFile("pids.current", readonly=True)


class HugetlbController(Controller):
    """hugetlb.<size>.*: files per page size, so by method and not by attribute."""

    def sizes(self) -> tuple[str, ...]:
        """Page sizes of this kernel as in the file names."""
        suffixes = (".limit_in_bytes", ".max")
        names = (name.split(".") for name in names_in(os.fsdecode(self.node.full_path)) if name.endswith(suffixes))
        return tuple(sorted({parts[1] for parts in names if parts[0] == "hugetlb" and "rsvd" not in parts}))

    def read(self, size: str, what: str) -> int:
        """`what`: the last part of the file's name."""
        return int(self.get_property(f"hugetlb.{size}.{what}".encode()))

    def set_limit(self, size: str, limit_bytes: int) -> None:
        """v1: one file."""
        self.set_property(f"hugetlb.{size}.limit_in_bytes".encode(), limit_bytes)

    def set_max(self, size: str, limit_bytes: int) -> None:
        """v2: use and reservation, which older kernels lack."""
        self.set_property(f"hugetlb.{size}.max".encode(), limit_bytes)
        reservation = f"hugetlb.{size}.rsvd.max".encode()
        if Path(os.fsdecode(self.filepath(reservation))).exists():
            self.set_property(reservation, limit_bytes)


class FreezerController(Controller):
    """freezer.state (v1): FROZEN, THAWED, or FREEZING on the way."""

    state = WordFile("freezer.state")


class CpuController(Controller, cgroupspy.CpuController):
    """cpu.* (v1)."""


class CpuAcctController(Controller, cgroupspy.CpuAcctController):
    """cpuacct.* (v1), with the parts of usage, in nanoseconds."""

    usage_user = CountFile("cpuacct.usage_user", readonly=True)
    usage_sys = CountFile("cpuacct.usage_sys", readonly=True)


class MemoryController(Controller, cgroupspy.MemoryController):
    """memory.* (v1), with the kernel's own memory and the counter of OOM kills."""

    kmem_usage_in_bytes = CountFile("memory.kmem.usage_in_bytes", readonly=True)
    oom_events = DictFile("memory.oom_control", readonly=True)


class BlkIOController(Controller, cgroupspy.BlkIOController):
    """blkio.throttle.*_recursive (v1): a cgroup with all below it."""

    io_service_bytes = DeviceTableFile("blkio.throttle.io_service_bytes_recursive", readonly=True)
    io_serviced = DeviceTableFile("blkio.throttle.io_serviced_recursive", readonly=True)


class CoreV2(Controller):
    """Files that every v2 cgroup has."""

    controllers = ListFile("cgroup.controllers")
    subtree_control = WordFile("cgroup.subtree_control")
    kill = FlagFile("cgroup.kill", writeonly=True)


class CpuV2(Controller):
    """cpu.*"""

    weight = CountFile("cpu.weight")
    max = CpuMaxFile("cpu.max")
    stat = DictFile("cpu.stat", readonly=True)
    pressure = PressureFile("cpu.pressure", readonly=True)


class MemoryV2(Controller):
    """memory.*"""

    max = MaxFile("memory.max")
    low = MaxFile("memory.low")
    current = CountFile("memory.current", readonly=True)
    peak = CountFile("memory.peak", readonly=True)
    swap_max = MaxFile("memory.swap.max")
    swap_current = CountFile("memory.swap.current", readonly=True)
    stat = DictFile("memory.stat", readonly=True)
    events = DictFile("memory.events", readonly=True)
    pressure = PressureFile("memory.pressure", readonly=True)


class IOV2(Controller):
    """io.*"""

    stat = DeviceTableFile("io.stat", readonly=True)
    pressure = PressureFile("io.pressure", readonly=True)


class CpusetV2(Controller):
    """cpuset.*"""

    cpus = WordFile("cpuset.cpus")
    mems = WordFile("cpuset.mems")
