"""A fleet from its start to its end: the API, the nodes, the pods, then waiting, and taking away what was made."""

import asyncio
import contextlib
import gc
import logging
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from nodeagent import logs, open_files
from nodeagent.api import kubeconfig
from nodeagent.api.certificates import CertificateError
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.transport import Transport
from nodeagent.errors import AgentStartError, Misconfigured, leaves, one_line
from nodeagent.hollow.calls import ApiCalls
from nodeagent.hollow.endpoint import HollowEndpoint
from nodeagent.hollow.node import HollowNode, Site
from nodeagent.hollow.report import Reporter
from nodeagent.hollow.settings import FleetSettings
from nodeagent.hollow.workload import Workload
from nodeagent.main import GC_THRESHOLDS, status_of, tell
from nodeagent.node.addresses import node_ips
from nodeagent.node.facts import read_machine
from nodeagent.standalone import EmbeddedAPI, EmbeddedAPISettings
from runtimes.linux import allocator

log = logging.getLogger(__name__)

STARTING_AT_ONCE = 16
OWN_FILES, FILES_A_NODE = 1024, 16  # five watches a node, and one for each object that its pods name
LOOK_SECONDS = 1.0
REMOVE_SECONDS = 300.0


def run(settings: FleetSettings, *, log_level: str = "info", log_format: str = "text") -> int:
    """The process's exit status: 0 when it was told to go, 1 when a node has died or something is left behind, 2 for mistakes."""
    allocator.return_what_is_freed()
    logs.configure(logs.LogSettings(level=log_level, form=log_format))
    if log_level == "info":  # hundreds of agents tell more than anybody reads
        for name in ("nodeagent", "runtimes"):
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger("nodeagent.hollow").setLevel(logging.INFO)
    open_files.raise_limit(OWN_FILES + FILES_A_NODE * settings.nodes)
    fleet = Fleet(settings)
    try:
        return uvloop.run(fleet.run())
    except Exception as error:
        tell(error, up=fleet.up)
        return status_of(error)


