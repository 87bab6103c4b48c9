"""The pod's range of host ids: given at the first configuration that needs it, given back when nothing of the pod runs."""

from nodeagent.pods.slot import Slot
from nodeagent.pods.steps.contract import Work
from nodeagent.pods.teardown import Teardown
from nodeagent.pods.user_namespaces import UserNamespaces


class UserNamespaceRange:
    name = "user namespace"
    deadline_seconds = None
    runs_processes = False

    def __init__(self, user_namespaces: UserNamespaces) -> None:
        self._user_namespaces = user_namespaces

    def provides(self, work: Work) -> tuple[Slot[str], ...]:
        return ()

    async def run(self, work: Work) -> None:
        return

    async def undo(self, teardown: Teardown) -> None:
        self._user_namespaces.release(teardown.uid)
