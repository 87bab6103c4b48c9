from types import SimpleNamespace
from typing import Any

import pytest

from nodeagent.pods.translation.mount_support import image_volume_refusal, recursive_read_only
from proto import cri_pb2 as cri


class Service:
    def __init__(self, name: str = "", version: str = "", **handlers: bool) -> None:
        self._version = cri.VersionResponse(runtime_name=name, runtime_version=version)
        self._handlers = handlers

    async def version(self, request: cri.VersionRequest) -> cri.VersionResponse:
        return self._version

    async def status(self, request: cri.StatusRequest) -> cri.StatusResponse:
        answer = cri.StatusResponse()
        for name, able in self._handlers.items():
            features = cri.RuntimeHandlerFeatures(recursive_read_only_mounts=able)
            answer.runtime_handlers.add(name=name.removesuffix("_"), features=features)
        return answer


def runtime(service: Service, handler: str = "") -> Any:
    return SimpleNamespace(service=service, cri_handler=handler)


@pytest.mark.parametrize(
    ("name", "version", "refusal"),
    [
        (
            "containerd",
            "1.6.20~ds1",
            "image volumes are not supported by containerd 1.6.20~ds1: they need containerd 2.1",
        ),
        ("containerd", "v2.0.4", "image volumes are not supported by containerd v2.0.4: they need containerd 2.1"),
        ("containerd", "v2.1.0", ""),
        ("cri-o", "1.30.1", "image volumes are not supported by cri-o 1.30.1: they need cri-o 1.31"),
        ("cri-o", "1.31.0", ""),
        ("nodeagent", "0.1", ""),
        ("containerd", "unknown", ""),
    ],
)
async def test_image_volumes(name: str, version: str, refusal: str) -> None:
    """Releases that drop an image mount without a word are refused; what nobody knows is taken at its word."""
    assert await image_volume_refusal(runtime(Service(name, version))) == refusal


async def test_recursive_read_only() -> None:
    """The pod's own handler counts, else the runtime's default one; a runtime that names none cannot."""
    assert await recursive_read_only(runtime(Service(runc=True, _=False), "runc"))
    assert not await recursive_read_only(runtime(Service(runc=False, _=True), "runc"))
    assert await recursive_read_only(runtime(Service(_=True), "runc"))
    assert not await recursive_read_only(runtime(Service(), "runc"))
