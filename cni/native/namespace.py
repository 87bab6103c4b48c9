"""Network namespaces of pods, open as file descriptors, and threads that are inside for a moment."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping

from cni.native.failure import Code, Failure
from runtimes.linux.syscalls import CLONE_NEWNET, setns

_NS_GET_NSTYPE = 0xB703


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """Raises Failure for what is no network namespace, or the plugin's own."""
    fd = _open(path)
    try:
        own = os.stat("/proc/thread-self/ns/net")  # noqa: PTH116 - as the line below
        found = os.fstat(fd)
        if (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino):
            raise Failure(f"{path} is the host's own network namespace", code=Code.INVALID_NAMESPACE)
        yield fd
    finally:
        os.close(fd)


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Failure(f"failed to open netns {path!r}: {error.strerror}", code=Code.INVALID_NAMESPACE) from error
    try:
        if fcntl.ioctl(fd, _NS_GET_NSTYPE) == CLONE_NEWNET:
            return fd
    except OSError:
        pass
    os.close(fd)
    raise Failure(f"{path!r} is no network namespace", code=Code.INVALID_NAMESPACE)


@contextlib.contextmanager
def entered(fd: int) -> Iterator[None]:
    """The calling thread is in the namespace; afterwards where it was."""
    host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(host, CLONE_NEWNET)
    finally:
        os.close(host)


def set_sysctls(values: Mapping[str, str]) -> None:
    """Below /proc/sys/net, as the calling thread sees it. What this kernel does not have (IPv6) is passed over."""
    for name, value in values.items():
        try:
            fd = os.open(f"/proc/sys/net/{name}", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)


def require_sysctl(name: str, value: str) -> None:
    """Set one of the host's that must be so; a read-only /proc/sys is fine when it is."""
    path = f"/proc/sys/net/{name}"
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        if file.read().strip() == value:
            return
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise Failure(f"cannot set {path} to {value}: {error.strerror}", code=Code.IO) from error
