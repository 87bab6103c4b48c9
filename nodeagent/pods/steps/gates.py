"""What must hold before anything is made for a pod: the node can connect it, and its claims are ready.

A gate is asked when a pass is about to make a sandbox; what runs in a sandbox that is there stays as it is.
"""

from typing import Protocol

from nodeagent.pods.rules.runtime_view import is_host_network
from nodeagent.pods.steps.contract import StepError, SyncPass
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.dra.pod_claims import NotPrepared
from runtimes.registry import Runtime

NETWORK_RETRY_SECONDS = 1.0


class Networks(Protocol):
    """What is known of the runtimes' pod networks."""

    async def problem(self, runtime: Runtime) -> str:
        """Why no pod can be connected now; empty where nothing is known to be wrong."""
        ...

    async def ask(self, runtime: Runtime) -> str:
        """The same, by the runtime's own word as of now."""
        ...


class NetworkGate:
    """Pods of the host's network pass."""

    name = "network"
    deadline_seconds = 30.0

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    async def check(self, work: SyncPass) -> None:
        if work.plan.create_sandbox is None or is_host_network(work.pod):
            return
        problem = await self._networks.problem(work.runtime)
        if problem:
            raise network_not_ready(problem)


class Claims(Protocol):
    """Who makes the claims of pods ready."""

    async def prepare(self, pod: AgentPod) -> None:
        """Repeatable. Raises NotPrepared."""
        ...


class ClaimsGate:
    """Resource claims come before the sandbox, because they may be the pod's network devices."""

    name = "resource claims"
    deadline_seconds = 90.0  # upstream's 45 for a driver, of which none waits for another, and as much for the API

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    async def check(self, work: SyncPass) -> None:
        if work.plan.create_sandbox is None:
            return
        try:
            await self._claims.prepare(work.pod)
        except NotPrepared as error:
            raise StepError(
                f"Failed to prepare dynamic resources: prepare dynamic resources: {error}",
                event_reason="FailedPrepareDynamicResources",
            ) from error


def network_not_ready(problem: str) -> StepError:
    return StepError(
        f"network is not ready: {problem}", event_reason="NetworkNotReady", retry_seconds=NETWORK_RETRY_SECONDS
    )
