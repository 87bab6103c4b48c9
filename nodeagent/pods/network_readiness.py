"""Whether the runtimes' pod network is ready, in the kubelet's words (docs/facts/network.md 5.4)."""

import asyncio
from collections.abc import Callable

from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.linux.tasks import SingleFlight
from runtimes.registry import Runtime

CONDITION = "NetworkReady"
ASK_SECONDS = 10.0


def network_problem(answer: cri.StatusResponse) -> str:
    """What a runtime's status says is wrong with its network, as the node's condition and a pod's event show it; empty: ready."""
    found = next((item for item in answer.status.conditions if item.type == CONDITION), None)
    if found is not None and found.status:
        return ""
    reason, message = (found.reason, found.message) if found is not None else ("", "")
    return f"container runtime network not ready: {CONDITION}=false reason:{reason} message:{message}"


class NetworkReadiness:
    """`last_seen(handler)`: what the last regular look at the runtimes found, empty for ready.

    A runtime whose network was seen to be down is asked again whenever it matters, so that a network that comes up is used at
    once; one that was up is not asked: what it cannot do it will say.
    """

    def __init__(self, last_seen: Callable[[str], str]) -> None:
        self._last_seen = last_seen
        self._down: set[str] = set()
        self._asking: SingleFlight[str, str] = SingleFlight()

    async def problem(self, runtime: Runtime) -> str:
        """Why no pod can be connected now; empty where nothing is known to be wrong."""
        if runtime.handler not in self._down and not self._last_seen(runtime.handler):
            return ""
        return await self.ask(runtime)

    async def ask(self, runtime: Runtime) -> str:
        """What the runtime says now; empty when it does not answer. Pods that ask at the same time share one question."""
        return await self._asking.join(runtime.handler, lambda: self._ask(runtime))

    async def _ask(self, runtime: Runtime) -> str:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                problem = network_problem(await runtime.service.status(cri.StatusRequest()))
        except (RuntimeFault, TimeoutError):
            return ""
        (self._down.add if problem else self._down.discard)(runtime.handler)
        return problem
