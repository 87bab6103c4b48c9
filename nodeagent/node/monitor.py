"""The runtimes and their images as the node's status shows them, looked at now and then (docs/facts/pod-lifecycle.md 0.1)."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from nodeagent.node.status import ImageOnNode, RuntimeHandler, RuntimeState
from nodeagent.pods.network_readiness import network_problem
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault
from runtimes.registry import Runtime, RuntimeRegistry

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
STATUS_DEADLINE_SECONDS = 30.0


class RuntimeMonitor:
    """Asks every runtime for its condition; `on_change` is called when the answer is another than before."""

    def __init__(self, registry: RuntimeRegistry, on_change: Callable[[], None] = lambda: None) -> None:
        self._registry = registry
        self._on_change = on_change
        self._state = RuntimeState()
        self._images: tuple[ImageOnNode, ...] = ()
        self._network_problems: dict[str, str] = {}

    def state(self) -> RuntimeState:
        return self._state

    def handler(self, name: str) -> RuntimeHandler:
        """What a handler can do, as last seen; nothing for one that has not answered."""
        return next((item for item in self._state.handlers if item.name == name), RuntimeHandler(name=name))

    def network_problem(self, handler: str) -> str:
        """Why pods of a handler could not be connected when it was last asked; empty: they could, or it did not answer."""
        return self._network_problems.get(handler, "")

    def images(self) -> Sequence[ImageOnNode]:
        return self._images

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One look at every runtime, side by side."""
        runtimes = tuple(self._registry)
        answers = await asyncio.gather(*(self._status(runtime) for runtime in runtimes))
        # one that does not answer is not asked more: the others', and its own, state must not wait for it
        up = [runtime for runtime, answer in zip(runtimes, answers, strict=True) if not isinstance(answer, str)]
        versions = await asyncio.gather(*(self._version(runtime) for runtime in up))
        images = await asyncio.gather(*(self._list_images(runtime) for runtime in up))
        errors: list[str] = []
        handler_errors: list[str] = []
        handlers: list[RuntimeHandler] = []
        for runtime, answer in zip(runtimes, answers, strict=True):
            default = runtime.handler == self._registry.default_handler
            told = errors if default else handler_errors
            if isinstance(answer, str):
                told.append(f"container runtime {runtime.handler} is down: {answer}")
                continue
            self._network_problems[runtime.handler] = network_problem(answer)
            told += _errors(answer) if default else [f"{runtime.handler}: {text}" for text in _errors(answer)]
            handlers += _handlers(runtime, answer, default=default)
        by_handler = dict(zip((runtime.handler for runtime in up), versions, strict=True))
        state = RuntimeState(
            version=by_handler.get(self._registry.default_handler, ""),
            errors=tuple(dict.fromkeys(errors)),
            handler_errors=tuple(dict.fromkeys(handler_errors)) if len(runtimes) > 1 else None,
            handlers=tuple(handlers),
            supplemental_groups_policy=all(
                answer.features.supplemental_groups_policy for answer in answers if not isinstance(answer, str)
            ),
        )
        distinct = {image.id: image for found in images for image in found}
        changed = state != self._state
        self._state, self._images = state, tuple(distinct.values())
        if changed:
            self._on_change()

    async def _status(self, runtime: Runtime) -> cri.StatusResponse | str:
        try:
            async with asyncio.timeout(STATUS_DEADLINE_SECONDS):
                return await runtime.service.status(cri.StatusRequest())
        except TimeoutError:
            return f"no answer within {STATUS_DEADLINE_SECONDS:g}s"
        except (RuntimeFault, OSError) as error:
            return str(error)

    async def _version(self, runtime: Runtime) -> str:
        try:
            answer = await runtime.service.version(cri.VersionRequest())
        except (RuntimeFault, OSError):
            return ""
        return f"{answer.runtime_name}://{answer.runtime_version}"

    async def _list_images(self, runtime: Runtime) -> list[ImageOnNode]:
        try:
            answer = await runtime.images.list_images(cri.ListImagesRequest())
        except (RuntimeFault, OSError) as error:
            log.warning("runtime %s: cannot list images: %s", runtime.handler, error)
            return []
        return [
            ImageOnNode(
                id=image.id, size_bytes=image.size, digests=tuple(image.repo_digests), tags=tuple(image.repo_tags)
            )
            for image in answer.images
        ]


def _errors(answer: cri.StatusResponse) -> list[str]:
    """What keeps the node from being Ready, in the kubelet's words."""
    texts = []
    condition = next((item for item in answer.status.conditions if item.type == "RuntimeReady"), None)
    if condition is None or not condition.status:
        reason, message = (condition.reason, condition.message) if condition is not None else ("", "")
        texts.append(f"container runtime not ready: RuntimeReady=false reason:{reason} message:{message}")
    network = network_problem(answer)
    return [*texts, network] if network else texts


def _handlers(runtime: Runtime, answer: cri.StatusResponse, *, default: bool) -> list[RuntimeHandler]:
    """A peer that does not list the pod's own handler is what it says of its default one."""
    listed = {handler.name: handler.features for handler in answer.runtime_handlers}
    own = (listed[name] for name in (runtime.cri_handler, runtime.handler, "") if name in listed)
    features = next(own, cri.RuntimeHandlerFeatures())
    names = [runtime.handler, ""] if default else [runtime.handler]
    return [
        RuntimeHandler(
            name=name,
            recursive_read_only_mounts=features.recursive_read_only_mounts,
            user_namespaces=features.user_namespaces,
            image_volumes_refusal=runtime.service.capabilities.image_volumes_refusal,
        )
        for name in names
    ]
