"""`nodeagent runtime serve`: the runtimes of a configuration on a CRI socket, as a program of its own, without an agent."""

import asyncio
import dataclasses
import logging
import signal
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import uvloop

from nodeagent import logs
from nodeagent.assembly.board import Board
from nodeagent.assembly.cri_socket import ServeError, can_be_served, serve
from nodeagent.assembly.images import start_image_store
from nodeagent.assembly.parts import Part
from nodeagent.assembly.running import RunningParts, Scope
from nodeagent.assembly.runtimes import Runtimes, has_sandboxes, start_runtimes
from nodeagent.config import Config
from nodeagent.errors import AgentStartError, leaves, one_line, unforeseen
from nodeagent.folders import Folders
from runtimes.errors import RuntimeFault, StateInUse
from runtimes.serve.older_peer import Feature
from runtimes.serve.server import CRIServer

log = logging.getLogger(__name__)

READ_ONLY = "this socket is read-only; to change things through it, run `nodeagent runtime serve` with --writable"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where to serve. `denial`: what a read-only socket answers; empty: it is writable. `without`: what an older peer has not."""

    address: str
    denial: str = ""
    without: tuple[Feature, ...] = ()


def run(config: Config, listen: Listen, handlers: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; the process's exit status. Containers live on."""
    logs.configure(logs.settings_of(config))
    try:
        uvloop.run(_run(local(config, handlers), listen))
    except StateInUse as error:
        log.error(
            "%s. A running agent serves its own sandboxes: add `criServer: {listen: %s}` to its NodeAgentConfiguration. "
            "Or serve a state of your own with --state-dir and --run-dir",
            error,
            listen.address,
        )
        return 1
    except (ServeError, AgentStartError, RuntimeFault) as error:
        log.error("%s", error)
        return 1
    except Exception as error:
        for each in leaves(error):
            log.error("%s", one_line(each) if isinstance(each, OSError) else unforeseen(each))
        log.debug("the traceback:", exc_info=error)
        return 1
    return 0


def local(config: Config, handlers: Sequence[str] = ()) -> Config:
    """The configuration with the handlers that can be served: all whose runtime is not behind a socket, or those named.

    The default is the configured one, or else the first named. Raises ServeError.
    """
    known = config.agent.runtimes
    for name in handlers:
        if name not in known:
            raise ServeError(f"--handler {name}: none of the runtimes {', '.join(sorted(known)) or '(there are none)'}")
        if not can_be_served(known[name]):
            raise ServeError(f"--handler {name}: its runtime is served at {known[name].endpoint} already")
    names = list(handlers) or [name for name, settings in known.items() if can_be_served(settings)]
    if not names:
        raise ServeError("no runtime to serve: install runc or crun, or configure `runtimes` of a type other than cri")
    default = config.agent.defaultRuntime
    chosen = msgspec.structs.replace(
        config.agent,
        runtimes={name: known[name] for name in names},
        defaultRuntime=default if default in names else names[0],
    )
    return dataclasses.replace(config, agent=chosen)


async def start_folders(scope: Scope, config: Config) -> Folders:
    """Each runtime holds its own state against others."""
    folders = Folders.of(config.options)
    for directory in (folders.state, folders.run):
        # passed, but not looked into, by users of pods with users of their own: their root filesystems are below
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        directory.chmod(0o711)
    return folders


async def start_socket(scope: Scope, listen: Listen, folders: Folders, runtimes: Runtimes) -> CRIServer:
    """Raises ServeError."""
    for runtime in runtimes.late:
        # a client takes sandboxes that are not listed for gone, and those of a runtime that does not start are not listed
        if has_sandboxes(folders, runtime.handler):
            raise ServeError(
                f"runtime {runtime.handler} cannot be used, and has sandboxes here: mend it, or leave it out by naming the "
                "others with --handler"
            )
    return await serve(listen.address, runtimes.registry, scope.stack, denial=listen.denial, without=listen.without)


PARTS = (
    Part("folders", start_folders),
    Part("image store", start_image_store),
    Part("runtimes", start_runtimes),
    Part("CRI socket", start_socket),
)


async def _run(config: Config, listen: Listen) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    board = Board(lambda: datetime.now(UTC))
    async with RunningParts(PARTS, {Config: config, Listen: listen}, board) as parts:
        await parts.until(stop)
        log.info("stopping; containers keep running")
