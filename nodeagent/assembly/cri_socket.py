"""The node's runtimes on a CRI socket."""

import contextlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.config import Config, RuntimeSettings
from nodeagent.errors import AgentStartError
from nodeagent.server.cri_streams import CRIStreams
from nodeagent.version import agent_version
from runtimes.errors import AlreadyExists
from runtimes.linux.unix_socket import socket_path
from runtimes.registry import RuntimeRegistry
from runtimes.serve.streams import NoStreams, StreamingURLs

if TYPE_CHECKING:
    from runtimes.serve.older_peer import Feature
    from runtimes.serve.server import CRIServer

log = logging.getLogger(__name__)

READ_ONLY = (
    "this socket shows what the agent runs and changes nothing; to change things through it, set criServer.readOnly "
    "to false in the agent's NodeAgentConfiguration"
)
_REMOTE = "cri"  # a runtime of this type has a socket of its own


class ServeError(Exception):
    """Nothing can be served; one line for the operator, with the way out."""


async def start_cri_server(scope: Scope, config: Config, runtimes: Runtimes) -> None:
    """The node's own sandboxes for crictl; runtimes behind a socket are seen through theirs. Raises AgentStartError."""
    settings = config.agent.criServer
    if not settings.listen:
        raise Skip("criServer.listen is not set")
    served = [item.handler for item in runtimes.registry if can_be_served(config.agent.runtimes[item.handler])]
    if not served:
        log.warning("criServer: every runtime of this node has a socket of its own, there is nothing to serve")
        raise Skip("every runtime of this node has a socket of its own")
    try:
        await serve(
            settings.listen, only(runtimes.registry, served), scope.stack, denial=READ_ONLY if settings.readOnly else ""
        )
    except ServeError as error:
        raise AgentStartError(f"criServer: {error}") from error


async def serve(
    listen: str,
    runtimes: RuntimeRegistry,
    stack: contextlib.AsyncExitStack,
    *,
    denial: str = "",
    without: "Iterable[Feature]" = (),
) -> "CRIServer":
    """Serve started runtimes until `stack` ends. `denial`: what a read-only socket answers. `without`: as of an older peer.

    Raises ServeError.
    """
    from runtimes.serve.server import CRIServer  # gRPC: 9 MB that a node without the socket does without

    streams: StreamingURLs = NoStreams()
    try:
        path = socket_path(listen)
        if not denial:
            served = CRIStreams()
            await served.start()
            stack.push_async_callback(served.stop)
            streams = served
        server = CRIServer(
            path,
            runtimes,
            streams=streams,
            version=agent_version(),
            denial=denial or None,
            without=without,
        )
        await server.start()
    except (OSError, ValueError, AlreadyExists) as error:
        raise ServeError(f"cannot serve the CRI on {listen}: {error}") from error
    stack.push_async_callback(server.stop)
    log.info("serving %s on %s%s", ", ".join(runtimes.handlers), listen, ", read-only" if denial else "")
    return server


def can_be_served(settings: RuntimeSettings) -> bool:
    """All but runtimes behind a socket, which serve themselves."""
    return settings.type != _REMOTE


def only(registry: RuntimeRegistry, handlers: list[str]) -> RuntimeRegistry:
    """Some of the runtimes; the default is the node's where it is among them, else the first."""
    default = registry.default_handler
    return RuntimeRegistry(
        {name: registry.get(name) for name in handlers}, default if default in handlers else handlers[0]
    )
