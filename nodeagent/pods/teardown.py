"""A pod that ends, as those see it who take it down."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nodeagent.podspec.pod import AgentPod, PodUID
from runtimes.errors import Unavailable
from runtimes.registry import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Teardown:
    """`grace_seconds` bounds what its containers may still do; `runtimes` all may hold parts of it.

    `handler` is the pod's own runtime, empty where it is not known. `keep_records`: the pod object stays (completed, not
    deleted), so its logs and dead containers stay readable. `at_once`: its containers are killed without being asked to stop.
    """

    pod: AgentPod
    uid: PodUID
    grace_seconds: int
    runtimes: tuple[Runtime, ...]
    keep_records: bool
    handler: str = ""
    at_once: bool = False

    async def in_each(self, work: Callable[[Runtime, "Teardown"], Awaitable[None]]) -> None:
        """Do `work` in every runtime, side by side.

        One that is down must not hold up a pod of another: where the pod's own is known, the rest is passed over when it
        cannot be reached. What it may hold of the pod all the same is an orphan as soon as it is back.
        """

        async def one(runtime: Runtime) -> None:
            try:
                await work(runtime, self)
            except Unavailable:
                if self.handler in ("", runtime.handler):
                    raise

        await asyncio.gather(*(one(runtime) for runtime in self.runtimes))
