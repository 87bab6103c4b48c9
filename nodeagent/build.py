"""Parts of the agent made from its configuration: main's hands. One function a part; nothing here keeps state."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from lightkube.models.core_v1 import Node

from cni.default import DefaultNetwork
from nodeagent.api.certificates import serving_certificate
from nodeagent.api.client import ApiClient
from nodeagent.api.events import Events
from nodeagent.api.object_reads import CachedReads, DirectReads, ttl_seconds
from nodeagent.api.objects import ObjectCache, Objects
from nodeagent.api.tokens import Tokens
from nodeagent.apiserver import manifests
from nodeagent.cgroups.naming import CgroupfsNaming, SystemdNaming
from nodeagent.cgroups.pod_cgroups import PodCgroups
from nodeagent.cgroups.slices import NoSlices
from nodeagent.cgroups.systemd import SystemdSlices
from nodeagent.config import Config, RuntimeSettings
from nodeagent.config.kubelet import DEFAULT_EVICTION_HARD
from nodeagent.config.values import seconds
from nodeagent.container_logs.rotator import LogLimits
from nodeagent.images.access import Access, Everybody, PullRecords
from nodeagent.images.gc import GarbagePolicy, Store
from nodeagent.images.keyring import NodeKeyring
from nodeagent.images.providers.accounts import ApiAccounts, Identities
from nodeagent.images.providers.config import ProviderProblem, program_of, read_providers
from nodeagent.images.providers.keyring import NoProviders, PodKeyring, Provider, ProviderKeyring
from nodeagent.images.pulling import PullLimits
from nodeagent.images.verification import InvalidPattern, verification
from nodeagent.node.capacity import InvalidReservation, Limits, allocatable, capacity, check_reservations
from nodeagent.node.disk_pressure import DiskPressure
from nodeagent.node.facts import Machine
from nodeagent.node.registration import Registration
from nodeagent.node.status import NodeConfig
from nodeagent.pods.resize.decision import ResizeRules
from nodeagent.pods.translation.dns import DNSSettings, Resolver, parse_resolv_conf
from nodeagent.podspec.pod import API, FILE, HTTP
from nodeagent.podspec.pod_resources import HostLimits
from nodeagent.server.auth import Guard
from nodeagent.server.server import ServerSettings
from nodeagent.sources.file import FileSource
from nodeagent.sources.http import HttpSource
from nodeagent.sources.manifest import StaticRules
from nodeagent.sources.merger import PodMerger
from nodeagent.standalone import EmbeddedAPI
from nodeagent.tls_policy import TLSPolicy
from nodeagent.version import KUBERNETES_VERSION
from nodeagent.volumes.config_map import CONFIG_MAP
from nodeagent.volumes.downward_api import DownwardAPIPlugin
from nodeagent.volumes.empty_dir import EmptyDirPlugin
from nodeagent.volumes.host_path import HostPathPlugin
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.object_keys import ObjectKeysPlugin
from nodeagent.volumes.payload_budget import PayloadBudget
from nodeagent.volumes.projected import ProjectedPlugin
from nodeagent.volumes.secret import SECRET
from proto import cri_pb2 as cri
from runtimes.cri.factory import cri_runtime
from runtimes.errors import RuntimeFault, StateInUse, Unavailable
from runtimes.hollow.factory import hollow_runtime
from runtimes.kube import quantity
from runtimes.linux.cgroups.contract import CgroupLimits, Cgroups
from runtimes.linux.cgroups.units import cpu_shares
from runtimes.oci.config import OCIRuntimeConfig
from runtimes.oci.engine import OCIRuntime
from runtimes.oci.images.registries import Registries
from runtimes.oci.images.registries import Registry as ImageRegistry
from runtimes.oci.images.skopeo import SkopeoSettings
from runtimes.oci.images.store import DiskImageStore, StoreSettings
from runtimes.oci.network import CNINetwork, CNISettings
from runtimes.plugins import PluginContext, factories
from runtimes.registry import Registry, Runtime, RuntimeFactory, UnknownHandler

# What the node tells of itself: features whose wire formats this agent speaks.
DECLARED_FEATURES = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
)


START_AGAIN_SECONDS = 10.0
PODS = "pods"  # of enforceNodeAllocatable
DEBUG_VERBOSITY = 4

log = logging.getLogger(__name__)


class BuildError(Exception):
    """The configuration asks for something that cannot be made here; the text names the field."""


# -- runtimes ----------------------------------------------------------------------------------------------------------


def image_store(config: Config) -> DiskImageStore:
    """The store that all OCI handlers of one state dir share."""
    return DiskImageStore(config.options.state_dir / "images", StoreSettings(skopeo=skopeo_settings(config)))


def skopeo_settings(config: Config) -> SkopeoSettings:
    """How registries are reached, and the node's own logins for mirrors."""
    entries = tuple(
        ImageRegistry(
            prefix=host,
            insecure=settings.insecure,
            blocked=settings.blocked,
            certs_dir=Path(settings.certsDir) if settings.certsDir else None,
            mirrors=tuple(settings.mirrors),
        )
        for host, settings in config.agent.registries.items()
    )
    logins = NodeKeyring(config.options.root_dir)

    def mirror_login(repository: str) -> cri.AuthConfig | None:
        best = next(iter(logins.lookup(repository)), None)
        return None if best is None else cri.AuthConfig(username=best.username, password=best.password)

    return SkopeoSettings(registries=Registries(entries=entries), mirror_login=mirror_login)


