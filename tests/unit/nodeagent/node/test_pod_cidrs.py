"""What the cluster gave to a node's pods reaches its runtimes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from lightkube.models.core_v1 import Node, NodeSpec

from nodeagent.node import pod_cidrs
from nodeagent.node.pod_cidrs import PodCIDRs
from runtimes.errors import NotSupported, Unavailable


class Runtime:
    """Answers with what it is given, then with success."""

    def __init__(self, handler: str, *failures: Exception) -> None:
        self.handler = handler
        self.service = SimpleNamespace(update_runtime_config=self._update)
        self.told: list[str] = []
        self.failures = list(failures)

    async def _update(self, request: Any) -> None:
        self.told.append(request.runtime_config.network_config.pod_cidr)
        if self.failures:
            raise self.failures.pop(0)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_every_runtime_hears_of_a_change_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before the cluster has given a range; both families in one word; who fails is told again, who cannot is not."""

    async def at_once(seconds: float) -> None:
        await pause(0)

    pause = asyncio.sleep
    monkeypatch.setattr(pod_cidrs.asyncio, "sleep", at_once)
    well, late, unable = Runtime("a"), Runtime("b", Unavailable("away")), Runtime("c", NotSupported("no"))
    node = Node(spec=NodeSpec())
    runtimes: Any = (well, late, unable)
    told = PodCIDRs(runtimes, lambda: node)
    running = asyncio.create_task(told.run())
    told.seen()
    await settle()
    assert (well.told, late.told, unable.told) == ([], [], [])
    node = Node(spec=NodeSpec(podCIDR="10.1.0.0/24", podCIDRs=["10.1.0.0/24", "fd00::/64"]))
    for _ in range(3):
        told.seen()
        await settle()
    both = "10.1.0.0/24,fd00::/64"
    assert (well.told, late.told, unable.told) == ([both], [both, both], [both])
    node = Node(spec=NodeSpec(podCIDR="10.2.0.0/24"))
    told.seen()
    await settle()
    assert well.told == [both, "10.2.0.0/24"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
