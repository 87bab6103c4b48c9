"""The factory of runtimes of type `hollow`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from runtimes.hollow.chance import Chance
from runtimes.hollow.images import HollowImages
from runtimes.hollow.runtime import HollowRuntime, HollowSettings
from runtimes.registry import Runtime


class _Lifecycle:
    def __init__(self, runtime: HollowRuntime) -> None:
        self._runtime = runtime

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        self._runtime.close()


def hollow_runtime(handler: str, settings: Mapping[str, Any], context: Any = None) -> Runtime:
    """Implements `RuntimeFactory`. Raises ValueError for options that it does not know."""
    try:
        options = msgspec.convert(settings.get("options") or {}, HollowSettings)
        images = HollowImages(
            pull_seconds=options.pull_seconds,
            spread=options.spread,
            failures=options.failures,
            chance=Chance(options.seed),
        )
        service = HollowRuntime(options, images, handler)
    except (msgspec.ValidationError, ValueError) as error:
        raise ValueError(f"options: {error}") from error
    return Runtime(
        handler=handler,
        service=service,
        images=images,
        lifecycle=_Lifecycle(service),
        streaming=None,
        cri_handler=handler,
        display_name=handler,
    )
