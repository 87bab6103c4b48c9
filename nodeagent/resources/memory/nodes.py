"""The NUMA nodes' memory and huge pages, read from /sys once, as the agent starts, less what is reserved.

Source: Documentation/ABI/stable/sysfs-devices-node of the kernel; docs/facts/node-resources.md 11.3.
"""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from nodeagent.resources.memory.accounts import Room
from nodeagent.resources.placement import read_nodes
from runtimes.kube import quantity

_NODES = "sys/devices/system/node"
MEMORY = "memory"
Reserved = Mapping[int, Mapping[str, int]]  # bytes by node and resource


class BadReservation(ValueError):
    """What is reserved by node is not what is reserved in all, or more than a node has. The text says which."""


def read_totals(root: Path = Path("/")) -> dict[int, dict[str, int]]:
    """Bytes of memory, and of huge pages of each size, by node. Raises OSError, ValueError."""
    found: dict[int, dict[str, int]] = {}
    for node in sorted(read_nodes(root)):
        folder = root / _NODES / f"node{node}"
        words = next(line.split() for line in (folder / "meminfo").read_text().splitlines() if "MemTotal:" in line)
        found[node] = {MEMORY: int(words[3]) * 1024}
        for pages in sorted((folder / "hugepages").glob("hugepages-*kB")):
            size_bytes = int(pages.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
            count = int((pages / "nr_hugepages").read_text())
            found[node][f"hugepages-{quantity.from_bytes(size_bytes)}"] = size_bytes * count
    return found


def rooms(totals: Mapping[int, Mapping[str, int]], reserved: Reserved) -> dict[int, dict[str, Room]]:
    """What containers can have: less what is reserved, and of memory less what huge pages take. Raises BadReservation."""
    if unknown := sorted(set(reserved) - set(totals)):
        raise BadReservation(
            f"the reserved memory configuration references a NUMA node {unknown[0]} that does not exist"
        )
    found: dict[int, dict[str, Room]] = {}
    for node, amounts in totals.items():
        pages = sum(total for name, total in amounts.items() if name != MEMORY)
        found[node] = {}
        for name, total in amounts.items():
            kept = reserved.get(node, {}).get(name, 0)
            left = total - kept - (pages if name == MEMORY else 0)
            if left < 0:
                raise BadReservation(
                    f"more {name} is reserved of NUMA node {node} than it has: {kept} of {total} bytes"
                )
            found[node][name] = Room(total=total, system_reserved=kept, allocatable=left)
    return found


def check_sums(reserved: Reserved, wanted: Mapping[str, Fraction]) -> None:
    """Raise BadReservation unless the nodes' shares are together what Node Allocatable keeps back. `wanted`: bytes."""
    sums: dict[str, int] = dict.fromkeys(wanted, 0)
    for shares in reserved.values():
        for name, size in shares.items():
            sums[name] = sums.get(name, 0) + size
    for name, size in sums.items():
        if size != wanted.get(name, 0):
            raise BadReservation(
                f'the total amount "{size}" of type "{name}" is not equal to the value "{int(wanted.get(name, 0))}" '
                "determined by Node Allocatable feature"
            )
