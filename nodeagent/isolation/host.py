"""The probe program on the bare host, in the bounded cgroup: the column that runtimes are compared with."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from nodeagent.isolation.bounds import Bounds
from nodeagent.isolation.contract import Facts, StageError
from nodeagent.isolation.probe.output import facts_of, merged

_MAX_BYTES = 8 * 2**20


async def run(program: Path, arguments: Sequence[str], bounds: Bounds, *, deadline_seconds: float) -> str:
    """What it wrote. It begins when it is in its cgroup: it waits for a line on its standard input. Raises StageError."""
    try:
        child = await asyncio.create_subprocess_exec(
            str(program),
            "--host",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env={"PATH": "/"},
            cwd="/",
            limit=_MAX_BYTES,
        )
    except OSError as error:
        raise StageError(f"{program}: {error.strerror or error}") from error
    try:
        async with asyncio.timeout(deadline_seconds):
            bounds.take_in(child.pid, "host")
            output, _ = await child.communicate(b"\n")
    except TimeoutError:
        raise StageError(f"the probe program on the host: not done in {deadline_seconds:g} s") from None
    except OSError as error:
        raise StageError(f"the probe program on the host: {error}") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    return output[:_MAX_BYTES].decode(errors="replace")


async def facts(program: Path, sections: Sequence[str], bounds: Bounds, *, deadline_seconds: float = 60.0) -> Facts:
    """Raises StageError."""
    text = await run(program, merged(sections), bounds, deadline_seconds=deadline_seconds)
    return facts_of(text, sections)
