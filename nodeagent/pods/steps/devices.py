"""What containers have of the node for themselves, made ready for each that is to be created: CPUs, memory, devices.

It was given to them as the pod was admitted (`nodeagent/resources/`).
"""

from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.pods.cancellation import run_all
from nodeagent.pods.rules.model import StartContainer
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import SlotName, StartError, Step, SyncPass
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.contract import Assigned, CannotPrepare


class NodeResources(Protocol):
    """Who knows what containers were given."""

    async def prepare(self, pod: AgentPod, container: str) -> Assigned:
        """Make it ready for the container, which is created next. Raises CannotPrepare."""
        ...


class DevicesStep(Step):
    """`prepare` bounds itself."""

    name: ClassVar[str] = "devices"
    provides: ClassVar[tuple[SlotName, ...]] = ("assigned",)

    def __init__(self, resources: NodeResources) -> None:
        self._resources = resources

    @override
    async def run(self, work: SyncPass) -> None:
        await run_all(self._prepare(work, start) for start in work.plan.start)

    async def _prepare(self, work: SyncPass, start: StartContainer) -> None:
        slot = work.assigned[start.name]
        try:
            # devices are made ready right before they are used, not before a long pull
            await work.images[start.name].get()
            slot.set(await self._resources.prepare(work.pod, start.name))
        except CannotPrepare as error:
            slot.fail(StartError("CreateContainerConfigError", str(error)))
        except (NotProvided, StartError):
            pass  # who makes the image tells why
        finally:
            slot.fail()