async def runtimes(
    config: Config, stack: contextlib.AsyncExitStack
) -> tuple[Registry, DiskImageStore, tuple[Runtime, ...]]:
    """Make and start every configured runtime; `stack` stops them. Raises BuildError, RuntimeFault.

    The third of the answer: those that cannot be used as yet, for `start_later`. Without the default one there is no node.
    """
    if not config.agent.runtimes:
        raise BuildError("no OCI runtime was found on this machine: install runc or crun, or configure `runtimes`")
    store = image_store(config)
    await store.start()
    stack.push_async_callback(store.stop)
    network = CNINetwork(
        CNISettings(
            conf_dir=Path(config.agent.cni.confDir),
            bin_dirs=tuple(Path(folder) for folder in config.agent.cni.binDirs),
            cache_dir=Path(config.agent.cni.cacheDir),
        )
    )
    context: PluginContext = RuntimeContext(config, store, network)
    made: dict[str, Runtime] = {}
    late: list[Runtime] = []
    known = factories(BUILT_IN)
    for handler, settings in config.agent.runtimes.items():
        factory = known.get(settings.type)
        if factory is None:
            raise BuildError(f"runtimes.{handler}.type: {settings.type!r} is none of {', '.join(sorted(known))}")
        try:
            made[handler] = factory(handler, _settings(settings), context)
        except ValueError as error:
            raise BuildError(f"runtimes.{handler}: {error}") from error
        stack.push_async_callback(made[handler].lifecycle.stop)
        try:
            await made[handler].lifecycle.start()
        except Unavailable as error:
            if handler == config.agent.defaultRuntime or isinstance(error, StateInUse):
                raise
            log.error("runtime %s cannot be used: %s", handler, error)
            late.append(made[handler])
    try:
        return Registry(made, config.agent.defaultRuntime), store, tuple(late)
    except UnknownHandler as error:
        raise BuildError(f"defaultRuntime: {error}") from error


async def start_later(runtime: Runtime) -> None:
    """Try until it starts: somebody installs or mends its program. Meanwhile its verbs say why it is down."""
    while True:
        await asyncio.sleep(START_AGAIN_SECONDS)
        try:
            await runtime.lifecycle.start()
        except RuntimeFault as error:
            log.debug("runtime %s still cannot be used: %s", runtime.handler, error)
        else:
            log.info("runtime %s can be used now", runtime.handler)
            return


class RuntimeContext:
    """What runtime factories may use of the agent: a `PluginContext`."""

    def __init__(self, config: Config, store: DiskImageStore, network: CNINetwork) -> None:
        self.config = config
        self.images = store
        self.network = network

    @property
    def cgroup_driver(self) -> Literal["cgroupfs", "systemd"]:
        return "systemd" if self.config.kubelet.cgroupDriver == "systemd" else "cgroupfs"

    def state_dir(self, handler: str) -> Path:
        return self.config.options.state_dir / "runtimes" / handler

    def run_dir(self, handler: str) -> Path:
        return self.config.options.run_dir / handler

    def oci(self, handler: str, settings: Mapping[str, Any]) -> Runtime:
        return oci_runtime(handler, settings, self)