class Fleet:
    """`run` once."""

    def __init__(self, settings: FleetSettings) -> None:
        self.up = False
        self._settings = settings
        self._stop = asyncio.Event()  # somebody has told it to go
        self._hurry = asyncio.Event()  # told twice
        self._dead: set[str] = set()

    async def run(self) -> int:
        """Raises AgentStartError, APINotStarted, NoNodeAddress."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told)
        async with contextlib.AsyncExitStack() as stack:
            directory = self._directory(stack)
            transport = await self._transport(stack, directory)
            client = ApiClient(transport, qps=-1)
            workload, calls = Workload(client, self._settings), ApiCalls()
            await self._checked(transport, workload)
            node_ip = str((await node_ips(self._settings.name))[0])
            site = Site(
                transport=transport,
                machine=read_machine(),
                node_ip=node_ip,
                port=await self._endpoint(stack, node_ip, directory),
                directory=directory,
                calls=calls,
                turns=asyncio.Semaphore(STARTING_AT_ONCE),
            )
            nodes = [
                HollowNode(name, self._settings, site, own_pods=len(self._settings.pods_of(number)))
                for number, name in enumerate(self._settings.node_names)
            ]
            reporter = Reporter(nodes, calls, self._settings.report)
            try:
                await self._live(nodes, workload, reporter)
            finally:
                left = not await self._removed(workload)
        return 1 if self._dead or left else 0

    def _told(self) -> None:
        (self._hurry if self._stop.is_set() else self._stop).set()

    def _directory(self, stack: contextlib.AsyncExitStack) -> Path:
        """Of the nodes: theirs alone, and nothing in it is worth keeping."""
        made = tempfile.TemporaryDirectory(prefix="nodeagent-hollow-", ignore_cleanup_errors=True)
        return Path(stack.enter_context(made))

    async def _endpoint(self, stack: contextlib.AsyncExitStack, host: str, directory: Path) -> int:
        """The port where all nodes are asked for what they have not."""
        endpoint = HollowEndpoint()
        stack.push_async_callback(endpoint.stop)
        try:
            return await endpoint.start(host, directory)
        except (OSError, CertificateError) as error:
            raise AgentStartError(f"the nodes' endpoint: {one_line(error)}") from error

    async def _transport(self, stack: contextlib.AsyncExitStack, directory: Path) -> Transport:
        path = self._settings.kubeconfig
        if path is None:
            path = await self._embedded(stack, self._settings.state_dir or directory / "api")
        try:
            transport = Transport(kubeconfig.load(path))
        except kubeconfig.KubeconfigError as error:
            raise Misconfigured(str(error)) from error
        stack.push_async_callback(transport.close)
        return transport

    async def _embedded(self, stack: contextlib.AsyncExitStack, state_dir: Path) -> Path:
        try:
            state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"--state-dir: {one_line(error)}") from error
        embedded = EmbeddedAPI(
            EmbeddedAPISettings(
                state_dir=state_dir,
                node_name=self._settings.node_names[0],
                address="127.0.0.1",
                port=self._settings.api_port,
            )
        )
        stack.push_async_callback(embedded.stop)
        await embedded.start()
        watch = asyncio.create_task(embedded.watch(), name="embedded API")
        stack.callback(watch.cancel)
        log.info("embedded API: kubectl --kubeconfig %s", embedded.admin_kubeconfig)
        return embedded.admin_kubeconfig

    async def _checked(self, transport: Transport, workload: Workload) -> None:
        """Whether this can be begun at all. Raises AgentStartError."""
        settings = self._settings
        if settings.report is not None:
            try:
                settings.report.write_bytes(b"")
            except OSError as error:
                raise Misconfigured(f"--report: {one_line(error)}") from error
        try:
            await workload.check()
            if settings.as_nodes:
                await workload.check_impersonation(transport)
        except ApiError as error:
            raise AgentStartError(f"the API: {one_line(error)}") from error

    async def _live(self, nodes: list[HollowNode], workload: Workload, reporter: Reporter) -> None:
        """From the first node's start to the last one's end."""
        settings, leave = self._settings, asyncio.Event()
        reporter.sample("start")
        lives = [asyncio.create_task(self._life(node, leave), name=node.name) for node in nodes]
        told = asyncio.create_task(self._tell(reporter))
        try:
            if not await self._reached(nodes, lambda node: node.sight.ready):
                return
            reporter.sample("nodes")
            log.info("all nodes are Ready%s", self._left_out())
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            self.up = True
            if settings.pods:
                await workload.make_pods(self._stop)
                if not await self._reached(nodes, lambda node: node.sight.pods("Running") >= node.own_pods):
                    return
                reporter.sample("pods")
                log.info("all pods are Running%s", self._left_out())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.duration_seconds):
                    await self._stop.wait()
            reporter.sample("end")
        finally:
            told.cancel()
            self._stop.set()
            leave.set()
            await asyncio.gather(*lives)
            log.info("the nodes have stopped")

    async def _life(self, node: HollowNode, leave: asyncio.Event) -> None:
        """A node that dies is told of, and the others go on."""
        try:
            await node.run(leave)
        except Exception as error:
            self._dead.add(node.name)
            log.error("node %s has died: %s", node.name, "; ".join(one_line(each) for each in leaves(error)))
            log.debug("the traceback:", exc_info=error)

    def _left_out(self) -> str:
        return f", {len(self._dead)} dead nodes left out" if self._dead else ""

    async def _tell(self, reporter: Reporter) -> None:
        while True:
            await asyncio.sleep(self._settings.interval_seconds)
            log.info("%s", reporter.line())

    async def _reached(self, nodes: Sequence[HollowNode], condition: Callable[[HollowNode], bool]) -> bool:
        """Wait for it to hold of all nodes that live. False: somebody has told the fleet to go before, or none lives."""
        while living := [node for node in nodes if node.name not in self._dead]:
            if all(map(condition, living)):
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._stop.wait()
                    return False
        return False

    async def _removed(self, workload: Workload) -> bool:
        """Whether nothing is left that should not be. Told twice to go, or after some minutes, it goes without."""
        if self._settings.keep:
            return True
        work, hurry = asyncio.create_task(workload.remove()), asyncio.create_task(self._hurry.wait())
        await asyncio.wait({work, hurry}, timeout=REMOVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, hurry):
            task.cancel()
        await asyncio.wait({work, hurry})
        error = TimeoutError("not done in time") if work.cancelled() else work.exception()
        if error is None:
            log.info("the fleet's pods and nodes are removed")
            return True
        log.error("nodes and pods may be left (%s): run the same again to have them removed", one_line(error))
        return False
