"""The verbs of runtimes, counted where they pass the boundary."""

import asyncio
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from nodeagent.metrics.runtime_operations import RuntimeOperationMetrics
from proto import cri_pb2 as cri
from runtimes.boundary import Boundary
from runtimes.contract import ImageService
from runtimes.errors import NotFound


class Store:
    """Has one image."""

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        return cri.ImageStatusResponse()

    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        raise NotFound("no such image")

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        await asyncio.Event().wait()
        raise AssertionError


async def test_each_call_counts_however_it_ends() -> None:
    """By a kubelet's names of them; one that fails, or is given up, as an error, too."""
    registry = CollectorRegistry()
    boundary = Boundary("x", bounded=False, observe=RuntimeOperationMetrics(registry).ended)
    store = boundary.images(cast(ImageService, Store()))
    await store.image_status(cri.ImageStatusRequest())
    await store.image_status(cri.ImageStatusRequest())
    with pytest.raises(NotFound):
        await store.remove_image(cri.RemoveImageRequest())
    pull = asyncio.ensure_future(store.pull_image(cri.PullImageRequest()))
    await asyncio.sleep(0)
    pull.cancel()
    await asyncio.gather(pull, return_exceptions=True)

    def value(name: str, operation: str) -> float | None:
        return registry.get_sample_value(f"kubelet_runtime_operations_{name}", {"operation_type": operation})

    names = ("image_status", "remove_image", "pull_image")
    assert [value("total", name) for name in names] == [2, 1, 1]
    assert [value("errors_total", name) for name in names] == [None, 1, 1]
    assert [value("duration_seconds_count", name) for name in names] == [2, 1, 1]


def test_sandboxes_by_handler() -> None:
    """Of a sandbox it is also told which runtime it is of."""
    registry = CollectorRegistry()
    metrics = RuntimeOperationMetrics(registry)
    metrics.ended("run_pod_sandbox", cri.RunPodSandboxRequest(runtime_handler="crun"), 0.03, False)
    metrics.ended("run_pod_sandbox", cri.RunPodSandboxRequest(runtime_handler="crun"), 0.03, True)
    labels = {"runtime_handler": "crun"}
    assert registry.get_sample_value("kubelet_run_podsandbox_duration_seconds_count", labels) == 2
    assert registry.get_sample_value("kubelet_run_podsandbox_errors_total", labels) == 1
    assert registry.get_sample_value("kubelet_runtime_operations_total", {"operation_type": "run_podsandbox"}) == 2
