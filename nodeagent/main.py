"""The agent put together: the only place that constructs things.

    config ─> embedded API (standalone) ─> API client, informers ─> runtimes, images, volumes, cgroups ─> pod engine
           ─> node (registration, status, lease) ─> sources ─> the node's HTTPS endpoint

Components start in this order and stop in reverse. Stopping the agent never stops a pod.
"""

import asyncio
import contextlib
import fcntl
import functools
import gc
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
import uvloop
from lightkube.models.core_v1 import Node, NodeAddress, Service
from lightkube.models.node_v1 import RuntimeClass

from cni.default import write_default
from nodeagent import build, cri_server, descriptors, logs
from nodeagent.api import kubeconfig
from nodeagent.api.certificates import CertificateError, keep_serving_certificate
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.events import EventRecorder, Events, LoggingEvents, NodeEvents, node_reference
from nodeagent.api.informer import Informer
from nodeagent.api.objects import Objects, StaticOnly
from nodeagent.api.outage import NO_ANSWER, Outage
from nodeagent.api.tokens import NoTokens, TokenManager
from nodeagent.config import Config
from nodeagent.container_logs.rotator import LogRotator
from nodeagent.enduring import enduring
from nodeagent.failures import leaves, one_line, unforeseen
from nodeagent.images.gc import ImageGarbage
from nodeagent.images.keyring import NodeKeyring
from nodeagent.images.manager import ImageManager
from nodeagent.node import kernel_defaults, safety
from nodeagent.node.addresses import NoNodeAddress, node_addresses, node_ips
from nodeagent.node.facts import read_machine
from nodeagent.node.firewall import Firewall
from nodeagent.node.kernel_defaults import UnprotectedKernel
from nodeagent.node.lease import LeaseRenewer
from nodeagent.node.monitor import RuntimeMonitor
from nodeagent.node.publisher import NodeInputs, NodePublisher
from nodeagent.node.registration import Registrar
from nodeagent.node.remarks import remarks
from nodeagent.node.status import DECLARED_FEATURES, Handler
from nodeagent.pods.admission.gate import AdmissionGate
from nodeagent.pods.admission.rules import NodeView, admit
from nodeagent.pods.dead_containers import DeadContainers
from nodeagent.pods.hooks import LifecycleHooks
from nodeagent.pods.id_pool import InvalidPool, find_pool
from nodeagent.pods.images import PodImages, volume_images
from nodeagent.pods.killing import Killer
from nodeagent.pods.manager import PodManager
from nodeagent.pods.mirrors import MirrorKeeper, Mirrors, NoMirrors
from nodeagent.pods.network_readiness import NetworkReadiness
from nodeagent.pods.orphans import OrphanCollector
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.probing import ProbeManager
from nodeagent.pods.resize.actuation import Actuator
from nodeagent.pods.resize.checkpoint import CorruptCheckpoint
from nodeagent.pods.resize.feature import InPlaceResize
from nodeagent.pods.resize.records import ResizeRecords
from nodeagent.pods.resize.resizes import Resizes
from nodeagent.pods.resource_claims import ResourceClaims
from nodeagent.pods.rules.model import NodeAddresses
from nodeagent.pods.runtime_classes import RuntimeClassResolver
from nodeagent.pods.services import PodServices, UnknownRuntime
from nodeagent.pods.status.writer import NoStatuses, StatusSink, StatusWriter
from nodeagent.pods.steps import pod_gates, pod_steps
from nodeagent.pods.steps.cgroup import Cgroup
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.pods.translation.configs import PodConfigs
from nodeagent.pods.translation.node_settings import NodeSettings
from nodeagent.pods.translation.security import SecuritySettings, thermal_throttle_paths
from nodeagent.pods.upkeep import Upkeep
from nodeagent.pods.user_namespaces import UserNamespaces
from nodeagent.podspec.pod import AgentPod
from nodeagent.podspec.pod_resources import HostLimits
from nodeagent.server.server import NodeServer
from nodeagent.sources.api import BLIND_SECONDS, ApiSource
from nodeagent.sources.merger import PodChange, PodMerger
from nodeagent.sources.mirror import MirrorPods
from nodeagent.standalone import APINotStarted, EmbeddedAPI, EmbeddedAPISettings
from nodeagent.stats.handlers import StatsHandlers
from nodeagent.stats.node import NodeReader
from nodeagent.stats.pods import PodReader
from nodeagent.stats.probes import ProbeMetrics
from nodeagent.tls_policy import TLSPolicy
from nodeagent.volumes.propagation import shared_root
from runtimes.errors import RuntimeFault
from runtimes.linux.cgroups.contract import CgroupError
from runtimes.linux.cgroups.detect import detect as detect_cgroups

