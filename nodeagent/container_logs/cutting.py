"""What a log has beyond all its bounds is cut off, and the log says so where it is missing.

A rotation comes when somebody looks. What a container writes faster than that makes a file far larger than the limit; such a file
keeps its beginning. That takes no space, so it works on a full disk, and no time, however large the file is.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from nodeagent.container_logs.folder import LogFolder
from nodeagent.container_logs.rotation import PACKED

_NOTICE_BYTES = 256  # so much longer is a file that was cut before, which is not cut again: its notice tells the truth
_LINE_SEARCH_BYTES = 64 * 1024  # no line of a runtime's log is longer


def cuts(sizes: Mapping[str, int], live: str, *, max_bytes: int, max_files: int) -> list[str]:
    """Which rotated files to cut to `max_bytes`, the oldest first, so that all files together have no more than they may.

    `sizes`: by name, of this log's files, the live one among them. Pure. As long as all fit, a burst in one of them stays whole.
    """
    over = sum(sizes.values()) - max_bytes * max_files
    found = []
    for name in sorted(sizes):
        if over <= 0:
            break
        if name != live and not name.endswith(PACKED) and sizes[name] > max_bytes:
            found.append(name)
            over -= sizes[name] - max_bytes
    return found


def cut(folder: LogFolder, name: str, max_bytes: int) -> int:
    """Keep the first `max_bytes` or a little less, whole lines where there are any, and a line that tells; the bytes cut.

    The file keeps its time, by which a reader that lags knows it again. Raises OSError.
    """
    fd = folder.open(name, os.O_RDWR)
    try:
        found = os.fstat(fd)
        if found.st_size <= max_bytes + _NOTICE_BYTES:
            return 0
        start = max(0, max_bytes - _LINE_SEARCH_BYTES)
        tail = os.pread(fd, max_bytes - start, start)
        keep = start + tail.rfind(b"\n") + 1 if b"\n" in tail else max_bytes
        gone = found.st_size - keep
        os.truncate(fd, keep)
        os.pwrite(fd, _notice(tail[: keep - start], gone), keep)
        os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        return gone
    finally:
        os.close(fd)


def _notice(kept: bytes, gone_bytes: int) -> bytes:
    """In the CRI's log format; a line that the cut left unfinished is ended first."""
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
    lead = b"" if kept.endswith(b"\n") or not kept else b"\n"
    last = kept.rstrip(b"\n").rpartition(b"\n")[2].split(b" ", 3)
    if len(last) > 2 and last[2] == b"P":
        lead += b"%s %s F \n" % (time, last[1])
    text = b"[nodeagent: %d bytes of this log are cut here: it was written faster than it can be kept]" % gone_bytes
    return lead + b"%s stderr F %s\n" % (time, text)
