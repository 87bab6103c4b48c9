"""The engine that takes pods up and down: its steps, with what each of them works with."""

from dataclasses import dataclass
from pathlib import Path

from nodeagent.api.cluster import InformedCluster, NoCluster
from nodeagent.api.events import Events
from nodeagent.api.objects import Objects
from nodeagent.assembly.cluster_dns import ClusterDNS
from nodeagent.assembly.host import Host
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.config import Config
from nodeagent.errors import AgentStartError
from nodeagent.folders import Folders
from nodeagent.images.manager import ImageManager
from nodeagent.metrics.starts import StartMetrics
from nodeagent.metrics.steps import StepMetrics, StepsUnderWay
from nodeagent.node.monitor import RuntimeMonitor
from nodeagent.node.state import NodeState
from nodeagent.pods.dead_containers import DeadContainers
from nodeagent.pods.hooks import LifecycleHooks
from nodeagent.pods.id_pool import InvalidPool, find_pool
from nodeagent.pods.images import PodImages
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.pods.network_readiness import NetworkReadiness
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.runtime_classes import PodHandlers, RuntimeClassResolver
from nodeagent.pods.steps import pod_gates, pod_steps
from nodeagent.pods.steps.cgroup import CgroupStep
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.pods.terminator import Terminator
from nodeagent.pods.translation.configs import PodConfigs
from nodeagent.pods.translation.dns import DNSSettings, Resolver, parse_resolv_conf
from nodeagent.pods.translation.node_settings import NodeSettings
from nodeagent.pods.translation.resources import HostLimits
from nodeagent.pods.translation.security import SecuritySettings, thermal_throttle_paths
from nodeagent.pods.user_namespaces import UserNamespaces
from nodeagent.resources.assignments import Assignments
from nodeagent.resources.cpu.manager import CPUManager
from nodeagent.resources.dra.manager import DRAManager
from nodeagent.tracing.tracer import Tracer
from nodeagent.volumes.manager import VolumeManager


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLifecycle:
    """What acts on one container beside the steps: its hooks, who stops it by its pod's rules, who removes it when it is dead."""

    hooks: LifecycleHooks
    terminator: Terminator
    dead: DeadContainers


async def start_paths(scope: Scope, config: Config, folders: Folders) -> PodPaths:
    """Where pods' files are."""
    return PodPaths(
        root_dir=folders.root,
        pod_logs_dir=config.pod_logs_dir,
        container_logs_dir=config.options.container_logs_dir,
    )


async def start_container_lifecycle(scope: Scope, events: Events, paths: PodPaths) -> ContainerLifecycle:
    """For the steps and the supervisors alike."""
    hooks = LifecycleHooks(events)
    return ContainerLifecycle(hooks=hooks, terminator=Terminator(hooks, events), dead=DeadContainers(paths))


async def start_cgroup_step(
    scope: Scope, cgroups: PodCgroups, limits: HostLimits, pods: ManagerHandle, cpus: CPUManager, events: Events
) -> CgroupStep:
    """The pods' cgroups as one of their steps."""
    return CgroupStep(cgroups, limits, pods.active_pods, events, lambda uid: bool(cpus.exclusive(uid)))


async def start_user_namespaces(
    scope: Scope, config: Config, folders: Folders, monitor: RuntimeMonitor, resolver: RuntimeClassResolver
) -> UserNamespaces:
    """Ranges of ids for pods with users of their own. Raises AgentStartError."""
    try:
        pool = await find_pool(per_pod=config.kubelet.userNamespaces.idsPerPod, max_pods=config.kubelet.maxPods)
    except InvalidPool as error:
        raise AgentStartError(f"no ids for user namespaces of pods: {error}") from error
    handlers = PodHandlers(resolver, monitor.handler)
    return UserNamespaces(folders.root, pool, handlers.user_namespaces)


async def start_runtime_classes(
    scope: Scope, runtimes: Runtimes, cluster: InformedCluster | None
) -> RuntimeClassResolver:
    """Resolves a pod's RuntimeClass to its runtime."""
    return RuntimeClassResolver(runtimes.registry, (cluster or NoCluster()).runtime_class)


async def start_engine(
    scope: Scope,
    host: Host,
    events: Events,
    objects: Objects,
    paths: PodPaths,
    settings: NodeSettings,
    cgroup: CgroupStep,
    user_namespaces: UserNamespaces,
    volumes: VolumeManager,
    images: ImageManager,
    lifecycle: ContainerLifecycle,
    monitor: RuntimeMonitor,
    assignments: Assignments,
    claims: DRAManager,
    tracer: Tracer,
) -> StepEngine:
    """The steps of a pod, in the order of `pods.steps`."""
    networks = NetworkReadiness(monitor.network_problem)
    steps = pod_steps(
        paths=paths,
        cgroup=cgroup,
        user_namespaces=user_namespaces,
        volumes=volumes,
        configs=PodConfigs(settings, objects, events, paths),
        images=PodImages(images, objects, events),
        claims=claims,
        resources=assignments,
        hooks=lifecycle.hooks,
        terminator=lifecycle.terminator,
        events=events,
        networks=networks,
        observer=StartMetrics(host.metrics),
    )
    gates = pod_gates(networks=networks, claims=claims)
    engine = StepEngine(steps, gates=gates, observers=(StepMetrics(host.metrics).ended,), tracer=tracer)
    host.metrics.register(StepsUnderWay(engine.under_way))
    return engine


async def start_node_settings(
    scope: Scope,
    config: Config,
    folders: Folders,
    limits: HostLimits,
    state: NodeState,
    user_namespaces: UserNamespaces,
    monitor: RuntimeMonitor,
    cluster: InformedCluster | None,
    cluster_dns: ClusterDNS | None,
) -> NodeSettings:
    """The node's part in every pod's configuration."""
    return NodeSettings(
        dns=lambda: dns_settings(config, state.host_ips, cluster_dns),
        security=SecuritySettings(
            seccomp_dir=folders.seccomp,
            seccomp_default=config.kubelet.seccompDefault,
            masked_paths=thermal_throttle_paths(),
        ),
        host=limits,
        host_ips=lambda: state.host_ips,
        allocatable=lambda: state.allocatable,
        services=(cluster or NoCluster()).services_of,
        user_namespace=user_namespaces.of,
        features=monitor.handler,
    )


def dns_settings(config: Config, node_ips: tuple[str, ...], own: ClusterDNS | None = None) -> DNSSettings:
    """As of now: the host's resolver file may change while the agent runs. An unreadable one counts as empty."""
    path = config.kubelet.resolvConf
    host: Resolver | None = None
    if path:
        try:
            host = parse_resolv_conf(Path(path).read_text(errors="replace"))
        except OSError:
            host = Resolver()
    return DNSSettings(
        cluster_dns=(own.address,) if own is not None else tuple(config.kubelet.clusterDNS),
        cluster_domain=own.domain if own is not None else config.kubelet.clusterDomain,
        host=host,
        node_ips=node_ips,
        expected=not config.options.standalone,
    )
