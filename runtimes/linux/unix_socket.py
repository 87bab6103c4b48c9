"""The path of a unix socket: root's alone from its first moment, put in the place of a dead server's, never of a live one's."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

SCHEME = "unix://"
_MODE = 0o600
MAX_PATH_BYTES = 107  # sun_path, without its closing zero
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


def socket_path(address: str) -> Path:
    """Of `unix:///path`. Raises ValueError for another."""
    path = Path(address.removeprefix(SCHEME))
    if not address.startswith(SCHEME) or not path.is_absolute() or path.name == "":
        raise ValueError(f"{address!r} is not a unix socket such as unix:///run/nodeagent/cri.sock")
    return path


class AddressTaken(OSError):
    """A server that lives listens there, or there is something that is no socket. The text says which."""


class SocketPath:
    """Where a server listens. The server binds `draft`, in a folder that only root may enter; `publish` moves it here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder: Path | None = None
        # of the published socket (O_PATH): while it is held nobody else's socket gets its inode number
        self._own: int | None = None

    def draft(self) -> Path:
        """A path to bind. Raises AddressTaken, OSError (ENAMETOOLONG for a path that no socket can have)."""
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._check_free()
        self._folder = Path(tempfile.mkdtemp(prefix=".", dir=self.path.parent))
        draft = self._folder / "s"
        if max(len(os.fsencode(draft)), len(os.fsencode(self.path))) > MAX_PATH_BYTES:
            self._drop_draft()
            raise OSError(errno.ENAMETOOLONG, "the path is too long for a unix socket", str(self.path))
        return draft

    def publish(self) -> None:
        """Make what was bound reachable, in place of what a dead server left. Raises AddressTaken, OSError."""
        assert self._folder is not None
        draft = self._folder / "s"
        try:
            draft.chmod(_MODE)
            with _locked(self.path.parent):
                self._check_free()
                own = os.open(draft, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    draft.rename(self.path)
                except OSError:
                    os.close(own)
                    raise
                self._own = own
        finally:
            self._drop_draft()

    def withdraw(self) -> None:
        """Remove the socket, unless it is another's by now. Repeatable."""
        self._drop_draft()
        own, self._own = self._own, None
        if own is None:
            return
        try:
            with contextlib.suppress(FileNotFoundError), _locked(self.path.parent):
                if os.path.samestat(self.path.lstat(), os.fstat(own)):
                    self.path.unlink()
        finally:
            os.close(own)

    def _drop_draft(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            (folder / "s").unlink(missing_ok=True)
            folder.rmdir()

    def _check_free(self) -> None:
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise AddressTaken(f"{self.path} exists and is not a socket: remove it, or listen elsewhere")
        server = _server_of(self.path)
        if server is not None:
            raise AddressTaken(f"{self.path} is served by {server} already: stop that, or listen elsewhere")


def _server_of(path: Path) -> str | None:
    """The process that listens there; None: nobody does any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except OSError as error:
            if error.errno == errno.EAGAIN:  # so many wait for it that there is no room for one more
                return "a process"
            raise
        pid, _uid, _gid = _PEER.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return f"process {pid}" if pid else "a process"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time looks and renames there; held for less than a millisecond."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
