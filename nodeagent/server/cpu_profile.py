"""Where the process spends its CPU time: the stacks of its threads, looked at a hundred times a second. Blocks.

The answer has one line a stack, outermost call first, with microseconds of CPU: the "folded" form that tools for flame graphs
read. What a thread has used since the look before counts for where it is found, so many looks are right where one is not.
"""

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

PERIOD_SECONDS = 0.01
_SWITCH_SECONDS = 0.0005  # so soon a busy thread lets the looking one in, and is found busy
_ALONE = threading.Lock()  # one that is stopped may still be looking when the next begins
_ELSEWHERE = "(threads that run no Python)"


def cpu_profile(seconds: float, stop: threading.Event) -> str:
    """Looks for so long, or until `stop` is set."""
    with _ALONE:
        switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            found = _looked(time.monotonic() + seconds, stop)
        finally:
            sys.setswitchinterval(switch_seconds)
    return "".join(f"{stack} {used // 1000}\n" for stack, used in found.most_common() if used >= 1000)


def _looked(end: float, stop: threading.Event) -> Counter[str]:
    found: Counter[str] = Counter()
    before: dict[int, int] = {}
    own = threading.get_native_id()
    began = time.process_time_ns(), time.thread_time_ns()
    while True:
        frames = sys._current_frames()
        for thread in threading.enumerate():
            if thread.native_id in (None, own) or thread.ident not in frames:
                continue
            assert thread.native_id is not None
            used = _used(thread.native_id)
            since = used - before.get(thread.native_id, used)
            before[thread.native_id] = used
            if since > 0:
                found[_folded(thread.name, frames[thread.ident])] += since
        del frames  # what is on the stacks is not to live longer for being looked at
        if time.monotonic() >= end or stop.wait(PERIOD_SECONDS):
            break
    everything = time.process_time_ns() - began[0] - (time.thread_time_ns() - began[1])
    found[_ELSEWHERE] += max(0, everything - found.total())
    return found


def _used(native_id: int) -> int:
    """Nanoseconds of CPU that a thread of this process has had; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_bytes().split()[0])
    except (OSError, IndexError):
        return 0


def _folded(thread: str, frame: FrameType | None) -> str:
    calls = []
    while frame is not None:
        calls.append(f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return ";".join(part.replace(";", ":").replace(" ", "_") for part in (thread, *reversed(calls)))
