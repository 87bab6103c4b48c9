"""The pods: who admits them, who takes them up and down, and who tells of them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import InformedCluster, NoCluster
from nodeagent.api.events import Events
from nodeagent.api.objects import Objects
from nodeagent.assembly.host import Host
from nodeagent.assembly.node import registration
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.assembly.steps import ContainerLifecycle
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.config import Config
from nodeagent.folders import Folders
from nodeagent.metrics.admission import AdmissionMetrics
from nodeagent.metrics.pod_starts import PodStartMetrics
from nodeagent.metrics.probes import ProbeMetrics
from nodeagent.metrics.workers import WorkerMetrics
from nodeagent.node.facts import apparmor_error, kernel_version
from nodeagent.node.monitor import RuntimeMonitor
from nodeagent.node.state import NodeState
from nodeagent.pods.admission.gate import AdmissionGate
from nodeagent.pods.admission.node_view import AdmissionSettings, NodeViews
from nodeagent.pods.assigned_resources import AssignedResources
from nodeagent.pods.features.contract import PodFeature
from nodeagent.pods.manager import PodManager
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.pods.mirrors import MirrorKeeper, Mirrors, NoMirrors, status_target
from nodeagent.pods.orphans import OrphanCollector
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.probing import ProbeManager
from nodeagent.pods.resize.actuation import Actuator
from nodeagent.pods.resize.decision import ResizeRules
from nodeagent.pods.resize.feature import InPlaceResize
from nodeagent.pods.resize.records import ResizeRecords
from nodeagent.pods.resize.resizes import Resizes
from nodeagent.pods.rules import backoff
from nodeagent.pods.rules.model import NodeAddresses
from nodeagent.pods.runtime_classes import RuntimeClassResolver
from nodeagent.pods.services import PodServices
from nodeagent.pods.status.writer import NoStatuses, StatusSink, StatusWriter
from nodeagent.pods.steps.cgroup import CgroupStep
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.pods.termination_messages import TerminationMessages
from nodeagent.pods.translation.resources import HostLimits
from nodeagent.resources.assignments import Assignments
from nodeagent.sources.merger import PodMerger
from nodeagent.sources.mirror import MirrorPods
from nodeagent.tracing.tracer import Tracer
from nodeagent.volumes.manager import VolumeManager
from runtimes.kube.duration import seconds
from runtimes.linux.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """In the order in which they are asked."""

    all: tuple[PodFeature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    manager: ProbeManager
    metrics: ProbeMetrics


async def start_views(
    scope: Scope,
    config: Config,
    host: Host,
    state: NodeState,
    monitor: RuntimeMonitor,
    client: ApiClient | None,
    cluster: InformedCluster | None,
) -> NodeViews:
    """The node as the admission of new and resized pods sees it."""
    settings = AdmissionSettings(
        kernel_version=kernel_version(host.machine),
        apparmor_error=apparmor_error(),
        allowed_unsafe_sysctls=config.kubelet.allowedUnsafeSysctls,
        pod_level_resources=config.kubelet.featureGates.get("PodLevelResources", True),
    )
    return NodeViews(
        settings,
        state=state,
        cluster=cluster or NoCluster(),
        client=client,
        registration=registration(config, host),
        runtime=monitor.state,
    )


async def start_resize_records(scope: Scope, folders: Folders) -> ResizeRecords:
    """Which resources pods were given, as the disk says. Raises CorruptCheckpoint."""
    records = ResizeRecords(folders.root)
    records.load()
    return records


async def start_resizes(
    scope: Scope,
    config: Config,
    host: Host,
    limits: HostLimits,
    events: Events,
    records: ResizeRecords,
    views: NodeViews,
    pods: ManagerHandle,
    merger: PodMerger,
) -> Resizes:
    """Decides about in-place resizes."""
    resizes = Resizes(
        records=records,
        rules=resize_rules(config, limits),
        events=events,
        admit=views.admit,
        active=pods.active_pods,
        changed=pods.resized,
        ready=lambda: merger.all_seen,
        now=host.now,
    )
    scope.loop(resizes.run, "resizes")
    return resizes


async def start_features(
    scope: Scope,
    host: Host,
    limits: HostLimits,
    events: Events,
    records: ResizeRecords,
    cgroups: PodCgroups,
    cgroup: CgroupStep,
    assignments: Assignments,
) -> Features:
    """What hangs on the supervisors' turns: a feature is one line here."""
    actuator = Actuator(cgroups, limits, cgroup.requests_changed)
    return Features(all=(InPlaceResize(records, actuator, limits, events, host.now), AssignedResources(assignments)))


async def start_mirrors(
    scope: Scope,
    config: Config,
    pods: ManagerHandle,
    merger: PodMerger,
    client: ApiClient | None,
    cluster: InformedCluster | None,
) -> Mirrors:
    """Static pods in the API."""
    if client is None or cluster is None:
        return NoMirrors()
    keeper = MirrorKeeper(
        MirrorPods(client, config.node_name, cluster.own_node), ready=lambda: merger.all_seen, on_mirror=pods.wake
    )
    scope.loop(keeper.run, "mirror pods")
    _when_complete(scope, merger, keeper.wake, "first look for mirrors of nobody")
    return keeper


