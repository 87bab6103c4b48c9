"""The pod's range of host ids: given at the first configuration that needs it, given back when nothing of the pod runs."""

from typing import ClassVar

from typing_extensions import override

from nodeagent.pods.steps.contract import Step
from nodeagent.pods.teardown import Teardown
from nodeagent.pods.user_namespaces import UserNamespaces


class UserNamespaceRange(Step):
    name: ClassVar[str] = "user namespace"

    def __init__(self, user_namespaces: UserNamespaces) -> None:
        self._user_namespaces = user_namespaces

    @override
    async def undo(self, teardown: Teardown) -> None:
        self._user_namespaces.release(teardown.uid)
