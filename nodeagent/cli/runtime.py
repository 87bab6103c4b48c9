"""`nodeagent runtime serve`: read the configuration and hand over to the server."""

import sys
from collections.abc import Sequence

import typer

from nodeagent.config import ConfigProblem, Options, load
from runtimes.linux.unix_socket import socket_path


def serve(options: Options, listen: str, handlers: Sequence[str], *, read_only: bool) -> int:
    """Exit code of the server; 2, and nothing started, for a configuration with mistakes."""
    try:
        config = load(options)
    except ConfigProblem as problem:
        print("\n".join(problem.problems), file=sys.stderr)
        return 2
    from nodeagent.cri_server import run

    return run(config, listen, handlers, read_only=read_only)


def checked_listen(text: str) -> str:
    """Raises typer.BadParameter."""
    try:
        socket_path(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from None
    return text
