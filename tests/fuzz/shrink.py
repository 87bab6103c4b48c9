"""Make an input smaller as long as it stays wrong in the same way."""

import time
from collections.abc import Callable


def smallest(data: bytes, same: Callable[[bytes], bool], seconds: float = 10.0) -> bytes:
    """Cut out pieces, halves first and single bytes last, until nothing more can go or the time is over."""
    end = time.monotonic() + seconds
    size = max(len(data) // 2, 1)
    while size and time.monotonic() < end:
        at, shorter = 0, False
        while at < len(data) and time.monotonic() < end:
            candidate = data[:at] + data[at + size :]
            if len(candidate) < len(data) and same(candidate):
                data, shorter = candidate, True
            else:
                at += size
        size = size if shorter and size == 1 else size // 2
    return data
