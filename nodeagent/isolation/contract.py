"""The words of an evaluation: a group has probes, which judge facts; facts come from the probe program or from experiments.

    probe program (C, in a pod) ──► facts ─┐
                                           ├─► Sight ──► Probe.judge ──► Finding ──► score, report
    experiment (pods of its own) ──► facts ─┘

Facts are what was measured, and no opinion: plain JSON values, by section (of the probe program: docs/isolation/README.md) or by
the name of the experiment. Judging is pure: every verdict can be tested without a pod, and made anew from a report's JSON.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Facts = Mapping[str, Any]
"""Section, or experiment -> what it found. A section that could not be run is `{"error": why}`."""

HOST = "host"
"""The column of the bare machine: the probe program as root, in no pod."""


class StageError(Exception):
    """A pod, or the node for it, did not do what an experiment needs; the text says which and why, for the report."""


class Verdict(enum.StrEnum):
    """OPEN: a pod can do it. LIMITED: a part of it, or at a bound. BLOCKED: not. MEASURED: a fact, good or bad for nobody.
    NOT_APPLICABLE: there is nothing of the kind here. FAILED: could not be found out."""

    OPEN = "open"
    LIMITED = "limited"
    BLOCKED = "blocked"
    MEASURED = "measured"
    NOT_APPLICABLE = "not applicable"
    FAILED = "failed"


class By(enum.StrEnum):
    """What blocks or limits. RUNTIME: its own kernel, or a flag of it. KERNEL: this machine's has no such thing, for anybody."""

    NAMESPACE = "namespace"
    CAPABILITY = "capability"
    SECCOMP = "seccomp"
    LSM = "LSM"
    MASK = "mask"  # a masked or read-only path of the OCI configuration
    MOUNT = "mount"  # it is not mounted there, or read-only
    CGROUP = "cgroup"
    RLIMIT = "rlimit"
    EVICTION = "eviction"  # the agent ends the pod, some time after
    PERMISSIONS = "file permissions"
    NO_NEW_PRIVS = "no_new_privs"
    NETWORK = "network"
    AGENT = "node agent"  # it looked a path up itself, and refused it
    RUNTIME = "runtime"
    KERNEL = "kernel"
    UNKNOWN = ""


