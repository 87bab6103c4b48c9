"""The one piece of work that is under way on a pod, while its supervisor's loop goes on."""

import asyncio
import enum
from collections.abc import Awaitable, Callable


class WorkKind(enum.Enum):
    """What is being done for a pod.

    NOTHING ──begin──> PASS, STOP, RELEASE, FORGET ──(ends)──> NOTHING
                       PASS, STOP ──give_up──> GIVEN_UP ──(ends)──> NOTHING
    """

    NOTHING = "nothing"
    PASS = "pass"  # bring the pod to what is planned
    GIVEN_UP = "work that is given up"
    STOP = "stop"  # stop all of its containers
    RELEASE = "release"  # give back what it held
    FORGET = "forget"  # remove the last of it


class CurrentWork:
    """`failed(doing, error)` is called with what a piece of work raised, `ended()` whenever one has ended, however it did."""

    def __init__(self, *, failed: Callable[[WorkKind, Exception], None], ended: Callable[[], None]) -> None:
        self._failed = failed
        self._ended = ended
        self._doing = WorkKind.NOTHING
        self._task: asyncio.Task[None] | None = None

    @property
    def doing(self) -> WorkKind:
        return self._doing

    @property
    def idle(self) -> bool:
        return self._doing is WorkKind.NOTHING

    def begin(self, doing: WorkKind, work: Callable[[], Awaitable[None]]) -> None:
        """Only while idle."""
        assert self.idle, f"{doing.value} while there is a {self._doing.value}"
        self._doing = doing
        self._task = asyncio.get_running_loop().create_task(self._run(doing, work), name=doing.value)

    def give_up(self, doing: WorkKind) -> None:
        """Cancel a pass, for the pod is to end, or a stop, for another one is to be faster; once. Anything else goes on."""
        if self._doing is doing and self._task is not None:
            self._doing = WorkKind.GIVEN_UP
            self._task.cancel()

    async def join(self) -> None:
        """Wait for the end of what there is; what it raises is reported, not raised."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def leave(self) -> None:
        """Cancel whatever there is, and wait for its end: the agent goes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, doing: WorkKind, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            if self._doing is not WorkKind.GIVEN_UP:
                raise
        except Exception as error:
            self._failed(doing, error)
        finally:
            self._doing, self._task = WorkKind.NOTHING, None
            self._ended()
