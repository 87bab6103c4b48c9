"""The agent: its parts, and the process that runs them until it is told to stop. Stopping it never stops a pod.

A part says by the types of its parameters what it needs (`assembly.parts`); the order in which they start follows from that,
and they stop in reverse.
"""

import asyncio
import gc
import logging
import os
import signal

import uvloop

from nodeagent import logs, open_files
from nodeagent.api import kubeconfig
from nodeagent.api.certificates import CertificateError
from nodeagent.assembly import (
    api,
    cgroup_driver,
    cgroups,
    cluster_dns,
    cri_socket,
    csi,
    dra,
    eviction,
    folders,
    images,
    node,
    plugin_registration,
    pods,
    preflight,
    resources,
    runtimes,
    server,
    service_manager,
    services,
    shutdown,
    sources,
    stats,
    steps,
    storage,
    tracing,
    volumes,
)
from nodeagent.assembly.board import Board
from nodeagent.assembly.host import Host, this_host
from nodeagent.assembly.parts import Part
from nodeagent.assembly.running import RunningParts
from nodeagent.config import Config
from nodeagent.errors import AgentStartError, Misconfigured, leaves, one_line, unforeseen
from nodeagent.node.addresses import NoNodeAddress
from nodeagent.node.config_warnings import config_warnings
from nodeagent.node.kernel_defaults import UnprotectedKernel
from nodeagent.pods.manager_handle import ManagerHandle
from nodeagent.pods.resize.checkpoint import CorruptCheckpoint
from nodeagent.resources.checkpoint import BadState
from nodeagent.standalone import APINotStarted
from nodeagent.standby import Standby
from runtimes.errors import RuntimeFault
from runtimes.linux import allocator
from runtimes.linux.service_manager import READY, STOPPING, ServiceManager

log = logging.getLogger(__name__)

PODS_STOP_SECONDS = 60.0  # what pods' work must not leave half done goes on to its end

PARTS = (
    Part("folders", folders.start_folders),
    Part("node state", node.start_state),
    Part("embedded API", api.start_embedded_api),
    Part("API client", api.start_client),
    Part("image store", images.start_image_store),
    Part("traces", tracing.start_tracing),
    Part("runtimes", runtimes.start_runtimes),
    Part("cgroup driver", cgroup_driver.start_cgroup_driver),
    Part("pressure", eviction.start_pressure),
    Part("safety", node.start_safety),
    Part("events", api.start_events),
    Part("tokens", api.start_tokens),
    Part("cluster", api.start_cluster),
    Part("objects", api.start_objects),
    Part("services", services.start_services),
    Part("cluster DNS", cluster_dns.start_cluster_dns),
    Part("storage", storage.start_storage),
    Part("runtime monitor", node.start_monitor),
    Part("pod CIDRs", node.start_pod_cidrs),
    Part("firewall", node.start_firewall),
    Part("host limits", cgroups.start_host_limits),
    Part("cgroups", cgroups.start_cgroups),
    Part("projected sources", volumes.start_projected_sources),
    Part("flexvolumes", volumes.start_flex_drivers),
    Part("CSI", csi.start_csi),
    Part("pod paths", steps.start_paths),
    Part("device manager", resources.start_device_manager),
    Part("DRA drivers", dra.start_dra),
    Part("plugin registry", plugin_registration.start_plugin_registry),
    Part("volumes", volumes.start_volumes),
    Part("runtime classes", steps.start_runtime_classes),
    Part("user namespaces", steps.start_user_namespaces),
    Part("image access", images.start_access),
    Part("image metrics", images.start_image_metrics),
    Part("image manager", images.start_image_manager),
    Part("node settings", steps.start_node_settings),
    Part("CPU manager", resources.start_cpu_manager),
    Part("memory manager", resources.start_memory_manager),
    Part("source merger", sources.start_merger),
    Part("DRA manager", dra.start_dra_manager),
    Part("assignments", resources.start_assignments),
    Part("cgroup step", steps.start_cgroup_step),
    Part("cgroup upkeep", cgroups.start_cgroup_upkeep),
    Part("container lifecycle", steps.start_container_lifecycle),
    Part("engine", steps.start_engine),
    Part("node views", pods.start_views),
    Part("admission metrics", pods.start_admission_metrics),
    Part("admission", pods.start_gate),
    Part("resize records", pods.start_resize_records),
    Part("resizes", pods.start_resizes),
    Part("pod features", pods.start_features),
    Part("mirror pods", pods.start_mirrors),
    Part("pod statuses", pods.start_statuses),
    Part("probes", pods.start_probing),
    Part("orphans", pods.start_orphans),
    Part("pod services", pods.start_services),
    Part("pods", pods.start_pods, stop_seconds=PODS_STOP_SECONDS),
    Part("graceful shutdown", shutdown.start_shutdown_manager),
    Part("pod resources", resources.start_pod_resources),
    Part("statistics", stats.start_statistics),
    Part("image garbage", images.start_image_garbage),
    Part("usages", eviction.start_usages),
    Part("eviction", eviction.start_eviction),
    Part("local storage limits", eviction.start_local_storage),
    Part("OOM watch", eviction.start_oom_watch),
    Part("log rotation", node.start_log_rotation),
    Part("source api", sources.start_api_source),
    Part("source file", sources.start_file_source),
    Part("source http", sources.start_http_source),
    Part("node status", node.start_publisher),
    Part("registration", node.start_registration),
    Part("server", server.start_server),
    Part("CRI socket", cri_socket.start_cri_server),
    Part("watchdog", service_manager.start_watchdog),
)

