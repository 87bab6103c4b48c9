"""What kind of machine this is: identity, kernel, CPUs, memory, huge pages. Read once; a changed machine needs a restart.

Every reader takes the root of the file tree, so that a test can show it another machine.
Source: docs/facts/node-resources.md 4.1, 8.2.
"""

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path("/")
_MACHINE_ID = ("etc/machine-id", "var/lib/dbus/machine-id")
_SYSTEM_UUID = (
    "sys/class/dmi/id/product_uuid",
    "proc/device-tree/system-id",
    "proc/device-tree/vm,uuid",
    "etc/machine-id",
)
# Go's names, which the API uses, for what uname says
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "ppc64le": "ppc64le"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The host. `hugepages`: page size in bytes -> number of pages. Unknown texts are empty."""

    machine_id: str
    system_uuid: str
    boot_id: str
    kernel_version: str
    os_image: str
    architecture: str
    operating_system: str
    cpus: int
    memory_bytes: int
    swap_bytes: int
    hugepages: Mapping[int, int]
    max_pids: int


def read_machine(root: Path = ROOT) -> Machine:
    """Return the facts of this host. What cannot be read is empty or 0, never an error."""
    return Machine(
        machine_id=_first(root, *_MACHINE_ID),
        system_uuid=_first(root, *_SYSTEM_UUID),
        boot_id=_first(root, "proc/sys/kernel/random/boot_id"),
        kernel_version=os.uname().release,
        os_image=_os_image(root),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        operating_system="linux",
        cpus=psutil.cpu_count(logical=True) or 0,
        memory_bytes=psutil.virtual_memory().total,
        swap_bytes=psutil.swap_memory().total,
        hugepages=_hugepages(root),
        max_pids=_max_pids(root),
    )


def node_name(override: str = "") -> str:
    """Return the node's name: what the operator says, else the host name; trimmed and in lower case.

    Raises ValueError when that leaves nothing.
    """
    name = (override or socket.gethostname()).strip().lower()
    if not name:
        raise ValueError("empty node name: set --node-name or give the machine a host name")
    return name


def cgroup_version(root: Path = ROOT) -> int:
    """Return 2 when the unified hierarchy is mounted on /sys/fs/cgroup, else 1."""
    for line in _text(root / "proc/self/mounts").splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[1] == "/sys/fs/cgroup" and fields[2] == "cgroup2":
            return 2
    return 1


def kernel_version(machine: Machine) -> tuple[int, int]:
    """(6, 1) of "6.1.0-13-amd64"; (0, 0) for what cannot be read."""
    parts = machine.kernel_version.split(".")
    try:
        return (int(parts[0]), int(parts[1].split("-")[0]))
    except (IndexError, ValueError):
        return (0, 0)


def apparmor_error(root: Path = ROOT) -> str:
    """Why AppArmor cannot be enforced here; empty: it can."""
    enabled = _text(root / "sys/module/apparmor/parameters/enabled") == "Y"
    return "" if enabled else "AppArmor is not enabled on the host"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\r\n")
    except OSError:
        return ""


def _first(root: Path, *paths: str) -> str:
    return next((text for path in paths if (text := _text(root / path))), "")


def _os_image(root: Path) -> str:
    for line in _first(root, "etc/os-release", "usr/lib/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip("\"'")
    return "Linux"


def _hugepages(root: Path) -> dict[int, int]:
    found = {}
    for folder in sorted((root / "sys/kernel/mm/hugepages").glob("hugepages-*kB")):
        size_kib = folder.name.removeprefix("hugepages-").removesuffix("kB")
        count = _text(folder / "nr_hugepages")
        if size_kib.isdigit() and count.isdigit():
            found[int(size_kib) * 1024] = int(count)
    return found


def _max_pids(root: Path) -> int:
    limits = [_text(root / "proc/sys/kernel" / name) for name in ("pid_max", "threads-max")]
    return min((int(limit) for limit in limits if limit.isdigit()), default=0)
