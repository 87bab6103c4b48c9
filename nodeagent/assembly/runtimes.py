"""The node's runtimes, made from the configuration by their types' factories."""

import asyncio
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cni.native.in_process import InProcess
from cni.native.packet_filter import choose_rules
from nodeagent.assembly.board import Line, PartState
from nodeagent.assembly.host import Host
from nodeagent.assembly.network import cni_settings
from nodeagent.assembly.running import Scope
from nodeagent.config import Config, RuntimeSettings
from nodeagent.errors import AgentStartError
from nodeagent.folders import Folders
from nodeagent.metrics.runtime_operations import RuntimeOperationMetrics
from nodeagent.tracing.tracer import Tracer
from runtimes.boundary import VerbObserver, VerbScope, unobserved, unscoped
from runtimes.errors import RuntimeFault, StateInUse, Unavailable
from runtimes.hollow.factory import hollow_runtime
from runtimes.oci.config import Paths
from runtimes.oci.factory import oci_runtime
from runtimes.oci.images.store import DiskImageStore
from runtimes.oci.network import CNINetwork
from runtimes.plugins import factories
from runtimes.registry import Runtime, RuntimeFactory, RuntimeRegistry, UnknownHandler

START_AGAIN_SECONDS = 10.0

log = logging.getLogger(__name__)


def cri_runtime(handler: str, settings: Mapping[str, Any], context: Any) -> Runtime:
    """gRPC is for nodes that have such a runtime: it is 9 MB."""
    from runtimes.cri.factory import cri_runtime

    return cri_runtime(handler, settings, context)


BUILT_IN: dict[str, RuntimeFactory] = {"oci": oci_runtime, "cri": cri_runtime, "hollow": hollow_runtime}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """`late`: those that could not be used when the agent started; they are tried again."""

    registry: RuntimeRegistry
    late: tuple[Runtime, ...]


async def start_runtimes(
    scope: Scope, config: Config, host: Host | None, folders: Folders, store: DiskImageStore, tracer: Tracer | None
) -> Runtimes:
    """Every configured runtime. Without the default one there is no node. Raises AgentStartError, RuntimeFault."""
    context = RuntimeContext(config, folders, store)
    await context.native_network.restore(Path(config.agent.cni.cacheDir))
    observe = RuntimeOperationMetrics(host.metrics).ended if host is not None else unobserved
    made = make_runtimes(config, context, observe, tracer.call if tracer is not None else unscoped)
    lines = {handler: scope.line(f"runtime {handler}") for handler in made}
    for runtime in made.values():
        scope.stack.push_async_callback(runtime.lifecycle.stop)
    # side by side: each asks a program or two what it is
    outcomes = await asyncio.gather(*(_started(runtime, lines[runtime.handler]) for runtime in made.values()))
    late = {runtime.handler: runtime for runtime, failure in zip(made.values(), outcomes, strict=True) if failure}
    for handler, failure in zip(made, outcomes, strict=True):
        if failure is not None and (handler == config.agent.defaultRuntime or not _is_own_affair(failure)):
            raise failure
    await context.collect_garbage_of_network()
    for handler, runtime in late.items():
        scope.tasks.create_task(start_later(runtime, lines[handler]), name=f"start of {handler}")
    try:
        return Runtimes(registry=RuntimeRegistry(made, config.agent.defaultRuntime), late=tuple(late.values()))
    except UnknownHandler as error:
        raise AgentStartError(f"defaultRuntime: {error}") from error


async def _started(runtime: Runtime, line: Line) -> Exception | None:
    """Why it could not be."""
    line.to(PartState.STARTING)
    try:
        await runtime.lifecycle.start()
    except Exception as error:
        if _is_own_affair(error):
            log.error("runtime %s cannot be used: %s", runtime.handler, error)
        line.to(PartState.FAILED, str(error))
        return error
    line.to(PartState.RUNNING)
    return None


