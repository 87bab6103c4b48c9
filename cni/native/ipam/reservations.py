"""Reserved addresses on disk, in host-local's format: a file for each, named by it, that holds whose it is.

    <dataDir>/<network>/10.88.0.7            "<container id>\r\n<ifname>"
    <dataDir>/<network>/last_reserved_ip.0   where the first set's next search begins
    <dataDir>/<network>/lock                 flock(2), for every operation

A file appears with its contents or not at all, so that who is killed leaves nothing that no DEL finds. host-local, killed between
the two, leaves an empty file: nobody's, and collected. Nothing is synced: after a power cut the namespaces are gone as well.
"""

import contextlib
import fcntl
import ipaddress
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cni.native.ipam.ranges import Address

_LOCK = "lock"
_LAST = "last_reserved_ip."
_NEW = ".new"
_LOCK_SECONDS = 20.0
_LOCK_PAUSE_SECONDS = 0.002


class LockTimeout(TimeoutError):
    """Somebody has held the lock for too long."""


class Owner(NamedTuple):
    """Whose an address is."""

    container_id: str
    ifname: str

    @property
    def content(self) -> str:
        return f"{self.container_id}\r\n{self.ifname}"

    def owns(self, content: str) -> bool:
        """Old versions of host-local wrote the container's id alone."""
        return content.strip() in (self.content, self.container_id)


class Reservations:
    """Those of one network. Every method but `lock` is for who holds the lock; all block for some file operations."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._turn = threading.Lock()
        # what was read once: name -> (inode, contents). An inode comes again, so nothing is decided by it without `owner_of`
        self._known: dict[str, tuple[int, str]] = {}

    @contextlib.contextmanager
    def lock(self, *, create: bool = True) -> Iterator[bool]:
        """Alone, also among programs. False: there is no folder, and none is to be made. Raises LockTimeout, OSError."""
        if not self._turn.acquire(timeout=_LOCK_SECONDS):
            raise LockTimeout(f"{self.folder} is locked by this process for more than {_LOCK_SECONDS:g}s")
        try:
            fd = self._open_lock(create)
            if fd < 0:
                yield False
                return
            try:
                self._wait(fd)
                yield True
            finally:
                os.close(fd)
        finally:
            self._turn.release()

    def _open_lock(self, create: bool) -> int:
        path = self._path(_LOCK)
        try:
            return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            if not create:
                return -1
        Path(self.folder).mkdir(mode=0o755, parents=True, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _wait(self, fd: int) -> None:
        # flock(2) has no deadline, and a program that hangs with the lock would hold up every pod
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    text = f"{self.folder}/{_LOCK} is held by another program for more than {_LOCK_SECONDS:g}s"
                    raise LockTimeout(text) from None
            time.sleep(_LOCK_PAUSE_SECONDS)

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def all(self) -> dict[str, str]:
        """Every file with an owner, by its name: an address, or what somebody who was killed had not yet named by one."""
        found: dict[str, tuple[int, str]] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                name = entry.name
                if name == _LOCK or name.startswith(_LAST):
                    continue
                known = self._known.get(name)
                if known is None or known[0] != entry.inode():
                    known = (entry.inode(), self.owner_of(name))
                found[name] = known
        self._known = found
        return {name: content for name, (_, content) in found.items() if content}

    def abandoned(self) -> list[str]:
        """Files without an owner, after `all`: whoever made them was killed, for the lock is ours."""
        return [name for name, (_, content) in self._known.items() if not content]

    def owner_of(self, name: str) -> str:
        """What the file says now; empty for none."""
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        try:
            return os.read(fd, 4096).decode(errors="replace")
        except OSError:  # a folder
            return ""
        finally:
            os.close(fd)

    def reserve(self, address: Address, owner: Owner) -> None:
        """For an address that `all` does not have."""
        name = str(address)
        new = self._path(_NEW)
        content = owner.content.encode()
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, content)
            inode = os.fstat(fd).st_ino
        finally:
            os.close(fd)
        os.replace(new, self._path(name))  # noqa: PTH105 - a path's text is made once here
        self._known[name] = (inode, owner.content)

    def release(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(self._path(name))  # noqa: PTH108
        self._known.pop(name, None)

    def last(self, number: int) -> Address | None:
        """The address of a set that was given last; None for none, or a file that was cut short."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.owner_of(f"{_LAST}{number}").strip())
        return None

    def set_last(self, number: int, address: Address) -> None:
        """In place: ext4 flushes a file that was cut to nothing and written anew when it is closed, which takes milliseconds."""
        text = str(address).encode()
        fd = os.open(self._path(f"{_LAST}{number}"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, text)
            if os.fstat(fd).st_size > len(text):
                os.ftruncate(fd, len(text))
        finally:
            os.close(fd)
