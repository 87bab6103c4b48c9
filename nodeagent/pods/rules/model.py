"""The values that a pod's way is made of: what is wanted, what is there, what the agent remembers, and what to do.

`plan` and `status` are pure functions over these; the supervisor gathers them, carries actions out and publishes results.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nodeagent.podspec.containers import ContainerKind
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One container in the runtime: one run, living or dead."""

    sandbox_id: str
    status: cri.ContainerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the pod's runtime holds of one pod. Both tuples are newest first (attempt, then creation time)."""

    sandboxes: tuple[cri.PodSandboxStatus, ...] = ()
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResults:
    """What the probes say of one container instance; None: not decided, or no such probe."""

    started: bool | None = None
    ready: bool | None = None
    live: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailure:
    """Why a container is not running: the waiting reason and message that its status shows."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashBackoff:
    """Crash back-off of one container, advanced at each permitted restart.

    `attempt`: how many waits came before this one.
    `key` stands for the image and resources it was made for: when they are edited, the back-off no longer counts.
    """

    attempt: int = 0
    delay_seconds: float
    advanced_at: datetime
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """The pod is to end, and how. It never goes back; a later one may only shorten the grace period.

    `reason`, `message`: override of status.reason and status.message; empty: none. `failed`: the phase is Failed even when
    all containers succeed. `disruption_message`: sets condition DisruptionTarget with it. `at_once`: the node cannot wait, the
    containers are killed without being asked to stop.
    """

    grace_seconds: int
    reason: str = ""
    message: str = ""
    failed: bool = False
    disruption_message: str = ""
    at_once: bool = False


class PodStage(enum.Enum):
    """A pod's worker states.

    SYNC --(deletion, terminal phase, deadline, eviction, removal)--> TERMINATING --(no container runs)--> TERMINATED
    --(volumes unmounted, cgroup gone)--> FINISHED. There is no way back.
    """

    SYNC = "sync"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the agent knows of a pod that neither the API nor the runtime remembers. Keys are container names or ids."""

    stage: PodStage = PodStage.SYNC
    termination: Termination | None = None
    start_failures: Mapping[str, StartFailure] = field(default_factory=dict)
    crash_backoffs: Mapping[str, CrashBackoff] = field(default_factory=dict)
    probes: Mapping[str, ProbeResults] = field(default_factory=dict)  # by container id
    rejected: StartFailure | None = None  # refused at admission: reason, message
    start_time: datetime | None = None
    restarts: Mapping[str, str] = field(default_factory=dict)  # id of what a feature restarts -> its Killing message
    replaced: frozenset[str] = frozenset()  # ids of instances that are stopped to start again (`replacement`)


@dataclass(frozen=True, slots=True, kw_only=True)
class KillContainer:
    """Stop one container. `grace_seconds` None: the rules of the pod; `message`: of the Killing event."""

    container_id: str
    name: str
    message: str
    grace_seconds: int | None = None
    run_pre_stop: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveContainer:
    container_id: str
    name: str
    keep_logs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Create and start one container. `restart_count` is also the CRI attempt and the number of its log file."""

    name: str
    kind: ContainerKind
    restart_count: int
    backoff: CrashBackoff | None = None  # to remember once the start was made


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, in this order: kill, remove, sandbox, start; and when to look again without an event.

    `kill_pod`: nothing is left to run: stop all containers and the sandboxes (the pod goes on to its end by its phase).
    `create_sandbox`: the attempt number of a new sandbox, else None; `sandbox_changed`: an older one is replaced (event).
    `start` is in the order to start in; a failing non-restartable init container ends the pass, others do not.
    `waiting`: containers held back now, with what their status shows (CrashLoopBackOff).
    `wake_at`: the end of the earliest back-off or deadline.
    """

    kill_pod: bool = False
    kill: tuple[KillContainer, ...] = ()
    remove: tuple[RemoveContainer, ...] = ()
    create_sandbox: int | None = None
    sandbox_changed: bool = False
    start: tuple[StartContainer, ...] = ()
    waiting: Mapping[str, StartFailure] = field(default_factory=dict)
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddresses:
    """The node's IPs as the status shows them: canonical text, the primary family first."""

    host_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The newest wanted state of a pod."""

    pod: AgentPod
    removed: bool = False  # gone from its source (force delete, static file removed)