def _is_own_affair(error: Exception) -> bool:
    """Somebody installs or mends its program. A state that another agent uses is the agent's affair, as is a mistake of ours."""
    return isinstance(error, Unavailable) and not isinstance(error, StateInUse)


def make_runtimes(
    config: Config, context: "RuntimeContext", observe: VerbObserver = unobserved, scope: VerbScope = unscoped
) -> dict[str, Runtime]:
    """By handler, in the order of the configuration; none is started. Raises AgentStartError."""
    if not config.agent.runtimes:
        raise AgentStartError("no OCI runtime was found on this machine: install runc or crun, or configure `runtimes`")
    made: dict[str, Runtime] = {}
    known = factories(BUILT_IN, observe, scope)
    for handler, settings in config.agent.runtimes.items():
        factory = known.get(settings.type)
        if factory is None:
            raise AgentStartError(f"runtimes.{handler}.type: {settings.type!r} is none of {', '.join(sorted(known))}")
        try:
            made[handler] = factory(handler, _mapping(settings), context)
        except ValueError as error:
            raise AgentStartError(f"runtimes.{handler}: {error}") from error
    return made


async def start_later(runtime: Runtime, line: Line) -> None:
    """Try until it starts: somebody installs or fixes its program. Meanwhile its verbs say why it is down."""
    while True:
        await asyncio.sleep(START_AGAIN_SECONDS)
        try:
            await runtime.lifecycle.start()
        except RuntimeFault as error:
            log.debug("runtime %s still cannot be used: %s", runtime.handler, error)
            line.to(PartState.FAILED, str(error))
        else:
            log.info("runtime %s can be used now", runtime.handler)
            line.to(PartState.RUNNING)
            return


def sandbox_ids(folders: Folders) -> set[str]:
    """Of all engines, those of runtimes that cannot be used now, or are not configured any more, too."""
    states = folders.runtimes.iterdir() if folders.runtimes.is_dir() else ()
    found = [Paths(state, folders.runtime_run(state.name)).sandboxes for state in states]
    return {path.name for sandboxes in found if sandboxes.is_dir() for path in sandboxes.iterdir()}


def has_sandboxes(folders: Folders, handler: str) -> bool:
    """Whether the engine has kept any, also of a runtime that cannot be used now."""
    kept = Paths(folders.runtime_state(handler), folders.runtime_run(handler)).sandboxes
    return kept.is_dir() and any(kept.iterdir())


class RuntimeContext:
    """What runtime factories may use of the agent: a `runtimes.plugins.PluginContext`, and an `oci.factory.EngineContext`."""

    def __init__(self, config: Config, folders: Folders, store: DiskImageStore) -> None:
        self._config = config
        self._folders = folders
        self.images = store

    @functools.cached_property
    def native_network(self) -> InProcess:
        return InProcess(choose_rules)

    @functools.cached_property
    def network(self) -> CNINetwork:
        return CNINetwork(cni_settings(self._config, self.native_network))

    async def collect_garbage_of_network(self) -> None:
        """For the start, after the engines': nothing where no runtime has the agent attach its pods."""
        if "network" in vars(self):
            await self.network.collect_garbage(self._folders.run, sandbox_ids(self._folders))

    @property
    def cgroup_driver(self) -> Literal["cgroupfs", "systemd"]:
        return "systemd" if self._config.kubelet.cgroupDriver == "systemd" else "cgroupfs"

    @property
    def conmon_path(self) -> str:
        return self._config.agent.conmon

    @property
    def conmon_cgroup(self) -> str:
        return f"{self._config.kubelet.cgroupRoot.rstrip('/')}/nodeagent-conmon"

    def state_dir(self, handler: str) -> Path:
        return self._folders.runtime_state(handler)

    def run_dir(self, handler: str) -> Path:
        return self._folders.runtime_run(handler)

    def oci(self, handler: str, settings: Mapping[str, Any]) -> Runtime:
        return oci_runtime(handler, settings, self)


def _mapping(settings: RuntimeSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}
