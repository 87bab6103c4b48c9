"""What a pod's supervisor works with: one value for all pods, each part by the few methods that are used."""

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from nodeagent.api.events import Events
from nodeagent.pods.features.contract import PodFeature
from nodeagent.pods.rules import backoff
from nodeagent.pods.rules.model import NodeAddresses, Observed, ProbeResults, RemoveContainer
from nodeagent.pods.status.writer import StatusSink
from nodeagent.pods.step_runs import StepRun
from nodeagent.pods.steps.contract import SyncPass
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.tracing.tracer import NO_TRACES, Tracer
from runtimes.linux.retry import RetryPolicy
from runtimes.registry import Runtime


class UnknownRuntime(Exception):
    """The pod's RuntimeClass or its handler does not exist on this node; the text says which do."""


class RuntimeResolver(Protocol):
    """Which runtime runs a pod."""

    def resolve(self, pod: AgentPod) -> Runtime:
        """Raises UnknownRuntime."""
        ...

    def all(self) -> tuple[Runtime, ...]: ...


class Engine(Protocol):
    """Carries out the steps of a pod's way, and takes it down again."""

    async def carry_out(self, work: SyncPass) -> list[Exception]:
        """Run the steps; return what failed. When it is cancelled, no step runs any more when it ends."""
        ...

    async def stop(self, teardown: Teardown) -> None:
        """Stop what runs. Raises ExceptionGroup if anything may still run."""
        ...

    async def give_back(self, teardown: Teardown) -> None:
        """What others take as soon as the stopped pod is told to have ended. Raises ExceptionGroup of what could not be."""
        ...

    async def release(self, teardown: Teardown) -> None:
        """All else that the stopped pod held. Raises ExceptionGroup of what could not be given back."""
        ...

    def current_steps(self, uid: PodUID) -> Sequence[StepRun]:
        """What is under way for the pod now."""
        ...


class ContainerTerminator(Protocol):
    """Stops one container by the rules of its pod."""

    async def kill_container(
        self,
        runtime: Runtime,
        pod: AgentPod,
        container_id: str,
        name: str,
        *,
        message: str = "",
        grace_seconds: int | None = None,
        run_pre_stop: bool = True,
    ) -> None:
        """Returns when it has exited. `grace_seconds` None: the pod's. Raises RuntimeFault."""
        ...


class Probing(Protocol):
    """Keeps the probe workers of a pod in step with it."""

    def sync(
        self, pod: AgentPod, observed: Observed, runtime: Runtime, on_result: Callable[[str, ProbeResults], None]
    ) -> None:
        """Start, keep and stop workers; `on_result(container_id, results)` is called at every change."""
        ...

    def stop(self, uid: PodUID, *, keep_readiness: bool) -> None: ...


class DeadContainers(Protocol):
    """Keeps dead containers in bounds."""

    async def remove(self, runtime: Runtime, pod: AgentPod, observed: Observed, remove: RemoveContainer) -> None: ...

    def highest_log_numbers(self, pod: AgentPod, observed: Observed) -> Mapping[str, int]: ...


class PodVolumes(Protocol):
    """Keeps the contents of mounted volumes fresh."""

    async def refresh(self, pod: AgentPod, *, anew: bool) -> None:
        """Bring the volumes that follow API objects up to date. `anew`: something that they are made from has changed.

        Raises nothing for those that cannot be.
        """
        ...


class TerminationMessages(Protocol):
    """What exited containers left as their messages."""

    def add_to(self, observed: Observed) -> Observed:
        """Add the termination messages of exited containers."""
        ...

    def forget(self, container_ids: Collection[str]) -> None:
        """These containers have been removed."""
        ...


class Operation(enum.Enum):
    """What a pod's supervisor did. `CREATE`: a pass that made a sandbox; `UPDATE`: another one."""

    SYNC = "sync"
    CREATE = "create"
    UPDATE = "update"
    KILL = "kill"


# Told how long each took, on the event loop; for metrics.
OperationObserver = Callable[[Operation, float], None]


def unobserved(operation: Operation, seconds: float) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class PodServices:
    """`features`: in the order in which they are asked; a feature is one line here."""

    engine: Engine
    runtimes: RuntimeResolver
    statuses: StatusSink
    events: Events
    probing: Probing
    volumes: PodVolumes
    termination_messages: TerminationMessages
    dead_containers: DeadContainers
    terminator: ContainerTerminator
    addresses: Callable[[], NodeAddresses]
    now: Callable[[], datetime]
    crash_backoff: RetryPolicy = backoff.RETRY
    features: Sequence[PodFeature] = ()
    observe: OperationObserver = unobserved
    tracer: Tracer = NO_TRACES
