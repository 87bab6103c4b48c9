"""Which runtimes are evaluated, and what each of them is."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from nodeagent.config import Config, RuntimeSettings
from nodeagent.config.runtimes import USUAL_SOCKET, peer, usual_endpoint
from nodeagent.isolation.contract import HOST
from proto import cri_pb2 as cri
from runtimes.cri.endpoint import Endpoint
from runtimes.cri.service import CRIRuntime
from runtimes.errors import RuntimeFault
from runtimes.linux import process

_VERSION_SECONDS = 10.0


class NoRuntime(ValueError):
    """No such handler, or none at all; the text names those that there are."""


def runtimes_of(config: Config, names: Sequence[str], socket: Path = USUAL_SOCKET) -> Mapping[str, RuntimeSettings]:
    """Those of the configuration; without one those of this machine, with what listens at `socket`. `names`: only these.

    Raises NoRuntime.
    """
    every = dict(config.agent.runtimes)
    if config.options.config_file is None and (endpoint := usual_endpoint(socket)):
        every |= peer(endpoint)
    if not every:
        raise NoRuntime("no runtime is found here: install runc, crun or runsc, or name some in a --config")
    if unknown := [name for name in names if name not in every]:
        raise NoRuntime(f"{unknown[0]!r} is none of {', '.join(every)}")
    if HOST in every:
        raise NoRuntime(
            f"a handler called {HOST!r} cannot be told from the column of the machine: call it something else"
        )
    return {name: every[name] for name in dict.fromkeys(names)} if names else every


async def described(runtimes: Mapping[str, RuntimeSettings]) -> dict[str, str]:
    """Handler -> its type and its program or endpoint, with its version if it tells one."""
    return dict(zip(runtimes, await asyncio.gather(*map(_described, runtimes.values())), strict=True))


async def _described(runtime: RuntimeSettings) -> str:
    if runtime.type == "cri":
        handler = f", handler {runtime.handler}" if runtime.handler else ""
        return f"{await _peer_version(runtime.endpoint)}{handler}"
    if runtime.type == "oci":
        return " ".join((await _program_version(str(runtime.path)), *runtime.args))
    return runtime.type


async def _peer_version(address: str) -> str:
    endpoint = Endpoint(address)
    try:
        answer = await CRIRuntime(endpoint, "").version(cri.VersionRequest(version="v1"))
        return f"{answer.runtime_name} {answer.runtime_version} at {address}"
    except RuntimeFault:
        return address
    finally:
        await endpoint.close()


async def _program_version(program: str) -> str:
    try:
        done = await process.run((program, "--version"), timeout_seconds=_VERSION_SECONDS)
    except (process.ProcessError, OSError):
        return program
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    return f"{program}: {lines[0].strip()}" if done.ok and lines else program
