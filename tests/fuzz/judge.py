"""Run one input and say what was wrong with it."""

import contextlib
import gc
import resource
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tests.fuzz.contract import Budget, Find, Target

REPO = Path(__file__).parents[2]
_OURS = ("nodeagent", "runtimes", "cni", "csi")


class OverTime(BaseException):
    """No `except Exception` of the code under test may swallow it."""


def judge(target: Target, data: bytes, budget: Budget = Budget()) -> Find | None:  # noqa: B008
    """None: the promise was kept. An input that never comes back is for the parent of the process to see."""
    seconds = budget.seconds(data)
    started = time.process_time()
    try:
        with _limited(seconds):
            target.run(data)
    except target.allowed:
        pass
    except OverTime as error:
        return _find(target, data, f"more than {seconds:.1f} s of CPU", error)
    except MemoryError as error:
        return _find(target, data, "more memory than granted", error)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        return _find(target, data, type(error).__name__, error)
    if time.process_time() - started > seconds:  # a call into C that the signal had to wait for
        return Find(
            target=target.name, kind=f"more than {seconds:.1f} s of CPU", place="?", text="in one call", data=data
        )
    return None


def limit_memory(budget: Budget = Budget()) -> None:  # noqa: B008
    """From here on this process gets so much more address space, and MemoryError beyond it."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + budget.memory_bytes, hard))


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def over(number: int, frame: FrameType | None) -> None:
        raise OverTime

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _find(target: Target, data: bytes, kind: str, error: BaseException) -> Find:
    frames = traceback.extract_tb(error.__traceback__)
    places = [_place(frame) for frame in frames]
    ours = [place for place in places if place.split("/")[0] in _OURS]
    text = f"{type(error).__name__}: {str(error)[:300]}" if str(error) else type(error).__name__
    # where a recursion or a loop was stopped is chance: the way in is what tells such finds apart
    chance = isinstance(error, RecursionError | OverTime | MemoryError)
    place = "?" if not ours else ours[0] if chance else ours[-1]
    return Find(target=target.name, kind=kind, place=place, text=text, data=data)


def _place(frame: traceback.FrameSummary) -> str:
    path = Path(frame.filename)
    shown = path.relative_to(REPO) if path.is_relative_to(REPO) else path
    return f"{shown}:{frame.lineno} {frame.name}"
