"""The probes of all pods of the node: workers in step with the containers there are.

Source: docs/facts/pod-lifecycle.md 7.2. Startup gates the other two probes of its container; results go to the pod's supervisor,
per container id.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lightkube.models.core_v1 import Container, ContainerStatus, PodStatus, Probe

from nodeagent.api.events import Events
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.rules.model import Instance, NodeAddresses, Observed, ProbeResults
from nodeagent.pods.rules.runtime_view import RUNNING, newest, timestamp
from nodeagent.pods.status.pod_ips import pod_ips
from nodeagent.podspec.containers import AnyContainer, ContainerKind, containers, field_path
from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.probes.observer import NotObserved, ObservedProbe, ProbeObserver
from nodeagent.probes.outcome import Outcome
from nodeagent.probes.run import ProbeTarget, run_probe
from nodeagent.probes.state import ProbeKind
from nodeagent.probes.worker import ProbeWorker, Runner, Timers
from runtimes.contract import RuntimeService
from runtimes.registry import Runtime

ADOPTED_SECONDS = 10.0  # a container that ran this long before the agent keeps its results

OnResult = Callable[[str, ProbeResults], None]


class ProbeManager:
    """Implements what supervisors ask of probing. All methods are called on the event loop and return at once."""

    def __init__(
        self,
        *,
        tasks: PodTasks,
        events: Events,
        addresses: Callable[[], NodeAddresses],
        now: Callable[[], datetime],
        agent_started_at: datetime,
        timers: Timers | None = None,
        runner: Runner = run_probe,
        jitter: Callable[[], float] = random.random,
        observer: ProbeObserver | None = None,
    ) -> None:
        self._tasks = tasks
        self._events = events
        self._addresses = addresses
        self._now = now
        self._agent_started_at = agent_started_at
        self._timers = timers
        self._runner = runner
        self._jitter = jitter
        self._observer = observer or NotObserved()
        self._pods: dict[PodUID, dict[str, _Probed]] = {}

    @property
    def workers(self) -> int:
        return sum(len(probed.workers) for pod in self._pods.values() for probed in pod.values())

    def sync(self, pod: AgentPod, observed: Observed, runtime: Runtime, on_result: OnResult) -> None:
        """Start, keep and stop workers of a pod; `on_result(container_id, results)` is called at every change."""
        uid = pod.uid
        wanted = list(_probed_containers(pod))
        if not wanted and uid not in self._pods:
            return
        known = self._pods.setdefault(uid, {})
        for name in known.keys() - {container.name for _, container, _ in wanted}:
            known.pop(name).stop(ProbeKind.STARTUP, ProbeKind.READINESS, ProbeKind.LIVENESS)
        ip = _primary_ip(pod, observed, self._addresses())
        for kind, container, probes in wanted:
            probed = known.get(container.name)
            if probed is None:
                probed = known[container.name] = _Probed(
                    kind=kind,
                    pod=pod,
                    name=container.name,
                    events=self._events,
                    now=self._now,
                    observer=self._observer,
                )
                self._start_workers(uid, probed, probes)
            probed.pod, probed.on_result = pod, on_result
            self._follow(probed, container, newest(observed, container.name), ip, runtime.service)

    def stop(self, uid: PodUID, *, keep_readiness: bool) -> None:
        """The pod ends. `keep_readiness`: its containers have yet to stop, so readiness and sidecars' probes go on."""
        if keep_readiness:
            for probed in self._pods.get(uid, {}).values():
                if probed.kind is ContainerKind.REGULAR:
                    probed.stop(ProbeKind.STARTUP, ProbeKind.LIVENESS)
            return
        for probed in self._pods.pop(uid, {}).values():
            probed.stop(ProbeKind.STARTUP, ProbeKind.READINESS, ProbeKind.LIVENESS)

    def _start_workers(self, uid: PodUID, probed: "_Probed", probes: dict[ProbeKind, Probe]) -> None:
        timers = self._timers or asyncio.get_running_loop()
        for kind, probe in probes.items():
            worker = ProbeWorker(kind, probe, runner=self._runner, timers=timers, reports=probed)
            probed.workers[kind] = worker
            name = f"{kind.value.lower()} probe {uid}/{probed.name}"
            probed.tasks[kind] = self._tasks.start(worker.run, name=name)

    def _follow(
        self, probed: "_Probed", container: Container, instance: Instance | None, ip: str, service: RuntimeService
    ) -> None:
        """Bring the workers of one container in step with its newest instance."""
        if instance is None or instance.status.state != RUNNING:
            probed.rest()
            return
        container_id = instance.status.id
        target = ProbeTarget(container=container, container_id=container_id, pod_ip=ip, runtime=service)
        started_at = timestamp(instance.status.started_at) or self._now()
        if probed.container_id == container_id:
            probed.retarget(target)
            return
        probed.started_at = started_at
        said = _said_before(probed.pod, container_id, container.name)
        if said is not None and self._agent_started_at - started_at > timedelta(seconds=ADOPTED_SECONDS):
            probed.adopt(target, said, self._jitter)
        else:
            probed.begin(target)
            if said is not None:
                probed.publish()  # what was said of it before the agent started no longer counts


