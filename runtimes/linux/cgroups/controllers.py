"""cgroupspy's typed files, and the controllers that it lacks, in its style: pids, hugetlb, freezer, and all of v2.

A controller is bound to one cgroup directory: `CpuController(Directory(path)).shares = 512`.
"""

import os
from pathlib import Path
from typing import Any

from cgroupspy.controllers import Controller
from cgroupspy.interfaces import BaseFileInterface, DictFile, FlagFile, IntegerFile, ListFile, MultiLineIntegerFile
from typing_extensions import override

from runtimes.linux.cgroups.tree import names_in


class Directory:
    """What cgroupspy calls a node: a cgroup directory."""

    def __init__(self, path: str) -> None:
        self.full_path = os.fsencode(path)


# cgroupspy has no type information: its classes are Any to mypy, hence `type: ignore[misc]` on each subclass; its files
# are descriptors that read and write other types than their own, hence `Any` for them.


class MaxFile(BaseFileInterface):  # type: ignore[misc]
    """A number, or `max` for None."""

    @override
    def sanitize_get(self, value: str) -> int | None:
        return None if value == "max" else int(value)

    @override
    def sanitize_set(self, value: int | None) -> str:
        return "max" if value is None or value < 0 else str(value)


class WordFile(BaseFileInterface):  # type: ignore[misc]
    """One word or line of text."""


class CpuMaxFile(BaseFileInterface):  # type: ignore[misc]
    """`<quota or max> <period>` as (quota or None, period), in microseconds."""

    @override
    def sanitize_get(self, value: str) -> tuple[int | None, int]:
        quota, period = value.split()
        return (None if quota == "max" else int(quota), int(period))

    @override
    def sanitize_set(self, value: tuple[int | None, int]) -> str:
        quota, period = value
        return f"{'max' if quota is None or quota < 0 else quota} {period}"


class KeyedMaxFile(DictFile):  # type: ignore[misc]
    """Lines `key value`; a value of `max` is left out."""

    @override
    def sanitize_get(self, value: str) -> dict[str, int]:
        pairs = (line.split() for line in value.splitlines())
        return {key: int(number) for key, number in pairs if number != "max"}


class PidsController(Controller):  # type: ignore[misc]
    """pids.max, pids.current; the same files on v1 and v2."""

    max: Any = MaxFile("pids.max")
    current: Any = IntegerFile("pids.current", readonly=True)


class FreezerController(Controller):  # type: ignore[misc]
    """freezer.state (v1): FROZEN, THAWED, or FREEZING on the way."""

    state: Any = WordFile("freezer.state")


class HugetlbController(Controller):  # type: ignore[misc]
    """hugetlb.<size>.*: files per page size, so by method and not by attribute."""

    def sizes(self) -> tuple[str, ...]:
        """Page sizes of this kernel as in the file names."""
        suffixes = (".limit_in_bytes", ".max")
        names = (name.split(".") for name in names_in(os.fsdecode(self.node.full_path)) if name.endswith(suffixes))
        return tuple(sorted({parts[1] for parts in names if parts[0] == "hugetlb" and "rsvd" not in parts}))

    def set_limit(self, size: str, limit_bytes: int) -> None:
        """v1: one file."""
        self.set_property(f"hugetlb.{size}.limit_in_bytes".encode(), limit_bytes)

    def set_max(self, size: str, limit_bytes: int) -> None:
        """v2: use and reservation, which older kernels lack."""
        self.set_property(f"hugetlb.{size}.max".encode(), limit_bytes)
        reservation = f"hugetlb.{size}.rsvd.max".encode()
        if Path(os.fsdecode(self.filepath(reservation))).exists():
            self.set_property(reservation, limit_bytes)


class CoreV2(Controller):  # type: ignore[misc]
    """Files that every v2 cgroup has."""

    procs: Any = MultiLineIntegerFile("cgroup.procs")
    controllers: Any = ListFile("cgroup.controllers")
    subtree_control: Any = WordFile("cgroup.subtree_control")
    events: Any = DictFile("cgroup.events", readonly=True)
    freeze: Any = FlagFile("cgroup.freeze")
    kill: Any = FlagFile("cgroup.kill", writeonly=True)


class CpuV2(Controller):  # type: ignore[misc]
    weight: Any = IntegerFile("cpu.weight")
    max: Any = CpuMaxFile("cpu.max")
    stat: Any = DictFile("cpu.stat", readonly=True)


class MemoryV2(Controller):  # type: ignore[misc]
    max: Any = MaxFile("memory.max")
    current: Any = IntegerFile("memory.current", readonly=True)
    stat: Any = DictFile("memory.stat", readonly=True)
    events: Any = DictFile("memory.events", readonly=True)


class CpusetV2(Controller):  # type: ignore[misc]
    cpus: Any = WordFile("cpuset.cpus")
    mems: Any = WordFile("cpuset.mems")


def read_or(controller: Any, name: str, default: Any) -> Any:
    """A file's value, `default` where this kernel does not have the file."""
    try:
        value = getattr(controller, name)
    except FileNotFoundError:
        return default
    return default if value is None else value
