"""The kernel's own NFS server on the loopback, for tests inside User-Mode Linux: this machine's kernel has none, and no client.

What rpc.mountd would do is done here: the kernel asks by its channels who a client is and what a file handle belongs to, and is
told that everybody has the one export. Without the programs of nfs-utils, mount takes options that those would add.
"""

import contextlib
import itertools
import os
import select
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPTIONS = ["vers=4.2", "addr=127.0.0.1", "clientaddr=127.0.0.1", "sec=sys"]
_EXPORT = Path("/srv/nfs-export")
_CONTROL = Path("/proc/fs/nfsd")
_CHANNELS = ("auth.unix.ip", "auth.unix.gid", "nfsd.export", "nfsd.fh")
_FOREVER = 2**31 - 1
_FLAGS = 0x2000 | 0x400  # NFSEXP_FSID: it is the root; NFSEXP_NOSUBTREECHECK
_numbers = itertools.count()


def inside() -> bool:
    """Whether this is User-Mode Linux, where a server can be had."""
    return os.environ.get("UML") == "1"


@contextlib.contextmanager
def exported() -> Iterator[dict[str, Any]]:
    """A directory of its own on the server; the answer is what a PersistentVolume says of it."""
    if not _CONTROL.is_dir() or not (_CONTROL / "threads").exists():
        _start()
    path = f"/{next(_numbers)}"
    (_EXPORT / path[1:]).mkdir(mode=0o777)
    (_EXPORT / path[1:]).chmod(0o777)
    yield {"nfs": {"server": "127.0.0.1", "path": path}, "mountOptions": OPTIONS}


def _start() -> None:
    release = os.uname().release
    modules = Path("/lib/modules")
    modules.mkdir(exist_ok=True)
    if not (modules / release).exists():
        (modules / release).symlink_to(f"/usr/lib/uml/modules/{release}")
    for command in (
        ("modprobe", "nfsd"),
        ("modprobe", "nfsv4"),
        ("ip", "link", "set", "lo", "up"),
        ("mkdir", "-p", str(_EXPORT), "/var/lib/nfs/v4recovery"),
        ("mount", "-t", "tmpfs", "export", str(_EXPORT)),
        ("mount", "-t", "nfsd", "nfsd", str(_CONTROL)),
    ):
        subprocess.run(command, check=True, timeout=30)
    threading.Thread(target=_answer, daemon=True).start()
    for name, text in (
        ("versions", "-3 +4 +4.1 +4.2"),
        ("nfsv4gracetime", "10"),
        ("portlist", "tcp 2049"),
        ("threads", "2"),
    ):
        (_CONTROL / name).write_text(f"{text}\n")
    with contextlib.suppress(OSError):  # it is not over yet: then the first to open a file waits
        (_CONTROL / "v4_end_grace").write_text("Y\n")


def _answer() -> None:
    channels = {os.open(f"/proc/net/rpc/{name}/channel", os.O_RDWR): name for name in _CHANNELS}
    poll = select.poll()
    for channel in channels:
        poll.register(channel, select.POLLIN)
    while True:
        for channel, _ in poll.poll():
            asked = os.read(channel, 65536).decode().split()
            os.write(channel, f"{_answered(channels[channel], asked)}\n".encode())


def _answered(name: str, asked: list[str]) -> str:
    match name:
        case "auth.unix.ip":
            return f"{asked[0]} {asked[1]} {_FOREVER} all"
        case "auth.unix.gid":
            return f"{asked[0]} {_FOREVER} 0 "
        case "nfsd.fh":
            return f"{' '.join(asked)} {_FOREVER} {_EXPORT}"
    if asked[1] != str(_EXPORT):
        return f"{' '.join(asked)} {_FOREVER}"  # none
    return f"{' '.join(asked)} {_FOREVER} {_FLAGS} 65534 65534 0"
