"""A sandbox's namespaces, pinned by bind mounts below the run directory, so that a pod needs no process to hold them."""

import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.linux import syscalls
from runtimes.oci.idmap import UserMapping, pin_owned_namespaces

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ_FLAGS = struct.Struct("16sh14x")

_FLAGS = {"net": syscalls.CLONE_NEWNET, "ipc": syscalls.CLONE_NEWIPC, "uts": syscalls.CLONE_NEWUTS}

_SHM_BYTES = 64 * 1024 * 1024
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


@dataclass(frozen=True, slots=True)
class SandboxNamespaces:
    """Where one sandbox's namespaces are, by its directory and its options. A shared one has no path."""

    directory: Path
    options: cri.NamespaceOption

    @property
    def net(self) -> Path | None:
        return None if self.options.network == cri.NODE else self.directory / "net"

    @property
    def ipc(self) -> Path | None:
        return None if self.options.ipc == cri.NODE else self.directory / "ipc"

    @property
    def uts(self) -> Path | None:
        """A pod on the host's network has the host's name."""
        return None if self.options.network == cri.NODE else self.directory / "uts"

    @property
    def users(self) -> UserMapping | None:
        """The pod's own users; None for the host's. Raises InvalidArgument."""
        return UserMapping.of(self.options)

    @property
    def user(self) -> Path | None:
        return None if self.users is None else self.directory / "user"

    @property
    def shm(self) -> Path:
        """What the containers see as /dev/shm."""
        return Path("/dev/shm") if self.options.ipc == cri.NODE else self.directory / "shm"

    def make(self, hostname: str, sysctls: Mapping[str, str]) -> None:
        """Create, set up and pin all of them. Blocks for about a millisecond. On an error the caller calls `release`."""
        _check_sysctls(sysctls, self.options)
        if self.users is not None:
            self._make_owned(self.users, hostname, sysctls)
        else:
            kinds = {_FLAGS[name]: path for name, path in self._pinned().items()}
            if kinds:
                syscalls.pin_namespaces(kinds, lambda: _set_up(self, hostname, sysctls))
        if self.ipc is not None:
            self.shm.mkdir(mode=0o1777)
            flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
            syscalls.mount("shm", self.shm, "tmpfs", flags, f"mode=1777,size={_SHM_BYTES}")

    def _pinned(self) -> dict[str, Path]:
        """Name of the kind -> path, of those that are the pod's own."""
        paths = {"net": self.net, "ipc": self.ipc, "uts": self.uts, "user": self.user}
        return {name: path for name, path in paths.items() if path is not None}

    def _make_owned(self, users: UserMapping, hostname: str, sysctls: Mapping[str, str]) -> None:
        """The same inside a user namespace of the pod's own, to which the others belong."""
        pin_owned_namespaces(users, self._pinned())

        def enter() -> None:
            for name, path in self._pinned().items():
                if name != "user":  # from the host's users every namespace of theirs can be entered by itself
                    with open(path, "rb") as namespace:
                        syscalls.setns(namespace.fileno())
            _set_up(self, hostname, sysctls)

        syscalls.in_thread(enter)

    def intact(self) -> bool:
        """Still there: a reboot, or somebody's clean-up, takes them away."""
        return all(map(is_pinned, self._pinned().values()))

    def release(self) -> None:
        """Undo `make`. Nothing there, or half of it, is fine. A namespace ends when its last process does."""
        for name in ("net", "ipc", "uts", "user"):
            syscalls.unpin_namespace(self.directory / name)
        with contextlib.suppress(OSError):
            syscalls.umount(self.directory / "shm", syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
        with contextlib.suppress(OSError):
            (self.directory / "shm").rmdir()

    def inside_net(self, function: Callable[[], object]) -> None:
        """Run `function` in the pod's network namespace. Blocks."""
        if self.net is None:
            function()
        else:
            syscalls.in_namespace(self.net, function)


def is_pinned(path: Path) -> bool:
    """A namespace is bound to this file: it lies on another file system than the directory it is in."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except OSError:
        return False


def _set_up(namespaces: SandboxNamespaces, hostname: str, sysctls: Mapping[str, str]) -> None:
    if namespaces.uts is not None and hostname:
        socket.sethostname(hostname)
    if namespaces.net is not None:
        _loopback_up()
    for name, value in sysctls.items():
        try:
            Path("/proc/sys", *name.split(".")).write_text(value)
        except OSError as error:
            raise errors.InvalidArgument(f"cannot set sysctl {name} to {value!r}: {error.strerror}") from error


def _loopback_up() -> None:
    """One ioctl in place of a netlink library: it is on every pod's path, and the kernel adds the addresses by itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ_FLAGS.pack(b"lo", _IFF_UP))


def _check_sysctls(sysctls: Mapping[str, str], options: cri.NamespaceOption) -> None:
    """Only those that belong to a namespace of the pod's own: any other would change the host."""
    for name in sysctls:
        if os.sep in name or ".." in name:
            raise errors.InvalidArgument(f"sysctl {name!r} is not a dotted name")
        if name.startswith("net."):
            if options.network == cri.NODE:
                raise errors.InvalidArgument(
                    f"sysctl {name} is not allowed: the pod shares the host's network namespace"
                )
        elif name.startswith(_IPC_SYSCTLS):
            if options.ipc == cri.NODE:
                raise errors.InvalidArgument(f"sysctl {name} is not allowed: the pod shares the host's IPC namespace")
        else:
            raise errors.InvalidArgument(f"sysctl {name} is not allowed: it is not namespaced")
