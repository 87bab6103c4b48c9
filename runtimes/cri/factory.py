"""The factory of runtimes of type `cri`: `endpoint`, `imageEndpoint` (default: the same) and `handler`."""

from collections.abc import Mapping
from typing import Any

from runtimes.cri.endpoint import Endpoint
from runtimes.cri.service import CRIImages, CRIRuntime
from runtimes.registry import Runtime


class _Lifecycle:
    """The image service's own connection, where it has one, goes with the runtime's."""

    def __init__(self, runtime: CRIRuntime, images: Endpoint) -> None:
        self._runtime = runtime
        self._images = images

    async def start(self) -> None:
        await self._runtime.start()

    async def stop(self) -> None:
        await self._runtime.stop()
        await self._images.close()


def cri_runtime(handler: str, settings: Mapping[str, Any], context: Any = None) -> Runtime:
    """Implements `RuntimeFactory`. Raises ValueError for an endpoint that is no unix socket."""
    endpoint = Endpoint(settings["endpoint"])
    image_address = settings.get("imageEndpoint") or endpoint.address
    images = endpoint if image_address == endpoint.address else Endpoint(image_address)
    own_handler = settings.get("handler") or ""
    service = CRIRuntime(endpoint, own_handler)
    return Runtime(
        handler=handler,
        service=service,
        images=CRIImages(images),
        lifecycle=_Lifecycle(service, images),
        streaming=None,
        cri_handler=own_handler,
        display_name=handler,
    )
