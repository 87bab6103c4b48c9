"""What is done with volumes, told to whoever counts it."""

import contextlib
import enum
import time
from collections.abc import Callable, Iterator


class Operation(enum.Enum):
    """`MOUNT`: staged and published; `UNMOUNT`: unpublished and, with its last pod, unstaged."""

    MOUNT = "volume_mount"
    UNMOUNT = "volume_unmount"


# Called with the plug-in's name, what was done, how many seconds it took, and whether it failed; on the event loop.
OperationObserver = Callable[[str, Operation, float, bool], None]


def unobserved(plugin: str, operation: Operation, seconds: float, failed: bool) -> None:
    return


@contextlib.contextmanager
def timed(observe: OperationObserver, plugin: str, operation: Operation) -> Iterator[None]:
    """The time inside is the operation's; what is raised there has made it fail."""
    began, failed = time.monotonic(), True
    try:
        yield
        failed = False
    finally:
        observe(plugin, operation, time.monotonic() - began, failed)