def oci_runtime(handler: str, settings: Mapping[str, object], context: RuntimeContext) -> Runtime:
    """The factory of runtimes of type `oci`. Raises ValueError."""
    given = RuntimeSettings(**settings)  # type: ignore[arg-type]  # the loader has checked names and types
    if not given.path.startswith("/"):
        raise ValueError("path: needs the absolute path of the runtime's program")
    defaults = OCIRuntimeConfig.for_handler(handler, given.path)
    config = OCIRuntimeConfig(
        name=handler,
        path=given.path,
        global_args=tuple(given.args),
        infra_container=given.infraContainer,  # type: ignore[arg-type]  # one of three words, the loader has checked
        state_dir=context.state_dir(handler),
        run_dir=context.run_dir(handler),
        conmon_path=context.config.agent.conmon or defaults.conmon_path,
        cgroup_driver=context.cgroup_driver,
        conmon_cgroup=f"{context.config.kubelet.cgroupRoot.rstrip('/')}/nodeagent-conmon",
        annotations=tuple(given.annotations.items()),
        pod_annotations=tuple(given.podAnnotations),
    )
    engine = OCIRuntime(config=config, images=context.images, network=context.network)
    return Runtime(
        handler=handler,
        service=engine,
        images=context.images,
        lifecycle=engine,
        streaming=engine,
        cri_handler=handler,
        display_name=handler,
    )


BUILT_IN: dict[str, RuntimeFactory] = {"oci": oci_runtime, "cri": cri_runtime, "hollow": hollow_runtime}


