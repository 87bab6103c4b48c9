"""The huge page sizes of this kernel, in the names of cgroup files."""

from pathlib import Path

from runtimes.linux.cgroups.units import page_size_name

_FOLDER = Path("/sys/kernel/mm/hugepages")


def kernel_sizes(folder: Path = _FOLDER) -> tuple[str, ...]:
    """`2MB`, `1GB`: sysfs says kB. Empty for a kernel without huge pages."""
    sizes = (int(entry.name.removeprefix("hugepages-").removesuffix("kB")) for entry in folder.glob("hugepages-*kB"))
    return tuple(sorted(page_size_name(kilobytes * 1024) for kilobytes in sizes))
