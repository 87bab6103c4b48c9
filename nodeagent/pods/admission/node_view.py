"""The node as admission sees it, made from what the node is now and from its Node object in the API."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lightkube.models.core_v1 import Node

from nodeagent.api.client import ApiClient
from nodeagent.api.cluster import Cluster
from nodeagent.api.errors import ApiError
from nodeagent.node.registration import Registration
from nodeagent.node.state import NodeState
from nodeagent.node.status import RuntimeState
from nodeagent.pods.admission.rules import NodeView, admit
from nodeagent.pods.rules.model import StartFailure
from nodeagent.podspec.kept_sum import KeptSum
from nodeagent.podspec.pod import AgentPod

log = logging.getLogger(__name__)

NODE_READ_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSettings:
    """What stays as it is while the agent runs; the fields are those of `NodeView`."""

    kernel_version: tuple[int, int]
    apparmor_error: str
    allowed_unsafe_sysctls: Sequence[str]
    pod_level_resources: bool


class NodeViews:
    """`registration`: what the node is about to be registered as, which counts while the API does not show it.

    `client` None: no API to ask. `runtime`: the runtimes as last seen.
    """

    def __init__(
        self,
        settings: AdmissionSettings,
        *,
        state: NodeState,
        cluster: Cluster,
        client: ApiClient | None,
        registration: Registration,
        runtime: Callable[[], RuntimeState],
    ) -> None:
        self._settings = settings
        self._state = state
        self._cluster = cluster
        self._client = client
        self._registration = registration
        self._runtime = runtime
        self._requests = KeptSum()

    def known(self) -> NodeView:
        """As known now."""
        return self._view(self._cluster.own_node() or self._registration.node())

    async def fresh(self) -> NodeView:
        """With the Node as the API has it now; as last seen when the API cannot be asked."""
        if self._client is None:
            return self.known()
        name = self._registration.name
        try:
            async with asyncio.timeout(NODE_READ_SECONDS):
                return self._view(await self._client.get(Node, name))
        except (ApiError, TimeoutError) as error:
            log.warning("cannot read node %s anew: %s", name, error)
            return self.known()

    def admit(self, pod: AgentPod, others: Sequence[AgentPod]) -> StartFailure | None:
        """Whether the node, as known now, takes the pod beside `others`. Nobody is preempted for it."""
        return admit(pod, others, self.known())

    def _view(self, node: Node) -> NodeView:
        state, settings = self._state, self._settings
        return NodeView(
            name=self._registration.name,
            labels=(node.metadata.labels if node.metadata is not None else None) or {},
            taints=(node.spec.taints if node.spec is not None else None) or (),
            allocatable=state.allocatable,
            pressures=state.pressures,
            kernel_version=settings.kernel_version,
            allowed_unsafe_sysctls=settings.allowed_unsafe_sysctls,
            supplemental_groups_policy=self._runtime().supplemental_groups_policy,
            apparmor_error=settings.apparmor_error,
            declared_features=frozenset(state.declared_features),
            pod_level_resources=settings.pod_level_resources,
            shutting_down=state.shutting_down,
            together=self._requests.of,
        )