log = logging.getLogger(__name__)

EMBEDDED_QPS = 1000
GC_THRESHOLDS = (
    50_000,
    20,
    100,
)  # looking for cycles at the default 700 took a tenth of the agent's time; there are few
NODE_READ_SECONDS = 10.0


class StartError(Exception):
    """The agent cannot run here; one line for the operator, with the way out."""


def run(config: Config) -> int:
    """Run the agent until SIGTERM or SIGINT; the process's exit status."""
    logs.configure(*build.logging_of(config))
    descriptors.raise_limit(config.kubelet.maxOpenFiles)
    _tell_idle(config)
    for remark in remarks(config):
        log.warning("%s", remark)
    up = asyncio.Event()
    try:
        uvloop.run(_run(config, up))
    except Exception as error:
        _tell(error, up=up.is_set())
        return 1
    return 0


def _tell_idle(config: Config) -> None:
    """Fields that are accepted and do nothing: somebody may rely on them."""
    for level, promise, text in ((logging.WARNING, True, "not in force"), (logging.INFO, False, "without effect here")):
        if idle := [str(each) for each in config.not_in_force if each.promise is promise]:
            log.log(level, "accepted in the configuration, and %s: %s", text, "; ".join(idle))


# What an operator, or the machine, can be the cause of: told as it is.
FORESEEN = (
    StartError,
    APINotStarted,
    CertificateError,
    CorruptCheckpoint,
    NoNodeAddress,
    kubeconfig.KubeconfigError,
    RuntimeFault,
    UnprotectedKernel,
    build.BuildError,
    OSError,
)


def _tell(error: Exception, *, up: bool) -> None:
    """One line for each thing that went wrong. The traceback: at debug level; and where a running agent dies of a fault."""
    foreseen = True
    for each in leaves(error):
        foreseen = foreseen and isinstance(each, FORESEEN)
        log.error("%s", one_line(each) if isinstance(each, FORESEEN) else unforeseen(each))
    log.log(logging.ERROR if up and not foreseen else logging.DEBUG, "the traceback:", exc_info=error)


async def _run(config: Config, up: asyncio.Event) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        agent = Agent(config, stack)
        await agent.start()
        gc.collect()
        gc.freeze()  # what exists now lives as long as the agent
        gc.set_threshold(*GC_THRESHOLDS)
        log.info("node %s is up", config.node_name)
        up.set()
        await stop.wait()
        log.info("stopping; pods keep running")