class Risk(enum.IntEnum):
    """How much an open one weighs in a score (nodeagent/isolation/score.py). NONE: it is for information."""

    NONE = 0
    LOW = 1
    MEDIUM = 3
    HIGH = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Something measured several times. `low`, `high`: quartiles; `runs`: each, in order; `host`: the same on the bare host."""

    unit: str
    median: float
    low: float
    high: float
    runs: tuple[float, ...] = ()
    host: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one probe says of one runtime. `value`: the raw result, short; `evidence`: how it is known, a line or a few.

    `change`: what would change the verdict (a line of the pod's spec, a runtime's flag); empty: nothing that is known.
    `exposure`: from 0 (none) to 1 (all of the risk), for the score; None: what the verdict says (`score.py`).
    """

    probe: str
    verdict: Verdict
    by: By = By.UNKNOWN
    value: str = ""
    evidence: str = ""
    change: str = ""
    figure: Figure | None = None
    exposure: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a probe judges by. `own`: of the pod; `host`: of the bare host; `neighbour`: of another pod of the same runtime.

    In the column of the host, `own` is `host` and `neighbour` is empty.
    """

    own: Facts
    host: Facts = field(default_factory=dict)
    neighbour: Facts = field(default_factory=dict)

    @property
    def is_host(self) -> bool:
        """Whether this is the host's column."""
        return self.own is self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One question. `id`: `group.words`, stable, in reports and for --only; `title`: what OPEN means, as a phrase;
    `why`: what somebody could do with it. `judge` is pure; what it raises makes the finding FAILED.
    """

    id: str
    title: str
    risk: Risk
    why: str
    judge: Callable[[Sight], Finding]
    on_host: bool = True  # whether the question makes sense there


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """A pod with one container of the probe's image. `arguments`: of the probe program.

    `changes`: laid over the spec of the profile, a JSON merge patch of the pod's `spec`, where a patch of `containers[0]` is
    written as `container`. `limits`: of the container (`cpu`, `memory`); empty: those of every probe's pod.
    """

    name: str
    arguments: Sequence[str]
    changes: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a pod's container ended. `reason`: the kubelet's word (Completed, Error, OOMKilled…). `output`: all it wrote."""

    exit_code: int
    reason: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the host's kernel counts of a pod. `cpu_ns`, `pids` (threads, in fact): of its cgroup, with those below.

    `pss_bytes`: program -> memory of its processes, shared pages by their share: with what holds the pod from outside of its
    cgroup (conmon, a shim).
    """

    cpu_ns: int
    pids: int
    pss_bytes: Mapping[str, int]


class Stage(Protocol):
    """A private node with one runtime, on which experiments run pods. Pods go with it.

    Calls may be concurrent. Every call ends by its deadline: a pod that outlives it is killed.
    """

    @property
    def handler(self) -> str:
        """Which runtime."""
        ...

    @property
    def token(self) -> str:
        """To be in the name of what an experiment makes on the machine: `/var/tmp/niso-TOKEN-…` goes, whatever happens."""
        ...

    @property
    def quick(self) -> bool:
        """Whether fewer and shorter runs are asked for (--quick)."""
        ...

    async def run(self, pod: PodRequest, *, deadline_seconds: float) -> Ended:
        """Run a pod to its end. Raises StageError: it was refused, did not start, or did not end in time."""
        ...

    async def start(self, pod: PodRequest, *, deadline_seconds: float = 60.0) -> str:
        """Start a pod that stays; return its IP once its container runs (empty: of the host's network). Raises StageError."""
        ...

    async def output(self, name: str) -> str:
        """What a pod has written so far. Raises StageError."""
        ...

    async def usage(self, name: str) -> Usage:
        """What the host counts of a pod that runs. Raises StageError."""
        ...

    async def stop(self, name: str) -> None:
        """End a pod and wait until it is gone. Raises StageError; none that is not there is an error."""
        ...

    async def facts(self, sections: Sequence[str], *, deadline_seconds: float = 60.0) -> Facts:
        """Run sections of the probe program in a pod of the profile. Raises StageError."""
        ...

    async def on_host(self, arguments: Sequence[str], *, deadline_seconds: float) -> str:
        """Run the probe program in no pod, within the bounded cgroup; what it wrote. For figures of the bare host.

        Raises StageError.
        """
        ...


class Experiment(Protocol):
    """A measurement that needs pods of its own. It has the node for itself, so that figures are its own."""

    @property
    def name(self) -> str:
        """Under which its facts are found; no section of the probe program has it."""
        ...

    @property
    def about(self) -> str:
        """What it will do, a line, for --dry-run."""
        ...

    async def run(self, stage: Stage) -> Mapping[str, Any]:
        """Its facts. Raises StageError: they are `{"error": why}` then, and the other experiments go on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`sections`: of the probe program, run with those of other groups in one pod. `experiments`: one after the other.

    A section is `name` or `name=argument,argument`. Of these a few are placeholders: `nodeagent/isolation/evaluation.py: PLACES`.
    """

    name: str
    title: str
    probes: tuple[Probe, ...]
    sections: tuple[str, ...] = ()
    experiments: tuple[Experiment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One runtime's results. `error`: why it has none. `facts`: all that was measured. `seconds`: what it took."""

    name: str
    runtime: str = ""  # what it is: its type and program or endpoint, with its version
    error: str = ""
    findings: tuple[Finding, ...] = ()
    facts: Facts = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A probe as a report has it, for who reads that without this program."""

    id: str
    group: str
    title: str
    risk: Risk
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An evaluation. `groups`: name -> title. Columns: the host's first, then the runtimes in the order asked for.

    `level`: of the Pod Security Standards that the profile meets; `violations`: what keeps it from the stricter ones.
    """

    made: str  # RFC 3339
    machine: Mapping[str, str]
    profile: str
    quick: bool
    groups: Mapping[str, str]
    questions: tuple[Question, ...]
    columns: tuple[Column, ...]
    level: str = ""
    violations: tuple[str, ...] = ()
