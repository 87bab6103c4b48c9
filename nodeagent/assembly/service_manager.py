"""Signs of life for the service manager, which starts the agent anew when there are none. That never stops a pod."""

import asyncio

from nodeagent.assembly.parts import Skip
from nodeagent.assembly.running import Scope
from nodeagent.pods.manager import PodManager
from runtimes.linux.service_manager import ALIVE, ServiceManager


async def start_watchdog(scope: Scope, service_manager: ServiceManager, pods: PodManager) -> None:
    """Twice in each period, as long as the event loop and every pod's own loop come round."""
    period_seconds = service_manager.watchdog_seconds
    if period_seconds is None:
        raise Skip("the service manager wants no signs of life (WatchdogSec=)")

    async def watchdog() -> None:
        while True:
            if pods.is_moving():
                service_manager.tell(ALIVE)
            await asyncio.sleep(period_seconds / 2)

    scope.loop(watchdog, "watchdog")