class Agent:
    """Everything, in the order it is made. `stack` takes it down in reverse."""

    def __init__(self, config: Config, stack: contextlib.AsyncExitStack) -> None:
        self.config = config
        self._stack = stack
        self._allocatable: Mapping[str, str] = {}
        self._host_ips: tuple[str, ...] = ()
        self._looked_for_orphans = False
        self.api_source: ApiSource | None = None
        self._addressing = Outage("addresses of this node")

    async def start(self) -> None:
        config = self.config
        build.refuse_swap(config)
        kernel_defaults.hold(protect=config.kubelet.protectKernelDefaults)
        build.credential_providers(config, None, NoTokens())  # a wrong configuration is told before anything is made
        _make_folders(config)
        _own(config, self._stack)
        self._stack.enter_context(shared_root(config.options.root_dir))
        self._host_ips = tuple(str(ip) for ip in await node_ips(config.node_name, config.options.node_ip))
        self.machine = read_machine()
        self.limits = build.node_limits(config)
        self.storage_bytes = psutil.disk_usage(str(config.options.root_dir)).total
        self._allocatable = build.allocatable_of(self.machine, self.limits, self.storage_bytes)
        client = await self._connect()
        self.registry, self.store, late = await build.runtimes(config, self._stack)
        tasks = await self._stack.enter_async_context(_task_group())
        self._pod_tasks = PodTasks(await self._stack.enter_async_context(_task_group()))
        for runtime in late:
            tasks.create_task(build.start_later(runtime), name=f"start of {runtime.handler}")
        tasks.create_task(safety.tell(config, self.registry), name="safety")
        self._start_api_parts(client, tasks)
        await self._start_pods(client, tasks)
        if client is not None:
            # beside the rest: static pods run, and adopted ones are kept, while the API cannot be reached
            tasks.create_task(self._join_cluster(client, tasks), name="registration")
        await self._start_sources(client, tasks)
        await self._start_server(client, tasks)
        await self._start_cri_server()

    # -- API -----------------------------------------------------------------------------------------------------------

    async def _connect(self) -> ApiClient | None:
        """The client of the API that the options name; None for an agent that only runs static pods."""
        config = self.config
        path = config.options.kubeconfig
        self.embedded: EmbeddedAPI | None = None
        if config.options.standalone:
            write_default(Path(config.agent.cni.confDir), build.default_network(config))
            self.embedded = EmbeddedAPI(
                EmbeddedAPISettings(
                    state_dir=config.options.state_dir,
                    node_name=config.node_name,
                    address=config.agent.apiServer.address,
                    port=config.agent.apiServer.port,
                    tls=TLSPolicy.of(config),
                )
            )
            await self.embedded.start()
            self._stack.push_async_callback(self.embedded.stop)
            path = self.embedded.node_kubeconfig
        if path is None:
            log.warning("no API endpoint is configured (--kubeconfig or --standalone): only static pods run")
            return None
        qps, burst = config.kubelet.kubeAPIQPS, config.kubelet.kubeAPIBurst
        if self.embedded is not None:
            # an API of this node alone has nobody to be protected for; the limits of a cluster would only delay its pods
            qps, burst = max(qps, EMBEDDED_QPS), max(burst, EMBEDDED_QPS)
        client = ApiClient(kubeconfig.load(path), qps=qps, burst=burst)
        return await self._stack.enter_async_context(client)

    def _start_api_parts(self, client: ApiClient | None, tasks: asyncio.TaskGroup) -> None:
        """Events, objects, tokens and the informers that configurations are made from."""
        config = self.config
        self.events: Events = LoggingEvents()
        self.objects: Objects = StaticOnly()
        self.tokens: TokenManager | NoTokens = NoTokens()
        self.node_informer: Informer[Node] | None = None
        self.services: Informer[Service] | None = None
        self.runtime_classes: Informer[RuntimeClass] | None = None
        if client is None:
            return
        if self.embedded is not None:
            tasks.create_task(enduring(self.embedded.watch, "embedded API"), name="embedded API")
        recorder = EventRecorder(
            client.sharing(qps=config.kubelet.eventRecordQPS or -1, burst=config.kubelet.eventBurst), config.node_name
        )
        tasks.create_task(enduring(recorder.run, "events"), name="events")
        self.events = recorder
        self.objects = build.objects(
            config, client, self._stack, changed=lambda uid: self.pods.refresh(uid), node=lambda: self._node()
        )
        self.tokens = TokenManager(client)
        self.node_informer = Informer(client, Node, field_selector=f"metadata.name={config.node_name}")
        self.services = Informer(client, Service, field_selector="spec.clusterIP!=None")
        self.runtime_classes = Informer(client, RuntimeClass, absent_is_empty=True)
        for informer in (self.node_informer, self.services, self.runtime_classes):
            tasks.create_task(enduring(informer.run, "informer"), name="informer")

    # -- pods ----------------------------------------------------------------------------------------------------------

    async def _start_pods(self, client: ApiClient | None, tasks: asyncio.TaskGroup) -> None:
        config, events = self.config, self.events
        self.monitor = RuntimeMonitor(self.registry)
        await self.monitor.look()
        tasks.create_task(enduring(self.monitor.run, "runtime monitor"), name="runtime monitor")
        if config.kubelet.makeIPTablesUtilChains:
            tasks.create_task(enduring(Firewall().run, "firewall"), name="firewall")
        kernel_cgroups = detect_cgroups()
        if kernel_cgroups.version == 1 and config.kubelet.failCgroupV1:
            raise StartError("this host has cgroups v1 and failCgroupV1 is true; set it to false to run here")
        host = build.host_limits(config, self.machine, kernel_cgroups)
        self.cgroups = build.pod_cgroups(config, kernel_cgroups)
        await self.cgroups.start(build.node_cgroup_limits(config, self.machine))
        for name, limits in build.reserved_cgroup_limits(config).items():
            try:
                await self.cgroups.limit_existing(name, limits)
            except CgroupError as error:
                raise StartError(f"enforceNodeAllocatable: cannot hold {name} to what is reserved: {error}") from error
        paths = PodPaths(
            root_dir=config.options.root_dir,
            pod_logs_dir=config.pod_logs_dir,
            container_logs_dir=config.options.container_logs_dir,
        )
        volumes = build.volumes(config, self.objects, self.tokens, events, lambda: self._allocatable)
        try:
            pool = await find_pool(per_pod=config.kubelet.userNamespaces.idsPerPod, max_pods=config.kubelet.maxPods)
        except InvalidPool as error:
            raise StartError(f"no ids for user namespaces of pods: {error}") from error
        self.resolver = RuntimeClassResolver(self.registry, self._runtime_class)
        self.user_namespaces = UserNamespaces(paths.root_dir, pool, lambda pod: self._handler_of(pod).user_namespaces)
        configs = PodConfigs(self._node_settings(host), self.objects, events, paths)
        hooks = LifecycleHooks(events)
        killer = Killer(hooks, events)
        access = build.pull_records(config)
        images = ImageManager(
            events,
            limits=build.pull_limits(config),
            node_keyring=NodeKeyring(paths.root_dir),
            providers=build.credential_providers(config, client, self.tokens),
            access=access,
        )
        cgroup = Cgroup(self.cgroups, host, self._active_pods)
        records = ResizeRecords(config.options.root_dir)
        records.load()
        resizes = Resizes(
            records=records,
            rules=build.resize_rules(host),
            events=events,
            admit=lambda pod, others: admit(pod, others, self._node_view()),  # nobody is preempted for a resize
            active=self._active_pods,
            changed=lambda uid: self.pods.resized(uid),
            ready=lambda: self.merger.all_seen,
            now=_now,
        )
        actuator = Actuator(self.cgroups, host, cgroup.requests_changed)
        networks = NetworkReadiness(self.monitor.network_problem)
        steps = pod_steps(
            paths=paths,
            cgroup=cgroup,
            user_namespaces=self.user_namespaces,
            volumes=volumes,
            configs=configs,
            images=PodImages(images, self.objects, events),
            hooks=hooks,
            killer=killer,
            events=events,
            networks=networks,
        )
        engine = StepEngine(steps, gates=pod_gates(networks=networks, claims=ResourceClaims(client)))
        self.statuses: StatusSink = NoStatuses()
        if client is not None:
            self.statuses = StatusWriter(
                client.sharing(qps=-1, burst=1), self._pod_tasks, self._status_target, turn=client.turn
            )
        self.probe_metrics = ProbeMetrics(_now().timestamp())
        probing = ProbeManager(
            tasks=self._pod_tasks,
            events=events,
            addresses=self._addresses,
            now=_now,
            agent_started_at=_now(),
            metrics=self.probe_metrics,
        )
        services = PodServices(
            engine=engine,
            runtimes=self.resolver,
            statuses=self.statuses,
            events=events,
            probing=probing,
            upkeep=Upkeep(volumes),
            dead=DeadContainers(paths),
            killer=killer,
            addresses=self._addresses,
            now=_now,
            crash_backoff_cap_seconds=build.crash_backoff_cap_seconds(config),
            features=(InPlaceResize(records, actuator, host, events, _now),),
        )
        self.mirrors: Mirrors = NoMirrors()
        if client is not None:
            keeper = MirrorKeeper(
                MirrorPods(client, config.node_name, self._node),
                ready=lambda: self.merger.all_seen,
                on_mirror=lambda uid: self.pods.wake(uid),
            )
            tasks.create_task(enduring(keeper.run, "mirror pods"), name="mirror pods")
            self.mirrors = keeper
        self.pods: PodManager = PodManager(
            services=services,
            references=self.objects,
            admit=AdmissionGate(
                view=self._node_view,
                fresh_view=functools.partial(self._fresh_node_view, client),
                end_pod=lambda pod, termination: self.pods.end(pod, termination),
                events=events,
            ).admit,
            tasks=self._pod_tasks,
            mirrors=self.mirrors,
            allocations=resizes,
            on_gone=lambda: self.orphans.wake(),
        )
        self.merger: PodMerger = PodMerger(self._on_pods, build.source_names(config, client), events)
        self.orphans: OrphanCollector = OrphanCollector(
            engine=engine,
            runtimes=self.resolver.all,
            cgroups=self.cgroups,
            paths=paths,
            known=self.pods.known_uids,
            ready=lambda: self.merger.all_seen,
        )
        for runtime in self.registry:
            events_of = f"events of {runtime.handler}"
            tasks.create_task(enduring(functools.partial(self.pods.follow, runtime), events_of), name=events_of)
        tasks.create_task(enduring(self.orphans.run, "orphans"), name="orphans")
        tasks.create_task(enduring(resizes.run, "resizes"), name="resizes")
        garbage = ImageGarbage(
            build.image_stores(self.registry),
            build.garbage_policy(config),
            NodeEvents(events, config.node_name),
            image_volumes=lambda: volume_images(self.pods.active_pods()),
            known=access.forget_all_but,
        )
        tasks.create_task(enduring(garbage.run, "image garbage"), name="image garbage")
        rotator = LogRotator(self.registry, config.pod_logs_dir, build.log_limits(config))
        tasks.create_task(enduring(rotator.run, "log rotation"), name="log rotation")

    def _on_pods(self, changes: list[PodChange]) -> None:
        self.pods.apply(changes)
        if self.merger.all_seen and not self._looked_for_orphans:
            self._looked_for_orphans = True  # from here on a pod that goes wakes it
            self.orphans.wake()

    def _status_target(self, pod: AgentPod) -> AgentPod | None:
        return self.mirrors.of(pod) if pod.is_static else pod

    def _active_pods(self) -> list[AgentPod]:
        return self.pods.active_pods()

    def _node_view(self, node: Node | None = None) -> NodeView:
        # a node that the API does not show yet is what it is about to be registered as
        node = node or self._node() or build.registration(self.config, self.machine, socket.gethostname()).node()
        return NodeView(
            name=self.config.node_name,
            labels=(node.metadata.labels if node.metadata is not None else None) or {},
            taints=(node.spec.taints if node.spec is not None else None) or (),
            allocatable=self._allocatable,
            kernel_version=build.kernel_version(self.machine),
            allowed_unsafe_sysctls=self.config.kubelet.allowedUnsafeSysctls,
            supplemental_groups_policy=self.monitor.state().supplemental_groups_policy,
            apparmor_error=build.apparmor_error(),
            declared_features=frozenset(DECLARED_FEATURES),
            pod_level_resources=self.config.kubelet.featureGates.get("PodLevelResources", True),
        )

    async def _fresh_node_view(self, client: ApiClient | None) -> NodeView:
        """The Node as the API has it now; as last seen when the API cannot be asked."""
        try:
            async with asyncio.timeout(NODE_READ_SECONDS):
                return self._node_view(await client.get(Node, self.config.node_name) if client is not None else None)
        except (ApiError, TimeoutError) as error:
            log.warning("cannot read node %s anew: %s", self.config.node_name, error)
            return self._node_view()

    def _node_settings(self, host: HostLimits) -> NodeSettings:
        config = self.config
        security = SecuritySettings(
            seccomp_dir=config.options.root_dir / "seccomp",
            seccomp_default=config.kubelet.seccompDefault,
            masked_paths=thermal_throttle_paths(),
        )
        return NodeSettings(
            dns=lambda: build.dns_settings(config, self._host_ips),
            security=security,
            host=host,
            host_ips=lambda: self._host_ips,
            allocatable=lambda: self._allocatable,
            services=self._services_of,
            user_namespace=self.user_namespaces.of,
            features=self.monitor.handler,
        )

    def _services_of(self, namespace: str) -> Sequence[Service] | None:
        """The services of a namespace; None while they have not been read."""
        if self.services is None or not self.services.has_synced:
            return None
        return [item for item in self.services.items() if item.metadata and item.metadata.namespace == namespace]

    def _node(self) -> Node | None:
        return self.node_informer.get("", self.config.node_name) if self.node_informer is not None else None

    def _runtime_class(self, name: str) -> RuntimeClass | None:
        """Raises UnknownRuntime while the API has not told which there are."""
        classes = self.runtime_classes
        if classes is not None and not classes.has_synced:
            raise UnknownRuntime(
                f'RuntimeClass "{name}": the classes are not known yet: {classes.trouble or NO_ANSWER}'
            )
        return classes.get("", name) if classes is not None else None

    def _handler_of(self, pod: AgentPod) -> Handler:
        """What the pod's runtime can do; nothing where it has none."""
        try:
            return self.monitor.handler(self.resolver.resolve(pod).handler)
        except UnknownRuntime:
            return Handler(name="")

    def _addresses(self) -> NodeAddresses:
        return NodeAddresses(host_ips=self._host_ips)

    # -- node ----------------------------------------------------------------------------------------------------------

    async def _join_cluster(self, client: ApiClient, tasks: asyncio.TaskGroup) -> None:
        """Register, as long as it takes; then tell of the node for good."""
        config = self.config
        heartbeat = client.sharing(qps=-1, burst=1, timeout_seconds=10.0)
        monitor = self.monitor
        publisher = NodePublisher(
            heartbeat,
            build.node_config(config, self.machine, self.limits),
            NodeInputs(
                addresses=self._node_addresses,
                runtime=monitor.state,
                storage_bytes=lambda: self.storage_bytes,
                images=monitor.images,
                pressure=build.disk_pressure(config, self.limits),
                errors=(self._api_trouble,),
            ),
            self._node,
            self.events,
            update_seconds=build.seconds_of(config.kubelet.nodeStatusUpdateFrequency),
            report_seconds=build.seconds_of(config.kubelet.nodeStatusReportFrequency),
        )
        monitor.on_change = publisher.trigger
        if config.kubelet.registerNode:
            wanted = build.registration(config, self.machine, socket.gethostname())
            await Registrar(heartbeat, wanted, publisher.complete).register()
        self.events.event(node_reference(config.node_name), "Normal", "Starting", "Starting kubelet.")
        if promises := [each.field for each in config.not_in_force if each.promise]:
            text = f"Accepted in the configuration, and not in force: {', '.join(promises)}"
            self.events.event(node_reference(config.node_name), "Warning", "ConfigurationNotInForce", text)
        lease = LeaseRenewer(
            heartbeat, config.node_name, self._node, duration_seconds=config.kubelet.nodeLeaseDurationSeconds
        )
        tasks.create_task(enduring(publisher.run, "node status"), name="node status")
        tasks.create_task(enduring(lease.run, "lease"), name="lease")

    async def _node_addresses(self) -> Sequence[NodeAddress]:
        """The addresses of now; those of before while there are none (a link is down, a lease has run out)."""
        try:
            ips = await node_ips(self.config.node_name, self.config.options.node_ip)
        except NoNodeAddress as error:
            self._addressing.failed(f"{error}; keeping {', '.join(self._host_ips)}")
            ips = [ipaddress.ip_address(ip) for ip in self._host_ips]
        else:
            self._addressing.works()
        self._host_ips = tuple(str(ip) for ip in ips)
        return node_addresses(ips, socket.gethostname())

    def _api_trouble(self) -> str:
        """What the API does not let this node read, and without which no pod can start; empty: nothing."""
        if self.api_source is not None and (trouble := self.api_source.trouble()):
            return trouble
        services = self.services
        if services is None or services.has_synced or services.blind_seconds < BLIND_SECONDS:
            return ""
        return f"services cannot be listed: {services.trouble or NO_ANSWER}"

    # -- sources -------------------------------------------------------------------------------------------------------

    async def _start_sources(self, client: ApiClient | None, tasks: asyncio.TaskGroup) -> None:
        for name, static in build.static_sources(self.config, self.merger):
            tasks.create_task(enduring(static.run, f"source {name}"), name=f"source {name}")
        if client is None or self.node_informer is None:
            return
        node = self.node_informer
        self.api_source = ApiSource(
            client, self.config.node_name, self.merger, node.synced, node_trouble=lambda: node.trouble
        )
        tasks.create_task(enduring(self.api_source.run, "source api"), name="source api")

    # -- HTTPS endpoint ------------------------------------------------------------------------------------------------

    async def _start_server(self, client: ApiClient | None, tasks: asyncio.TaskGroup) -> None:
        config = self.config.kubelet
        if not config.enableServer:
            return
        try:
            settings = build.server_settings(self.config, self._host_ips, self.embedded)
            guard = build.guard(self.config, client)
            statistics = StatsHandlers(
                self.config.node_name,
                NodeReader(self.config.options.root_dir),
                PodReader(self.registry),
                images_dir=self.config.options.state_dir,
                probes=self.probe_metrics,
            )
            source = self.api_source
            server = NodeServer(
                settings,
                self.pods,
                guard,
                healthy=self.pods.is_moving,
                parts=(statistics,),
                configz=lambda: config,
                checks={"podsource": lambda: not source.trouble()} if source is not None else {},
            )
            await server.start()
        except OSError as error:
            raise StartError(
                f"the node's HTTPS endpoint cannot listen on {config.address}:{config.port}: {error}"
            ) from error
        self._stack.push_async_callback(server.stop)
        if not config.tlsCertFile:
            keep = functools.partial(
                keep_serving_certificate, settings.certificate.parent, self.config.node_name, lambda: self._host_ips
            )
            tasks.create_task(enduring(keep, "serving certificate"), name="serving certificate")

    async def _start_cri_server(self) -> None:
        """The node's own sandboxes for crictl; runtimes behind a socket are seen through theirs."""
        settings = self.config.agent.criServer
        local = cri_server.local_registry(self.config, self.registry) if settings.listen else None
        if local is None:
            if settings.listen:
                log.warning("criServer: every runtime of this node has a socket of its own, there is nothing to serve")
            return
        denial = cri_server.READ_ONLY_AGENT if settings.readOnly else None
        try:
            await cri_server.serve_cri(settings.listen, local, self._stack, denial=denial)
        except cri_server.ServeError as error:
            raise StartError(f"criServer: {error}") from error


