"""Sets of CPUs and of NUMA nodes as the kernel writes them: "0-3,8". Source: cpuset(7), "List format"."""

from collections.abc import Iterable

CPUSet = frozenset[int]

_MOST = 8192  # CPUs of the largest kernels: a range beyond is a mistake, and would take memory


def parse(text: str) -> CPUSet:
    """Raises ValueError."""
    found: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{text!r} is not a list of CPUs such as 0-1,4")
        low, high = int(first), int(last or first)
        if low > high or high >= _MOST:
            raise ValueError(f"{text!r} is not a list of CPUs such as 0-1,4")
        found.update(range(low, high + 1))
    return frozenset(found)


def text_of(cpus: Iterable[int]) -> str:
    """The shortest list, ascending; empty for none."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
