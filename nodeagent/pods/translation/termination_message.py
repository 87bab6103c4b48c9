"""The file in which a container may leave its last words, and reading them. Source: docs/facts/pod-lifecycle.md 14.

Everything here blocks for as long as it takes to read a few kilobytes.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from nodeagent.container_logs.folder import LogFolder
from nodeagent.pods.translation.container_config import TERMINATION_PATH_ANNOTATION, TERMINATION_POLICY_ANNOTATION
from proto import cri_pb2 as cri

_FILE_MODE = 0o666
_MAX_FILE_BYTES = 4096
_MAX_LOG_BYTES = 2048
_MAX_LOG_LINES = 80
_LOG_BLOCK_BYTES = 64 * 1024
_FALLBACK_POLICY = "FallbackToLogsOnError"
_CANNOT_RUN_REASON = "ContainerCannotRun"


def create_termination_file(container_dir: Path) -> Path:
    """A fresh empty file for one start of a container, writable by whatever user that runs as. Raises OSError."""
    path = container_dir / secrets.token_hex(4)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, _FILE_MODE)
    except FileNotFoundError:
        container_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(path, flags, _FILE_MODE)
    try:
        os.fchmod(descriptor, _FILE_MODE)  # whatever the umask
    finally:
        os.close(descriptor)
    return path


def termination_message(status: cri.ContainerStatus) -> str:
    """The message of an exited container: the runtime's, then what the container left in its file or, with that policy
    and a failure, the end of its log.
    """
    parts = [status.message, _own_words(status)]
    return ": ".join(part for part in parts if part)


def _own_words(status: cri.ContainerStatus) -> str:
    path = status.annotations.get(TERMINATION_PATH_ANNOTATION, "")
    text = ""
    if path:
        host_path = next((mount.host_path for mount in status.mounts if mount.container_path == path), "")
        if host_path:
            try:
                text = _tail(Path(host_path), _MAX_FILE_BYTES).decode(errors="replace")
            except FileNotFoundError:
                text = ""
            except OSError as error:
                return f"Error on reading termination log {host_path}: {error.strerror or error}"
    wants_log = (
        status.annotations.get(TERMINATION_POLICY_ANNOTATION, "") == _FALLBACK_POLICY
        and status.exit_code != 0
        and status.reason != _CANNOT_RUN_REASON
    )
    if text or not wants_log or not status.log_path:
        return text
    try:
        return log_tail(Path(status.log_path))
    except OSError as error:
        return f"Error on reading termination message from logs: {error.strerror or error}"


def log_tail(path: Path, max_lines: int = _MAX_LOG_LINES, max_bytes: int = _MAX_LOG_BYTES) -> str:
    """The last output in a CRI log: at most `max_lines` of its lines, then at most `max_bytes`. Raises OSError."""
    # a pod may have the log folders mounted: below that of all pods no link is followed (logs/<pod>/<container>/<n>.log)
    with LogFolder(path.parent, path.parents[2]) as folder, open(folder.open(path.name), "rb") as file:
        block = _end_of(file, _LOG_BLOCK_BYTES)
    lines = block.split(b"\n")[1 if len(block) == _LOG_BLOCK_BYTES else 0 :]  # the first of a cut block is cut itself
    entries = [_content(line) for line in lines if line.count(b" ") >= 3][-max_lines:]
    return b"".join(entries)[-max_bytes:].decode(errors="replace")


def _content(line: bytes) -> bytes:
    """`<time> <stream> <P|F>[:tags] <content>` -> content, with its newline unless it is partial."""
    _, _, tags, content = line.split(b" ", 3)
    return content if tags.split(b":", 1)[0] == b"P" else content + b"\n"


def _tail(path: Path, max_bytes: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return b""
        return _end_of(file, max_bytes)


def _end_of(file: BinaryIO, max_bytes: int) -> bytes:
    file.seek(max(0, os.fstat(file.fileno()).st_size - max_bytes))
    return file.read(max_bytes)
