"""The logs of the node's services as journald has them, by its own program (docs/facts/api-client-and-server.md J.4)."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from nodeagent.server.node_log_query import LogFilter
from runtimes.linux.process import ProcessError, ProcessTimeout, ProgramNotFound, run
from runtimes.linux.program_output import program_output

SECONDS = 30.0  # for an answer, all in all
_LIST_SECONDS = 10.0


class Journal:
    """`program`: journalctl, and what it is always told."""

    def __init__(self, program: Sequence[str] = ("journalctl",)) -> None:
        self._program = tuple(program)

    async def units(self) -> frozenset[str]:
        """Units that the journal has lines of; none where there is no journal."""
        try:
            found = await run([*self._program, "--field", "_SYSTEMD_UNIT"], timeout_seconds=_LIST_SECONDS)
        except (ProcessError, OSError):
            return frozenset()
        return frozenset(found.stdout.decode(errors="replace").split()) if found.ok else frozenset()

    async def lines(self, services: Sequence[str], wanted: LogFilter) -> AsyncGenerator[bytes, None]:
        """Their log, in pieces; what the program complains of is among it. Ends at the deadline, with a line that says so."""
        argv = [*self._program, *arguments(services, wanted)]
        began = time.monotonic()
        try:
            async with aclosing(program_output(argv, timeout_seconds=SECONDS)) as pieces:
                async for piece in pieces:
                    yield piece
        except ProcessTimeout:
            yield f"\nerror: the journal took longer than {time.monotonic() - began:.0f}s\n".encode()
        except (ProgramNotFound, OSError):
            yield b"\nerror: journal output not available\n"


def arguments(services: Sequence[str], wanted: LogFilter) -> list[str]:
    """Those of journalctl. Every value is part of its option's word, so none can be an option itself."""
    found = ["--utc", "--no-pager", "--output=short-precise"]
    if wanted.since is not None:
        found.append(f"--since={wanted.since:%Y-%m-%d %H:%M:%S UTC}")
    if wanted.until is not None:
        found.append(f"--until={wanted.until:%Y-%m-%d %H:%M:%S UTC}")
    if wanted.tail_lines is not None:
        found.append(f"--lines={wanted.tail_lines}")
    found += [f"--unit={service}" for service in services]
    if wanted.pattern:
        found += [f"--grep={wanted.pattern}", "--case-sensitive=false"]
    if wanted.boot is not None:
        found.append(f"--boot={wanted.boot}")
    return found
