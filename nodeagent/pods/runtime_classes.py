"""From a pod's runtimeClassName to a runtime of this node."""

from collections.abc import Callable

from lightkube.models.node_v1 import RuntimeClass

from nodeagent.api.cluster import NotKnownYet
from nodeagent.node.status import RuntimeHandler
from nodeagent.pods.services import UnknownRuntime
from nodeagent.podspec.pod import AgentPod
from runtimes.registry import Runtime, RuntimeRegistry, UnknownHandler


class RuntimeClassResolver:
    """Resolves by the RuntimeClass objects of the API; `runtime_class(name)` answers None for one that does not exist, and raises
    NotKnownYet while that is not known."""

    def __init__(self, registry: RuntimeRegistry, runtime_class: Callable[[str], RuntimeClass | None]) -> None:
        self._registry = registry
        self._runtime_class = runtime_class

    def resolve(self, pod: AgentPod) -> Runtime:
        """Raises UnknownRuntime, whose text names the class and the handlers that exist."""
        name = pod.spec.runtimeClassName
        if not name or name == "legacy":
            return self._registry.get("")
        try:
            found = self._runtime_class(name)
        except NotKnownYet as error:
            raise UnknownRuntime(str(error)) from error
        handlers = ", ".join(self._registry.handlers)
        if found is None:
            raise UnknownRuntime(f'RuntimeClass "{name}" not found; handlers of this node: {handlers}')
        try:
            return self._registry.get(found.handler)
        except UnknownHandler as error:
            raise UnknownRuntime(f'RuntimeClass "{name}": {error}') from error

    def all(self) -> tuple[Runtime, ...]:
        return tuple(self._registry)


class PodHandlers:
    """What a pod's own runtime can do. `handler(name)`: as it has said itself."""

    def __init__(self, resolver: RuntimeClassResolver, handler: Callable[[str], RuntimeHandler]) -> None:
        self._resolver = resolver
        self._handler = handler

    def user_namespaces(self, pod: AgentPod) -> bool:
        """Whether it can give the pod users of its own; False where there is no runtime."""
        try:
            runtime = self._resolver.resolve(pod)
        except UnknownRuntime:
            return False
        return self._handler(runtime.handler).user_namespaces