async def start_statuses(scope: Scope, host: Host, mirrors: Mirrors, client: ApiClient | None) -> StatusSink:
    """The writer of the pods' statuses."""
    if client is None:
        return NoStatuses()
    return StatusWriter(
        client.sharing(qps=-1, burst=1),
        PodTasks(scope.tasks),
        functools.partial(status_target, mirrors),
        turn=functools.partial(client.turn, "PATCH"),
        observer=PodStartMetrics(host.metrics, host.now),
    )


async def start_probing(scope: Scope, host: Host, events: Events, state: NodeState) -> Probing:
    """The pods' probes."""
    started_at = host.now()
    metrics = ProbeMetrics(started_at.timestamp())
    manager = ProbeManager(
        tasks=PodTasks(scope.tasks),
        events=events,
        addresses=lambda: NodeAddresses(host_ips=state.host_ips),
        now=host.now,
        agent_started_at=started_at,
        observer=metrics,
    )
    return Probing(manager=manager, metrics=metrics)


async def start_orphans(
    scope: Scope,
    runtimes: Runtimes,
    engine: StepEngine,
    cgroups: PodCgroups,
    paths: PodPaths,
    merger: PodMerger,
    pods: ManagerHandle,
) -> OrphanCollector:
    """Looks for what belongs to no pod when every source has spoken; from then on a pod that goes wakes it."""
    orphans = OrphanCollector(
        engine=engine,
        runtimes=lambda: tuple(runtimes.registry),
        cgroups=cgroups,
        paths=paths,
        known=pods.known_uids,
        ready=lambda: merger.all_seen,
    )

    scope.loop(orphans.run, "orphans")
    _when_complete(scope, merger, orphans.wake, "first look for orphans")
    return orphans


def _when_complete(scope: Scope, merger: PodMerger, act: Callable[[], None], name: str) -> None:
    """Do it when every source has spoken: only then is it known what belongs to no pod."""

    async def wait() -> None:
        await merger.complete()
        act()

    scope.tasks.create_task(wait(), name=name)


async def start_gate(
    scope: Scope,
    metrics: AdmissionMetrics,
    events: Events,
    views: NodeViews,
    paths: PodPaths,
    assignments: Assignments,
    port: ManagerHandle,
) -> AdmissionGate:
    """The door of the node."""
    return AdmissionGate(
        view=views.known,
        fresh_view=views.fresh,
        end_pod=port.end,
        begun=lambda uid: paths.pod_dir(uid).is_dir(),
        resources=assignments,
        events=events,
        preempted=metrics.preempted,
    )


async def start_admission_metrics(scope: Scope, host: Host) -> AdmissionMetrics:
    return AdmissionMetrics(host.metrics)


async def start_services(
    scope: Scope,
    config: Config,
    host: Host,
    state: NodeState,
    events: Events,
    volumes: VolumeManager,
    resolver: RuntimeClassResolver,
    engine: StepEngine,
    lifecycle: ContainerLifecycle,
    features: Features,
    statuses: StatusSink,
    probing: Probing,
    tracer: Tracer,
) -> PodServices:
    """What every pod's supervisor works with."""
    return PodServices(
        engine=engine,
        runtimes=resolver,
        statuses=statuses,
        events=events,
        probing=probing.manager,
        volumes=volumes,
        termination_messages=TerminationMessages(),
        dead_containers=lifecycle.dead,
        terminator=lifecycle.terminator,
        addresses=lambda: NodeAddresses(host_ips=state.host_ips),
        now=host.now,
        crash_backoff=crash_backoff(config),
        features=features.all,
        observe=WorkerMetrics(host.metrics).ended,
        tracer=tracer,
    )


def crash_backoff(config: Config) -> RetryPolicy:
    """How long a container that ends again and again waits. What the operator asks for wins over a gate's other default."""
    kubelet = config.kubelet
    reduced = kubelet.featureGates.get("ReduceDefaultCrashLoopBackOffDecay", False)
    usual = backoff.REDUCED if reduced else backoff.RETRY
    if not kubelet.featureGates.get("KubeletCrashLoopBackOffMax", True):
        return usual
    asked = seconds(kubelet.crashLoopBackOff.maxContainerRestartPeriod)
    if reduced and asked == backoff.RETRY.cap_seconds:  # nobody has asked
        return usual
    return replace(usual, first_seconds=min(usual.first_seconds, asked), cap_seconds=asked)


async def start_pods(
    scope: Scope,
    runtimes: Runtimes,
    objects: Objects,
    services: PodServices,
    gate: AdmissionGate,
    resizes: Resizes,
    mirrors: Mirrors,
    orphans: OrphanCollector,
    port: ManagerHandle,
    metrics: AdmissionMetrics,
) -> PodManager:
    """Takes the pods that the sources bring, and follows the runtimes' events."""
    manager = PodManager(
        services=services,
        references=objects,
        admit=gate.admit,
        tasks=PodTasks(scope.tasks),
        mirrors=mirrors,
        allocations=resizes,
        on_gone=orphans.wake,
        judged=metrics.judged,
    )
    port.open(manager)
    for runtime in runtimes.registry:
        scope.loop(functools.partial(manager.follow, runtime), f"events of {runtime.handler}")
    return manager


def resize_rules(config: Config, limits: HostLimits) -> ResizeRules:
    return ResizeRules(
        static_cpu_manager=config.kubelet.cpuManagerPolicy == "static",
        static_memory_manager=config.kubelet.memoryManagerPolicy == "Static",
        limited_swap=limits.swap_controller and limits.limited_swap,
    )
