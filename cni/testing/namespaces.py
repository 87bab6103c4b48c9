"""Network namespaces as a runtime makes them for pods: pinned to a path, with the loopback up. All functions block."""

from pathlib import Path

from pyroute2 import IPRoute

from runtimes.linux import syscalls


def create(path: Path) -> None:
    """Make a namespace pinned at `path`, a new file. Raises FileExistsError; on an error nothing stays."""
    syscalls.pin_namespaces({syscalls.CLONE_NEWNET: path}, set_loopback_up)


def delete(path: Path) -> None:
    """Unpin the namespace; it dies with its last process. Nothing there is fine."""
    syscalls.unpin_namespace(path)


def set_loopback_up() -> None:
    """Bring `lo` up in the calling thread's network namespace."""
    with IPRoute() as route:
        route.link("set", index=route.link_lookup(ifname="lo")[0], state="up")
