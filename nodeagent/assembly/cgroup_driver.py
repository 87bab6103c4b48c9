"""Who makes pods' cgroups, the agent itself or systemd: what the default runtime says, for both must be of one mind.

Source: docs/facts/node-resources.md 2.1.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum

from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.config import Config
from proto import cri_pb2 as cri
from runtimes.contract import RuntimeService
from runtimes.errors import NotSupported, RuntimeFault

log = logging.getLogger(__name__)

_ATTEMPTS, _PAUSE_SECONDS, _ANSWER_SECONDS = 3, 2.0, 5.0


class CgroupDriver(Enum):
    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"


async def start_cgroup_driver(scope: Scope, config: Config, runtimes: Runtimes) -> CgroupDriver:
    configured = CgroupDriver(config.kubelet.cgroupDriver)
    return await driver_of(runtimes.registry.get("").service, configured)


async def driver_of(
    runtime: RuntimeService, configured: CgroupDriver, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> CgroupDriver:
    """The runtime's, which wins; `configured` where it cannot tell (peers before containerd 2.0), or does not answer."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await runtime.runtime_config(cri.RuntimeConfigRequest())
        except NotSupported:
            return configured
        except (RuntimeFault, TimeoutError) as error:
            if attempt == _ATTEMPTS:
                why = str(error) or f"no answer within {_ANSWER_SECONDS:g}s"
                log.warning("the runtime does not say its cgroup driver, so it is %s: %s", configured.value, why)
                return configured
            await sleep(_PAUSE_SECONDS)
            continue
        if not answer.HasField("linux"):
            return configured
        found = CgroupDriver.SYSTEMD if answer.linux.cgroup_driver == cri.SYSTEMD else CgroupDriver.CGROUPFS
        if found is not configured:
            log.info(
                "cgroupDriver: %s is the runtime's, and so the node's, instead of %s", found.value, configured.value
            )
        return found
    raise AssertionError("no attempt")
