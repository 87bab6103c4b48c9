"""Resource claims of the pod, given back when nothing of it runs any more. They were prepared by the gate before its sandbox."""

from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.pods.steps.contract import Step, UndoPhase
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import PodUID


class PreparedClaims(Protocol):
    """Who has claims of pods prepared."""

    async def unprepare(self, uid: PodUID) -> None:
        """Nothing there is fine. Raises NotPrepared."""
        ...


class ClaimsStep(Step):
    """The pod's last status waits for it: what reads there that the pod has ended may give its devices to others."""

    name: ClassVar[str] = "claims"
    undone: ClassVar[UndoPhase] = UndoPhase.GIVE_BACK

    def __init__(self, claims: PreparedClaims) -> None:
        self._claims = claims

    @override
    async def undo(self, teardown: Teardown) -> None:
        await self._claims.unprepare(teardown.uid)
