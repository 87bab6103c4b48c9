"""What evaluations that were killed have left on this machine: the next one finds it by their tokens, and takes it away."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from nodeagent.config import RuntimeSettings
from nodeagent.isolation.bounds import Bounds, tokens
from nodeagent.isolation.node import PARENT, SETTINGS, NodeSettings, PrivateNode, remove_folder
from runtimes.linux.cgroups.contract import Cgroups

_NOTHING_KNOWN = NodeSettings(handler="", runtime=RuntimeSettings(type="oci"), registry="", image="")


async def take_away(cgroups: Cgroups, tell: Callable[[str], None], parent: Path = PARENT) -> None:
    """Nothing of one that lives is touched. `tell`: is given a line for each that was killed. Raises OSError."""
    for token in sorted(await asyncio.to_thread(lambda: tokens(cgroups) | _of_folders(parent))):
        bounds = Bounds(cgroups, token)
        if not await asyncio.to_thread(bounds.claim):
            continue
        left = []
        for directory in sorted(parent.glob(f"niso-{token}-*")):
            left += await _end(directory, bounds)
        await asyncio.to_thread(bounds.kill)
        left += await asyncio.to_thread(bounds.remove)
        tell(f"evaluation {token} was killed: what it left is taken away")
        for line in left:
            tell(f"left behind: {line}")


def _of_folders(parent: Path) -> set[str]:
    return {parts[1] for path in parent.glob("niso-*-*") if len(parts := path.name.split("-", 2)) == 3}


async def _end(directory: Path, bounds: Bounds) -> list[str]:
    """A node's directory, or one with something else of the evaluation."""
    if not (directory / "config.yaml").exists():
        return await asyncio.to_thread(remove_folder, directory)
    settings = _NOTHING_KNOWN
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        settings = msgspec.json.decode((directory / SETTINGS).read_bytes(), type=NodeSettings)
    node = PrivateNode(settings, bounds)
    node.take_over(directory, await asyncio.to_thread(_agent_of, directory))
    return await node.end()


@dataclass(frozen=True, slots=True)
class _Orphan:
    """Implements `node.Agent`. What it ends with, only its parent could know: 0."""

    process: psutil.Process

    @property
    def returncode(self) -> int | None:
        return None if self.process.is_running() else 0

    def terminate(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.terminate()

    def kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.kill()

    async def wait(self) -> int:
        await asyncio.to_thread(self.process.wait)
        return 0


def _agent_of(directory: Path) -> _Orphan | None:
    wanted = f"--config={directory / 'config.yaml'}"
    for process in psutil.process_iter(["cmdline"]):
        if wanted in (process.info["cmdline"] or ()):
            return _Orphan(process)
    return None
