"""glibc's allocator, told what a long-lived process of Python wants: memory that was freed goes back to the machine.

Left alone it keeps an arena a thread, and lets the size from which memory is mapped by itself grow with the largest block
that was freed: the 256 KiB that uvloop takes for each TLS connection then lie between small blocks, and a burst's memory
never leaves.
Source: mallopt(3).
"""

import ctypes

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MAPPED_FROM_BYTES = 128 * 1024  # glibc's own beginning; told once, it does not move any more

_libc = ctypes.CDLL(None)


def return_what_is_freed() -> None:
    """One arena, and large blocks mapped by themselves. Call before there are threads; does nothing where libc is not glibc."""
    if (mallopt := getattr(_libc, "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, 1)  # who allocates holds the interpreter's lock, so one is no bottleneck
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
