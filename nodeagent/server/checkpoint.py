"""/checkpoint: a running container, frozen into an archive by its runtime (docs/facts/api-client-and-server.md J.3)."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from aiohttp import web

from nodeagent.podspec.containers import find_container
from nodeagent.server.pod_lookup import PodLookup, target_of
from proto import cri_pb2 as cri
from runtimes.errors import NotSupported, RuntimeFault
from runtimes.kube.whole_number import whole_number

_MAX_SECONDS = 24 * 3600


class Checkpoints:
    """`folder`: where the archives go, for root alone: they hold all that the container had in memory. Nobody removes them."""

    def __init__(self, pods: PodLookup, folder: Path, now: Callable[[], datetime]) -> None:
        self._pods = pods
        self._folder = folder
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/checkpoint/{namespace}/{pod}/{container}", self.checkpoint)]

    async def checkpoint(self, request: web.Request) -> web.Response:
        """501: this runtime makes none; the text has its reason."""
        target = target_of(request, self._pods)
        if target is None:
            return web.Response(status=404, text="pod does not exist")
        name = request.match_info["container"]
        if find_container(target.found.pod, name) is None:
            return web.Response(status=404, text=f"container {name} does not exist")
        seconds = whole_number(request.query.getall("timeout", ["0"])[-1])
        if seconds is None or seconds > _MAX_SECONDS:
            return web.Response(status=404, text="cannot parse value of timeout parameter")
        full_name = f"{target.name}_{target.namespace}"
        path = self._folder / f"checkpoint-{full_name}-{name}-{self._now():%Y-%m-%dT%H:%M:%SZ}.tar"
        failed = f"checkpointing of {target.namespace}/{target.name}/{name} failed"
        container_id = target.running_id(name)
        if not container_id:
            return web.Response(status=500, text=f"{failed} (container {name} not found)")
        try:
            await asyncio.to_thread(self._folder.mkdir, 0o700, parents=True, exist_ok=True)
            await target.runtime.service.checkpoint_container(
                cri.CheckpointContainerRequest(container_id=container_id, location=str(path), timeout=seconds)
            )
        except (RuntimeFault, OSError) as error:
            status = 501 if isinstance(error, NotSupported) else 500
            return web.Response(status=status, text=f"{failed} ({error})")
        return web.Response(body=msgspec.json.encode({"items": [str(path)]}), content_type="application/json")
