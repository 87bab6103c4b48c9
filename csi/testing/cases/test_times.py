"""How long calls take: told, and judged by nobody."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable

import pytest

from csi.testing.levels import should
from csi.testing.subject import Subject
from csi.values import ControllerCapability, NodeCapability

pytestmark = pytest.mark.asyncio

_LIVES = 10


@should("Volume Lifecycle")
async def test_x20_times(driver: Subject, record_property: Callable[[str, object], None]) -> None:
    """Ten volumes one after the other, made, used and taken away: reports have the median and the 99th percentile (of ten: the
    slowest) of each call in milliseconds (`NodePublishVolume_p50_ms`), and of a volume's way to a pod and back (`publish`,
    `teardown`).
    """
    driver.needs(ControllerCapability.CREATE_DELETE_VOLUME)
    took: dict[str, list[float]] = defaultdict(list)

    async def timed(name: str, call: Awaitable[object]) -> float:
        began = time.monotonic()
        await call
        took[name].append(time.monotonic() - began)
        return took[name][-1]

    for _ in range(_LIVES):
        await timed("CreateVolume", driver.volume())
        (volume,) = driver.volumes
        up = down = 0.0
        if driver.can(ControllerCapability.PUBLISH_UNPUBLISH_VOLUME):
            up += await timed("ControllerPublishVolume", driver.attach(volume))
        if driver.can(NodeCapability.STAGE_UNSTAGE_VOLUME):
            up += await timed("NodeStageVolume", driver.stage(volume))
        up += await timed("NodePublishVolume", driver.publish(volume))
        down += await timed("NodeUnpublishVolume", driver.unpublish(volume, volume.targets[0]))
        if volume.staging is not None:
            down += await timed("NodeUnstageVolume", driver.unstage(volume))
        if volume.attached:
            down += await timed("ControllerUnpublishVolume", driver.detach(volume))
        took["publish"].append(up)
        took["teardown"].append(down)
        await timed("DeleteVolume", driver.delete(volume))
    for name, seconds in took.items():
        ordered = sorted(seconds)
        record_property(f"{name}_p50_ms", round(1000 * ordered[len(ordered) // 2], 3))
        record_property(f"{name}_p99_ms", round(1000 * ordered[len(ordered) * 99 // 100], 3))
