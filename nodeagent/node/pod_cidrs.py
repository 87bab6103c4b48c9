"""The address ranges that the cluster gave to this node's pods, told to the runtimes whose network plugins want to know.

Source: docs/facts/node-resources.md 8.1.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from lightkube.models.core_v1 import Node

from nodeagent.api.outage import Outage
from proto import cri_pb2 as cri
from runtimes.errors import NotSupported, RuntimeFault
from runtimes.linux.retry import Backoff, RetryPolicy
from runtimes.registry import Runtime

log = logging.getLogger(__name__)

RETRY = RetryPolicy(first_seconds=1.0, factor=2.0, cap_seconds=60.0)


class PodCIDRs:
    """`node`: the own Node as last seen; `seen` is to be called when it may have changed."""

    def __init__(self, runtimes: Iterable[Runtime], node: Callable[[], Node | None]) -> None:
        self._runtimes = tuple(runtimes)
        self._node = node
        self._told: dict[str, str] = {}  # by handler
        self._woken = asyncio.Event()
        self._waiting = Outage("pod CIDR of this node")

    def seen(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Tell each runtime once of each change, until cancelled; one that fails is told again."""
        backoff = Backoff(RETRY)
        while True:
            await self._woken.wait()
            self._woken.clear()
            if failures := await self._tell():
                self._waiting.failed("; ".join(failures))
                await asyncio.sleep(backoff.next_delay())
                self._woken.set()
            else:
                self._waiting.works()
                backoff.reset()

    async def _tell(self) -> list[str]:
        """What went wrong."""
        wanted = pod_cidr(self._node())
        late = [runtime for runtime in self._runtimes if wanted and self._told.get(runtime.handler) != wanted]
        config = cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr=wanted))
        failures = []
        for runtime in late:
            try:
                await runtime.service.update_runtime_config(cri.UpdateRuntimeConfigRequest(runtime_config=config))
            except NotSupported as error:
                log.info("runtime %s takes no pod CIDR: %s", runtime.handler, error)
            except RuntimeFault as error:
                failures.append(f"runtime {runtime.handler}: {error}")
                continue
            self._told[runtime.handler] = wanted
        return failures


def pod_cidr(node: Node | None) -> str:
    """As runtimes take it, one of each family joined with a comma; empty: the cluster gave none."""
    spec = node.spec if node is not None else None
    if spec is None:
        return ""
    return ",".join(spec.podCIDRs or ([spec.podCIDR] if spec.podCIDR else []))