@dataclass(slots=True, kw_only=True)
class _Probed:
    """One container with its workers; hears what they find."""

    kind: ContainerKind
    pod: AgentPod
    name: str
    events: Events
    now: Callable[[], datetime]
    observer: ProbeObserver
    on_result: OnResult | None = None
    workers: dict[ProbeKind, ProbeWorker] = field(default_factory=dict)
    tasks: dict[ProbeKind, "asyncio.Task[None]"] = field(default_factory=dict)
    container_id: str = ""
    started_at: datetime | None = None
    target: ProbeTarget | None = None

    @property
    def age_seconds(self) -> float:
        return 0.0 if self.started_at is None else (self.now() - self.started_at).total_seconds()

    def begin(self, target: ProbeTarget) -> None:
        """A new container: startup first, and the others when it is done, where there is a startup probe."""
        self.container_id, self.target = target.container_id, target
        gated = ProbeKind.STARTUP in self.workers
        for kind, worker in self.workers.items():
            if gated and kind is not ProbeKind.STARTUP:
                worker.rest()
            else:
                worker.begin(target, age_seconds=self.age_seconds)

    def adopt(self, target: ProbeTarget, said: ContainerStatus, jitter: Callable[[], float]) -> None:
        """A container from before the agent: started and ready are as its status says."""
        self.container_id, self.target = target.container_id, target
        gated = ProbeKind.STARTUP in self.workers and not said.started
        known = {
            ProbeKind.STARTUP: True if said.started else None,
            ProbeKind.READINESS: said.ready,
            ProbeKind.LIVENESS: True,
        }
        for kind, worker in self.workers.items():
            if gated and kind is not ProbeKind.STARTUP:
                worker.rest()
            else:
                worker.adopt(target, age_seconds=self.age_seconds, result=known[kind], jitter=jitter())
        self.publish()

    def retarget(self, target: ProbeTarget) -> None:
        self.target = target
        for worker in self.workers.values():
            worker.retarget(target)

    def rest(self) -> None:
        if not self.container_id:
            return
        for worker in self.workers.values():
            worker.rest()
        self.container_id, self.target = "", None

    def stop(self, *kinds: ProbeKind) -> None:
        """End the tasks; what they found stays: a pod that ends was started all the same."""
        for kind in kinds:
            task = self.tasks.pop(kind, None)
            if task is not None:
                task.cancel()
                self.observer.forget([self._observed(kind)])

    # -- what workers report -------------------------------------------------------------------------------------------

    def result(self, kind: ProbeKind, container_id: str) -> None:
        if container_id != self.container_id or self.target is None:
            return
        startup = self.workers.get(ProbeKind.STARTUP)
        if kind is ProbeKind.STARTUP and startup is not None and startup.result:
            for other, worker in self.workers.items():
                if other is not ProbeKind.STARTUP and other in self.tasks:
                    worker.begin(self.target, age_seconds=self.age_seconds)
        self.publish()

    def ran(self, kind: ProbeKind, outcome: Outcome, seconds: float) -> None:
        self.observer.ran(self._observed(kind), ok=outcome.ok, seconds=seconds)

    def _observed(self, kind: ProbeKind) -> ObservedProbe:
        namespace, pod = self.pod.key
        return ObservedProbe(type=kind.value, container=self.name, pod=pod, namespace=namespace, pod_uid=self.pod.uid)

    def event(self, reason: str, message: str) -> None:
        self.events.event(self.pod, "Warning", reason, message, field_path=field_path(self.kind, self.name))

    def publish(self) -> None:
        if self.on_result is None:
            return
        results = {kind: worker.result for kind, worker in self.workers.items()}
        self.on_result(
            self.container_id,
            ProbeResults(
                started=results.get(ProbeKind.STARTUP),
                ready=results.get(ProbeKind.READINESS),
                live=results.get(ProbeKind.LIVENESS),
            ),
        )


def _probed_containers(pod: AgentPod) -> Iterator[tuple[ContainerKind, Container, dict[ProbeKind, Probe]]]:
    """Regular containers and sidecars that have probes."""
    for kind, container in containers(pod):
        if kind in (ContainerKind.REGULAR, ContainerKind.SIDECAR) and isinstance(container, Container):
            probes = dict(_probes(container))
            if probes:
                yield kind, container, probes


def _probes(container: AnyContainer) -> Iterator[tuple[ProbeKind, Probe]]:
    for kind, probe in (
        (ProbeKind.STARTUP, container.startupProbe),
        (ProbeKind.READINESS, container.readinessProbe),
        (ProbeKind.LIVENESS, container.livenessProbe),
    ):
        if probe is not None:
            yield kind, probe


def _said_before(pod: AgentPod, container_id: str, name: str) -> ContainerStatus | None:
    """What the API's status says of this very container."""
    status = pod.status or PodStatus()
    listed: list[ContainerStatus] = [*(status.initContainerStatuses or []), *(status.containerStatuses or [])]
    for item in listed:
        if item.name == name and (item.containerID or "").endswith(f"://{container_id}"):
            return item
    return None


def _primary_ip(pod: AgentPod, observed: Observed, node: NodeAddresses) -> str:
    found = pod_ips(pod, observed, pod.status or PodStatus(), node)
    return found[0].ip if found else ""
