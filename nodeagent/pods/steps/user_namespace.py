"""The pod's range of host ids: given at the first configuration that needs it, given back when nothing of the pod runs."""

from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.pods.steps.contract import Step
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import PodUID


class IdRanges(Protocol):
    def release(self, uid: PodUID) -> None:
        """The range is free. Nothing to release is fine."""
        ...


class UserNamespaceStep(Step):
    name: ClassVar[str] = "user namespace"

    def __init__(self, ranges: IdRanges) -> None:
        self._ranges = ranges

    @override
    async def undo(self, teardown: Teardown) -> None:
        self._ranges.release(teardown.uid)