GC_THRESHOLDS = (
    50_000,
    20,
    100,
)  # looking for cycles at the default 700 took a tenth of the agent's time; there are few

NOBODY = ServiceManager("")  # the agent was started by hand

# Errors that an operator, or the machine, causes: logged without a traceback.
FORESEEN = (
    AgentStartError,
    APINotStarted,
    BadState,
    CertificateError,
    CorruptCheckpoint,
    NoNodeAddress,
    kubeconfig.KubeconfigError,
    RuntimeFault,
    UnprotectedKernel,
    OSError,
)


def agent(
    config: Config, host: Host, board: Board, standby: Standby | None = None, service_manager: ServiceManager = NOBODY
) -> RunningParts:
    """One agent. Many may run in one loop, each with a host of its own. `standby`: is to be its embedded API."""
    given = {
        Config: config,
        Host: host,
        Board: board,
        ManagerHandle: ManagerHandle(),
        ServiceManager: service_manager,
    }
    return RunningParts(PARTS, given | ({Standby: standby} if standby is not None else {}), board)


def run(config: Config, standby: Standby | None = None) -> int:
    """Run the agent until SIGTERM or SIGINT; the process's exit status. `standby`: as of `agent`."""
    service_manager = ServiceManager.taken_from(os.environ)
    allocator.return_what_is_freed()
    logs.configure(logs.settings_of(config))
    open_files.raise_limit(config.kubelet.maxOpenFiles)
    _tell_idle(config)
    for remark in (*config.remarks, *config_warnings(config)):
        log.warning("%s", remark)
    up = asyncio.Event()
    try:
        uvloop.run(_run(config, up, standby, service_manager))
    except Exception as error:
        tell(error, up=up.is_set())
        return status_of(error)
    return 0


async def _run(config: Config, up: asyncio.Event, standby: Standby | None, service_manager: ServiceManager) -> None:
    stop = asyncio.Event()
    loop, own = asyncio.get_running_loop(), asyncio.current_task()

    def told() -> None:
        if not up.is_set() and not stop.is_set() and own is not None:
            own.cancel()  # a start may wait long for others: an API, a person's approval
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    host = this_host()
    preflight.check(config, host)
    board = Board(host.now)
    try:
        async with agent(config, host, board, standby, service_manager) as parts:
            gc.collect()
            gc.freeze()  # what exists now lives as long as the agent
            gc.set_threshold(*GC_THRESHOLDS)
            log.info("parts: %s", board.summary())
            log.info("node %s is up", config.node_name)
            up.set()
            service_manager.tell(READY, status=f"node {config.node_name}: {board.summary()}")
            await parts.until(stop)
            service_manager.tell(STOPPING, status="stopping; pods keep running")
            log.info("stopping; pods keep running")
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        log.info("told to stop before it was up; pods keep running")


def _tell_idle(config: Config) -> None:
    """Fields that are accepted and do nothing: somebody may rely on them."""
    for level, promise, text in ((logging.WARNING, True, "not in force"), (logging.INFO, False, "without effect here")):
        if idle := [str(each) for each in config.ignored_settings if each.promise is promise]:
            log.log(level, "accepted in the configuration, and %s: %s", text, "; ".join(idle))


def status_of(error: Exception) -> int:
    """2: the configuration is at fault, as with the mistakes that are found without a look at the machine."""
    return 2 if all(isinstance(each, Misconfigured) for each in leaves(error)) else 1


def tell(error: Exception, *, up: bool) -> None:
    """One line for each thing that went wrong. The traceback: at debug level; and where a running agent dies of a fault."""
    foreseen = True
    for each in leaves(error):
        foreseen = foreseen and isinstance(each, FORESEEN)
        log.error("%s", one_line(each) if isinstance(each, FORESEEN) else unforeseen(each))
    log.log(logging.ERROR if up and not foreseen else logging.DEBUG, "the traceback:", exc_info=error)
