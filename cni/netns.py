"""Network namespaces for attachments: made with the loopback up, pinned to a path, removed without a trace.

All functions block for a few milliseconds; call them off the event loop.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pyroute2 import IPRoute

from runtimes.linux import syscalls


def create(path: Path, sysctls: Mapping[str, str] | None = None) -> None:
    """Make a namespace pinned at `path` (a new file), loopback up, `net.*` sysctls applied. On an error nothing stays."""

    def inside() -> None:
        set_loopback_up()
        apply_sysctls(sysctls or {})

    syscalls.pin_namespaces({syscalls.CLONE_NEWNET: path}, inside)


def delete(path: Path) -> None:
    """Unpin the namespace; it dies with its last process. Nothing there is fine."""
    syscalls.unpin_namespace(path)


def exists(path: Path) -> bool:
    """Whether a namespace is pinned at `path`: not just the file that it was pinned on."""
    return os.path.ismount(path)  # Path.is_mount takes only folders for mount points before Python 3.12


def set_loopback_up() -> None:
    """Bring `lo` up in the calling thread's network namespace."""
    with IPRoute() as route:
        route.link("set", index=1, state="up")


def apply_sysctls(sysctls: Mapping[str, str]) -> None:
    """Write sysctls (dotted or slashed names) as the calling thread sees them. Raises OSError naming the file."""
    for name, value in sysctls.items():
        Path("/proc/sys", name if "/" in name else name.replace(".", "/")).write_text(value)


def default_interface_addresses(path: Path, ifname: str = "eth0") -> tuple[str, ...]:
    """The addresses of one interface inside the namespace, IPv4 first; empty when it is not there."""

    def inside() -> tuple[str, ...]:
        with IPRoute() as route:
            index = route.link_lookup(ifname=ifname)
            if not index:
                return ()
            found = [(item["family"], item.get_attr("IFA_ADDRESS")) for item in route.get_addr(index=index[0])]
        return tuple(address for _, address in sorted(found) if address and not address.startswith("fe80:"))

    return syscalls.in_namespace(path, inside)


def run_inside(path: Path, function: Callable[[], None]) -> None:
    """Run `function` in the namespace pinned at `path`."""
    syscalls.in_namespace(path, function)
