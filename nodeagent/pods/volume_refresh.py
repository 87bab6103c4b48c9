"""When the contents of a pod's volumes are brought up to date: at a change of what they are made from, and now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from nodeagent.pods.sync_backoff import jittered

log = logging.getLogger(__name__)

RESYNC_SECONDS = 60.0  # times 1.0 to 1.5


class VolumeRefresh:
    """One pod's. A refresh runs beside whatever else is done for the pod: a long pull must not keep old files in place.

    `refresh(anew)` does it; `wake` is called when changes have come meanwhile. Changes that come while one runs make one more,
    however many they are.
    """

    def __init__(
        self, pod: str, refresh: Callable[[bool], Awaitable[None]], wake: Callable[[], None], now: datetime
    ) -> None:
        self._pod = pod
        self._refresh = refresh
        self._wake = wake
        self._resync_at = now + jittered(RESYNC_SECONDS)
        self._sources_changed = False  # since the last refresh
        self._running: asyncio.Task[None] | None = None

    def sources_changed(self) -> None:
        self._sources_changed = True

    @property
    def next_at(self) -> datetime | None:
        """When one is due without a change; None: while one runs, whose end brings the next."""
        return self._resync_at if self._running is None else None

    def begin_due(self, now: datetime, *, wanted: bool) -> None:
        """Begin a refresh that is due. Not `wanted`, of a pod on its way out: it only counts as made."""
        if self._running is not None or not (self._sources_changed or self._resync_at <= now):
            return
        anew, self._sources_changed = self._sources_changed, False
        self._resync_at = now + jittered(RESYNC_SECONDS)
        if wanted:
            self._running = asyncio.create_task(self._run(anew), name="refresh")

    def cancel(self) -> None:
        """What the volumes are to be is of no interest any more."""
        if self._running is not None:
            self._running.cancel()

    async def leave(self) -> None:
        """Cancel a refresh, and wait for its end."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, anew: bool) -> None:
        try:
            await self._refresh(anew)
        except Exception:
            log.exception("pod %s: refresh of its volumes failed", self._pod)
        finally:
            self._running = None
            if self._sources_changed:
                self._wake()