def _make_folders(config: Config) -> None:
    """The agent's own folders. Raises StartError."""
    try:
        config.options.root_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        for directory in (config.options.state_dir, config.options.run_dir):
            # passed, but not looked into, by users of pods with users of their own: their root filesystems are below
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            directory.chmod(0o711)
    except OSError as error:
        raise StartError(f"cannot use {error.filename}: {error.strerror}") from error


def _own(config: Config, stack: contextlib.AsyncExitStack) -> None:
    """Each of the agent's folders is one agent's, for as long as `stack` lasts: two would take each other's pods for orphans, and
    the monitors of each other's containers for nobody's. Raises StartError.

    A lock on the folder itself, so that it can be had where nothing can be written. One folder may serve as several.
    """
    options = config.options
    owned: set[tuple[int, int]] = set()
    for option, folder in (
        ("--root-dir", options.root_dir),
        ("--state-dir", options.state_dir),
        ("--run-dir", options.run_dir),
    ):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) in owned:
            continue
        owned.add((found.st_dev, found.st_ino))
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(f"another agent runs with {folder}: give this one a {option} of its own") from None
        except OSError as error:
            raise StartError(f"cannot lock {folder}: {error.strerror}") from error


class _Leave(Exception):
    """Ends a task group."""


@contextlib.asynccontextmanager
async def _task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Leaving it cancels its tasks. In the root one, if one of its loops dies, the agent ends with its error."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
            raise _Leave
    except* _Leave:
        pass


def _now() -> datetime:
    return datetime.now(UTC)
