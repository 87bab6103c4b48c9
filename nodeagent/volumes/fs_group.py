"""Hand what a claim leads to over to a pod's fsGroup, and tell where that takes long (docs/facts/storage.md 7)."""

import asyncio
import functools
from pathlib import Path

from nodeagent.api.events import Events
from nodeagent.volumes import ownership
from nodeagent.volumes.contract import VolumeError, VolumeRequest
from runtimes.linux.tasks import run_blocking

_REASON = "VolumePermissionChangeInProgress"


async def hand_over(request: VolumeRequest, root: Path, events: Events) -> None:
    """Give all below `root`, and then `root`, to the pod's group; a volume that is read only is left as it is.

    With fsGroupChangePolicy OnRootMismatch, one whose root shows that it was done is not walked again. Raises VolumeError.
    """
    if request.fs_group is None or request.source.read_only:
        return
    tell = functools.partial(_tell, request, events)
    loop, told = asyncio.get_running_loop(), [0]

    def progress(done: int) -> None:  # in the thread that walks
        told[0] += 1
        loop.call_soon_threadsafe(tell, done, told[0] == 1)

    try:
        await run_blocking(
            functools.partial(
                ownership.set_group,
                root,
                request.fs_group,
                only_on_root_mismatch=request.on_root_mismatch,
                progress=progress,
            )
        )
    except OSError as error:
        raise VolumeError(f"fsGroup {request.fs_group}: {error.filename or root}: {error.strerror}") from error


def _tell(request: VolumeRequest, events: Events, done: int, first: bool) -> None:
    volume = f"{request.pod.uid}/{request.directory_name}"
    text = f"Setting volume ownership for {volume}, processed {done} files."
    if first:
        text = (
            f"Setting volume ownership for {volume} is taking longer than expected, "
            "consider using fsGroupChangePolicy OnRootMismatch"
        )
    events.event(request.pod, "Warning", _REASON, text)
