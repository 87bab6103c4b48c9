"""Warnings logged once at start: programs with published holes, and files that others than root may change or should not read."""

import asyncio
import logging

from nodeagent.config import Config
from nodeagent.node.advisories import describe, open_holes
from nodeagent.node.exposed_files import exposed, watched
from nodeagent.node.installed_versions import installed_programs
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.registry import Runtime, RuntimeRegistry

log = logging.getLogger(__name__)

_DEADLINE_SECONDS = 60.0


async def log_security_warnings(config: Config, registry: RuntimeRegistry) -> None:
    """Warnings in the log; never fails, for the node runs with all of it. `nodeagent check` has the whole list."""
    try:
        for each in await asyncio.to_thread(lambda: list(exposed(watched(config)))):
            log.log(logging.WARNING if each.grave else logging.INFO, "%s", each)
        async with asyncio.timeout(_DEADLINE_SECONDS):
            for program in await installed_programs(config, await _behind_sockets(config, registry)):
                if holes := list(open_holes(program)):
                    log.warning("%s", describe(program, holes))
    except Exception as error:  # advice, whatever comes of it, ends no agent
        log.warning("cannot look for what is not safe on this machine: %s", error or type(error).__name__)


async def _behind_sockets(config: Config, registry: RuntimeRegistry) -> tuple[tuple[str, str], ...]:
    """(name, version) of the runtimes that are servers of their own; those that are down are left out."""

    async def version(runtime: Runtime) -> tuple[str, str]:
        try:
            answer = await runtime.service.version(cri.VersionRequest())
        except (RuntimeFault, OSError):
            return "", ""
        return answer.runtime_name, answer.runtime_version

    servers = [each for each in registry if config.agent.runtimes[each.handler].type == "cri"]
    return tuple(set(await asyncio.gather(*map(version, servers))) - {("", "")})
