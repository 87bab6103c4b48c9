"""`nodeagent runtime serve`: read the configuration and hand over to the server."""

import sys
from collections.abc import Sequence

import typer

from nodeagent.config import ConfigProblem, Options, load
from runtimes.linux.unix_socket import socket_path


def serve(options: Options, listen: str, handlers: Sequence[str], *, read_only: bool, without: Sequence[str]) -> int:
    """Exit code of the server; 2, and nothing started, for a configuration with mistakes."""
    try:
        config = load(options)
    except ConfigProblem as problem:
        print("\n".join(problem.problems), file=sys.stderr)
        return 2
    from nodeagent.cri_server import READ_ONLY, Listen, run
    from runtimes.serve.older_peer import Feature

    if unknown := [name for name in without if name not in tuple(Feature)]:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(Feature)}", param_hint="--without")

    place = Listen(address=listen, denial=READ_ONLY if read_only else "", without=tuple(map(Feature, without)))
    return run(config, place, handlers)


def checked_listen(text: str) -> str:
    """Raises typer.BadParameter."""
    try:
        socket_path(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    return text