def _settings(settings: RuntimeSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


# -- sources -----------------------------------------------------------------------------------------------------------


def source_names(config: Config, client: ApiClient | None) -> list[str]:
    """The configured sources; before each of them has spoken, nothing is killed for being unknown."""
    configured = {API: client is not None, FILE: config.kubelet.staticPodPath, HTTP: config.kubelet.staticPodURL}
    return [name for name, given in configured.items() if given]


def static_sources(config: Config, merger: PodMerger) -> list[tuple[str, FileSource | HttpSource]]:
    kubelet = config.kubelet
    found: list[tuple[str, FileSource | HttpSource]] = []
    if kubelet.staticPodPath:
        rules = static_rules(config, tolerate=True)
        rescan_seconds = seconds(kubelet.fileCheckFrequency)
        source = FileSource(Path(kubelet.staticPodPath), merger, rules, rescan_seconds=rescan_seconds)
        found.append((FILE, source))
    if kubelet.staticPodURL:
        rules = static_rules(config, tolerate=False)
        period_seconds = seconds(kubelet.httpCheckFrequency)
        headers = kubelet.staticPodURLHeader
        found.append(
            (HTTP, HttpSource(kubelet.staticPodURL, merger, rules, headers=headers, period_seconds=period_seconds))
        )
    return found


def static_rules(config: Config, *, tolerate: bool) -> StaticRules:
    return StaticRules(
        node_name=config.node_name, read=manifests.read_pod, prepare=manifests.prepare_pod, tolerate=tolerate
    )


# -- HTTPS endpoint ----------------------------------------------------------------------------------------------------


def server_settings(config: Config, host_ips: Sequence[str], embedded: EmbeddedAPI | None) -> ServerSettings:
    """Raises CertificateError."""
    kubelet = config.kubelet
    certificate, key = Path(kubelet.tlsCertFile), Path(kubelet.tlsPrivateKeyFile)
    if not kubelet.tlsCertFile:
        pair = serving_certificate(config.options.root_dir / "pki", config.node_name, host_ips)
        certificate, key = pair.certificate, pair.key
    client_ca = Path(kubelet.authentication.x509.clientCAFile) if kubelet.authentication.x509.clientCAFile else None
    if client_ca is None and embedded is not None:
        client_ca = embedded.client_ca
    return ServerSettings(
        address=kubelet.address,
        port=kubelet.port,
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        tls=TLSPolicy.of(config),
        health_address=kubelet.healthzBindAddress,
        health_port=kubelet.healthzPort,
        debugging_handlers=kubelet.enableDebuggingHandlers,
        streaming_idle_seconds=seconds(kubelet.streamingConnectionIdleTimeout),
        pod_logs_dir=config.pod_logs_dir,
        read_only_port=kubelet.readOnlyPort,
        system_logs=kubelet.enableSystemLogHandler,
        profiling=kubelet.enableProfilingHandler,
        debug_flags=kubelet.enableDebugFlagsHandler,
    )


def guard(config: Config, client: ApiClient | None) -> Guard:
    kubelet = config.kubelet
    return Guard(
        client,
        node_name=config.node_name,
        always_allow=kubelet.authorization.mode == "AlwaysAllow",
        webhook_authentication=kubelet.authentication.webhook.enabled,
        token_seconds=seconds(kubelet.authentication.webhook.cacheTTL),
        allowed_seconds=seconds(kubelet.authorization.webhook.cacheAuthorizedTTL),
        denied_seconds=seconds(kubelet.authorization.webhook.cacheUnauthorizedTTL),
        anonymous=kubelet.authentication.anonymous.enabled,
    )


# -- volumes -----------------------------------------------------------------------------------------------------------


def objects(
    config: Config,
    client: ApiClient,
    stack: contextlib.AsyncExitStack,
    *,
    changed: Callable[[str], None],
    node: Callable[[], Node | None],
) -> Objects:
    """The pods' secrets and config maps, by the strategy that the configuration names."""
    match config.kubelet.configMapAndSecretChangeDetectionStrategy:
        case "Get":
            return DirectReads(client)
        case "Cache":
            return CachedReads(client, lambda: ttl_seconds(node()))
        case _:
            watched = ObjectCache(client, changed=changed)
            stack.push_async_callback(watched.close)
            return watched


def volumes(
    config: Config,
    objects: Objects,
    tokens: Tokens,
    events: Events,
    allocatable_now: Callable[[], Mapping[str, str]],
) -> VolumeManager:
    layout = Layout(config.options.root_dir)
    budget = PayloadBudget()
    plugins = (
        EmptyDirPlugin(layout, allocatable_now),
        HostPathPlugin(),
        ObjectKeysPlugin(CONFIG_MAP, layout, allocatable_now, objects, budget),
        ObjectKeysPlugin(SECRET, layout, allocatable_now, objects, budget),
        DownwardAPIPlugin(layout, allocatable_now, budget),
        ProjectedPlugin(layout, allocatable_now, objects, tokens, budget),
    )
    return VolumeManager(layout=layout, plugins=plugins, events=events)


def default_network(config: Config) -> DefaultNetwork:
    """What standalone mode writes into an empty conf dir."""
    cni = config.agent.cni
    return DefaultNetwork(
        name=cni.networkName,
        bridge=cni.bridge,
        subnet=cni.subnet,
        ipam_dir=Path(cni.ipamDir) if cni.ipamDir else None,
    )


# -- resources ---------------------------------------------------------------------------------------------------------


def node_limits(config: Config) -> Limits:
    kubelet = config.kubelet
    return Limits(
        max_pods=kubelet.maxPods,
        pods_per_core=kubelet.podsPerCore,
        system_reserved=kubelet.systemReserved,
        kube_reserved=kubelet.kubeReserved,
        eviction_hard=DEFAULT_EVICTION_HARD if kubelet.evictionHard is None else kubelet.evictionHard,
    )


def disk_pressure(config: Config, limits: Limits) -> DiskPressure:
    folders = (("nodefs", config.options.root_dir), ("imagefs", config.options.state_dir))
    transition_seconds = seconds(config.kubelet.evictionPressureTransitionPeriod)
    return DiskPressure(folders, limits.eviction_hard, transition_seconds=transition_seconds, now=time.monotonic)


def allocatable_of(machine: Machine, limits: Limits, storage_bytes: int) -> dict[str, str]:
    """Raises BuildError when more is reserved than there is."""
    total = capacity(machine, limits, storage_bytes, {})
    try:
        check_reservations(total, limits)
    except InvalidReservation as error:
        raise BuildError(str(error)) from error
    return allocatable(total, limits, {})


def host_limits(config: Config, machine: Machine, cgroups: Cgroups) -> HostLimits:
    kubelet = config.kubelet
    v2 = cgroups.version == 2
    single = not v2 if kubelet.singleProcessOOMKill is None else kubelet.singleProcessOOMKill
    return HostLimits(
        memory_capacity_bytes=machine.memory_bytes,
        cgroup_v2=v2,
        huge_page_sizes=cgroups.huge_page_sizes,
        cpu_period_us=int(seconds(kubelet.cpuCFSQuotaPeriod) * 1_000_000),
        cpu_cfs_quota=kubelet.cpuCFSQuota,
        single_process_oom_kill=single,
        swap_controller=v2 and machine.swap_bytes > 0,
        swap_capacity_bytes=machine.swap_bytes,
        pod_pids_limit=kubelet.podPidsLimit,
    )


def pod_cgroups(config: Config, cgroups: Cgroups) -> PodCgroups:
    root = tuple(part for part in config.kubelet.cgroupRoot.split("/") if part)
    naming = SystemdNaming() if config.kubelet.cgroupDriver == "systemd" else CgroupfsNaming()
    slices = SystemdSlices(cgroups.version) if config.kubelet.cgroupDriver == "systemd" else NoSlices()
    return PodCgroups(cgroups, root=root, naming=naming, slices=slices)


def node_cgroup_limits(config: Config, machine: Machine) -> CgroupLimits:
    """What `kubepods` may use: capacity less what is reserved, without the eviction threshold (facts 2.3, 4.3).

    Unless that is not to be enforced: then there is no limit, also where an agent before has written one.
    """
    if PODS not in config.kubelet.enforceNodeAllocatable:
        return CgroupLimits(cpu_shares=cpu_shares(machine.cpus * 1000), memory_limit_bytes=-1, pids_limit=-1)
    reserved = (config.kubelet.systemReserved, config.kubelet.kubeReserved)
    milli = machine.cpus * 1000 - sum(quantity.milli(item.get("cpu", "0")) for item in reserved)
    memory_bytes = machine.memory_bytes - sum(quantity.value(item.get("memory", "0")) for item in reserved)
    pids = machine.max_pids - sum(quantity.value(item.get("pid", "0")) for item in reserved)
    return CgroupLimits(
        cpu_shares=cpu_shares(milli), memory_limit_bytes=memory_bytes, pids_limit=pids if machine.max_pids else None
    )


def reserved_cgroup_limits(config: Config) -> dict[str, CgroupLimits]:
    """The cgroups of the system and of the agent that are held to what is reserved for them; they must exist."""
    kubelet = config.kubelet
    found: dict[str, CgroupLimits] = {}
    for kind, cgroup, reserved in (
        ("system-reserved", kubelet.systemReservedCgroup, kubelet.systemReserved),
        ("kube-reserved", kubelet.kubeReservedCgroup, kubelet.kubeReserved),
    ):
        shares = cpu_shares(quantity.milli(reserved["cpu"])) if "cpu" in reserved else None
        if f"{kind}-compressible" in kubelet.enforceNodeAllocatable:
            found[cgroup] = CgroupLimits(cpu_shares=shares)
        elif kind in kubelet.enforceNodeAllocatable:
            found[cgroup] = CgroupLimits(
                cpu_shares=shares,
                memory_limit_bytes=quantity.value(reserved["memory"]) if "memory" in reserved else None,
                pids_limit=quantity.value(reserved["pid"]) if "pid" in reserved else None,
            )
    return found


def refuse_swap(config: Config, swaps: Path = Path("/proc/swaps")) -> None:
    """Raises BuildError where swap is on and the configuration does not allow it."""
    if not config.kubelet.failSwapOn:
        return
    try:
        devices = [line.split()[0] for line in swaps.read_text().splitlines()[1:] if line.strip()]
    except OSError:
        return  # a kernel without swap
    if devices:
        raise BuildError(
            f"running with swap on is not supported ({', '.join(devices)}): turn it off (swapoff -a), or set failSwapOn to "
            "false in the KubeletConfiguration"
        )


def logging_of(config: Config) -> tuple[str, str]:
    """(level, format): what the command line says, else what the file says. Verbosity 4 and above is debugging, as upstream."""
    level = "debug" if config.kubelet.logging.verbosity >= DEBUG_VERBOSITY else "info"
    return config.options.log_level or level, config.options.log_format or config.kubelet.logging.format


def dns_settings(config: Config, node_ips: tuple[str, ...]) -> DNSSettings:
    """As of now: the host's resolver file may change while the agent runs. An unreadable one counts as empty."""
    path = config.kubelet.resolvConf
    host: Resolver | None = None
    if path:
        try:
            host = parse_resolv_conf(Path(path).read_text(errors="replace"))
        except OSError:
            host = Resolver()
    return DNSSettings(
        cluster_dns=tuple(config.kubelet.clusterDNS),
        cluster_domain=config.kubelet.clusterDomain,
        host=host,
        node_ips=node_ips,
    )


def image_stores(registry: Registry) -> list[Store]:
    """Every image store of the node once, with the runtimes that live from it."""
    by_store: dict[int, list[Runtime]] = {}
    for runtime in registry:
        by_store.setdefault(id(runtime.images), []).append(runtime)
    return [
        Store(images=users[0].images, runtimes=tuple(runtime.service for runtime in users))
        for users in by_store.values()
    ]


def garbage_policy(config: Config) -> GarbagePolicy:
    kubelet = config.kubelet
    return GarbagePolicy(
        high_percent=kubelet.imageGCHighThresholdPercent,
        low_percent=kubelet.imageGCLowThresholdPercent,
        minimum_age_seconds=seconds(kubelet.imageMinimumGCAge),
        maximum_age_seconds=seconds(kubelet.imageMaximumGCAge),
    )


def log_limits(config: Config) -> LogLimits:
    kubelet = config.kubelet
    return LogLimits(
        max_bytes=quantity.value(kubelet.containerLogMaxSize),
        max_files=kubelet.containerLogMaxFiles,
        workers=kubelet.containerLogMaxWorkers,
        interval_seconds=seconds(kubelet.containerLogMonitorInterval),
    )


def pull_limits(config: Config) -> PullLimits:
    kubelet = config.kubelet
    parallel = 1 if kubelet.serializeImagePulls else kubelet.maxParallelImagePulls
    return PullLimits(max_parallel=parallel, qps=float(kubelet.registryPullQPS), burst=kubelet.registryBurst)


def pull_records(config: Config) -> Access:
    """Who may use an image that is there already. Raises BuildError."""
    kubelet = config.kubelet
    if not kubelet.featureGates.get("KubeletEnsureSecretPulledImages", True):
        return Everybody()
    try:
        rule = verification(
            kubelet.imagePullCredentialsVerificationPolicy, kubelet.preloadedImagesVerificationAllowlist
        )
    except InvalidPattern as error:
        raise BuildError(f"preloadedImagesVerificationAllowlist: {error}") from error
    return PullRecords(config.options.root_dir, rule)


def credential_providers(config: Config, client: ApiClient | None, tokens: Tokens) -> PodKeyring:
    """The programs that know logins. Raises BuildError: an agent with a wrong configuration does not start, as upstream."""
    path = config.options.image_credential_provider_config or config.agent.imageCredentialProviderConfig
    bin_dir = config.options.image_credential_provider_bin_dir or config.agent.imageCredentialProviderBinDir
    if not path or not bin_dir:
        if path or bin_dir:
            raise BuildError("imageCredentialProviderConfig and imageCredentialProviderBinDir go together")
        return NoProviders()
    identities = Identities(ApiAccounts(client) if client is not None else None, tokens)
    try:
        found = [(settings, program_of(settings, Path(bin_dir))) for settings in read_providers(Path(path))]
    except ProviderProblem as problem:
        raise BuildError(f"image credential providers: {problem}") from problem
    return ProviderKeyring([Provider(settings, program, identities) for settings, program in found])


# -- node --------------------------------------------------------------------------------------------------------------


def node_config(config: Config, machine: Machine, limits: Limits) -> NodeConfig:
    return NodeConfig(
        name=config.node_name,
        machine=machine,
        version=KUBERNETES_VERSION,
        port=config.kubelet.port,
        limits=limits,
        max_images=config.kubelet.nodeStatusMaxImages,
        declared_features=DECLARED_FEATURES,
        cfs_quota=config.kubelet.cpuCFSQuota,
    )


def registration(config: Config, machine: Machine, hostname: str) -> Registration:
    return Registration(
        name=config.node_name,
        hostname=hostname,
        machine=machine,
        labels=dict(config.options.node_labels),
        taints=tuple(config.kubelet.registerWithTaints),
        provider_id=config.kubelet.providerID,
    )


def kernel_version(machine: Machine) -> tuple[int, int]:
    """(6, 1) of "6.1.0-13-amd64"; (0, 0) for what cannot be read."""
    parts = machine.kernel_version.split(".")
    try:
        return (int(parts[0]), int(parts[1].split("-")[0]))
    except (IndexError, ValueError):
        return (0, 0)


@lru_cache(maxsize=1)
def apparmor_error() -> str:
    """Why AppArmor cannot be enforced here; empty: it can."""
    try:
        enabled = Path("/sys/module/apparmor/parameters/enabled").read_text().strip() == "Y"
    except OSError:
        enabled = False
    return "" if enabled else "AppArmor is not enabled on the host"


def seconds_of(text: str) -> float:
    return seconds(text)


def resize_rules(host: HostLimits) -> ResizeRules:
    return ResizeRules(
        # whatever the policies say: this agent pins no CPUs and no memory, so nothing stands in the way of a resize
        static_cpu_manager=False,
        static_memory_manager=False,
        limited_swap=host.swap_controller and host.limited_swap,
    )


def crash_backoff_cap_seconds(config: Config) -> float:
    return seconds(config.kubelet.crashLoopBackOff.maxContainerRestartPeriod)
