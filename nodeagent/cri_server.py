"""The node's runtimes on a CRI socket: in the agent (`criServer`), or as a program of its own (`nodeagent runtime serve`)."""

import asyncio
import contextlib
import dataclasses
import logging
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from nodeagent import build, logs
from nodeagent.config import Config
from nodeagent.failures import leaves, one_line, unforeseen
from nodeagent.server.cri_streams import CRIStreams
from nodeagent.version import agent_version
from runtimes.errors import AlreadyExists, InvalidArgument, RuntimeFault, StateInUse
from runtimes.linux.tasks import end_tasks
from runtimes.oci.config import Paths
from runtimes.registry import Registry
from runtimes.serve.server import CRIServer
from runtimes.serve.streams import NoStreams, StreamingURLs
from runtimes.serve.unix_socket import socket_path

log = logging.getLogger(__name__)

READ_ONLY_AGENT = (
    "this socket shows what the agent runs and changes nothing; to change things through it, set criServer.readOnly "
    "to false in the agent's NodeAgentConfiguration"
)
READ_ONLY_SERVER = (
    "this socket is read-only; to change things through it, run `nodeagent runtime serve` with --writable"
)
_REMOTE = "cri"  # a runtime of this type has a socket of its own


class ServeError(Exception):
    """Nothing can be served; one line for the operator, with the way out."""


async def serve_cri(
    listen: str, runtimes: Registry, stack: contextlib.AsyncExitStack, *, denial: str | None = None
) -> None:
    """Serve started runtimes until `stack` ends. `denial`: what a read-only socket answers. Raises ServeError."""
    streams: StreamingURLs = NoStreams()
    try:
        path = socket_path(listen)
        if denial is None:
            served = CRIStreams()
            await served.start()
            stack.push_async_callback(served.stop)
            streams = served
        server = CRIServer(path, runtimes, streams=streams, version=agent_version(), denial=denial)
        await server.start()
    except (OSError, ValueError, AlreadyExists, InvalidArgument) as error:
        raise ServeError(f"cannot serve the CRI on {listen}: {error}") from error
    stack.push_async_callback(server.stop)
    log.info("serving %s on %s%s", ", ".join(runtimes.handlers), listen, ", read-only" if denial else "")


def local(config: Config, handlers: Sequence[str] = ()) -> Config:
    """The configuration with the handlers that can be served: all whose runtime is not behind a socket, or those named.

    The default is the configured one, or else the first named. Raises ServeError.
    """
    known = config.agent.runtimes
    for name in handlers:
        if name not in known:
            raise ServeError(f"--handler {name}: none of the runtimes {', '.join(sorted(known)) or '(there are none)'}")
        if known[name].type == _REMOTE:
            raise ServeError(f"--handler {name}: its runtime is served at {known[name].endpoint} already")
    names = list(handlers) or [name for name, settings in known.items() if settings.type != _REMOTE]
    if not names:
        raise ServeError("no runtime to serve: install runc or crun, or configure `runtimes` of a type other than cri")
    default = config.agent.defaultRuntime
    chosen = msgspec.structs.replace(
        config.agent,
        runtimes={name: known[name] for name in names},
        defaultRuntime=default if default in names else names[0],
    )
    return dataclasses.replace(config, agent=chosen)


def run(config: Config, listen: str, handlers: Sequence[str], *, read_only: bool) -> int:
    """Serve until SIGTERM or SIGINT; the process's exit status. Containers live on."""
    logs.configure(*build.logging_of(config))
    try:
        uvloop.run(_run(local(config, handlers), listen, READ_ONLY_SERVER if read_only else None))
    except StateInUse as error:
        log.error(
            "%s. A running agent serves its own sandboxes: add `criServer: {listen: %s}` to its NodeAgentConfiguration. "
            "Or serve a state of your own with --state-dir and --run-dir",
            error,
            listen,
        )
        return 1
    except (ServeError, build.BuildError, RuntimeFault) as error:
        log.error("%s", error)
        return 1
    except Exception as error:
        for each in leaves(error):
            log.error("%s", one_line(each) if isinstance(each, OSError) else unforeseen(each))
        log.debug("the traceback:", exc_info=error)
        return 1
    return 0


async def _run(config: Config, listen: str, denial: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        for directory in (config.options.state_dir, config.options.run_dir):
            # passed, but not looked into, by users of pods with users of their own: their root filesystems are below
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            directory.chmod(0o711)
        registry, _store, late = await build.runtimes(config, stack)
        for runtime in late:
            _check_empty(runtime.handler, Paths(config.options.state_dir / "runtimes" / runtime.handler, Path()))
        tasks = [asyncio.create_task(build.start_later(runtime)) for runtime in late]
        stack.push_async_callback(end_tasks, *tasks)
        await serve_cri(listen, registry, stack, denial=denial)
        await stop.wait()
        log.info("stopping; containers keep running")


def _check_empty(handler: str, paths: Paths) -> None:
    """A client takes sandboxes that are not listed for gone, and those of a runtime that does not start are not listed."""
    if paths.sandboxes.is_dir() and any(paths.sandboxes.iterdir()):
        raise ServeError(
            f"runtime {handler} cannot be used, and has sandboxes here: mend it, or leave it out by naming the others "
            "with --handler"
        )


def local_registry(config: Config, registry: Registry) -> Registry | None:
    """Those of an agent's runtimes that can be served; None: there are none."""
    settings = config.agent.runtimes
    found = {runtime.handler: runtime for runtime in registry if settings[runtime.handler].type != _REMOTE}
    if not found:
        return None
    default = registry.default_handler
    return Registry(found, default if default in found else next(iter(found)))
