"""Looking up the node's pods for the endpoint's requests."""

from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from lightkube.models.core_v1 import ContainerStatus

from nodeagent.pods.manager import PodOnNode
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import WrongState
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.registry import Runtime


class PodLookup(Protocol):
    """What the endpoint needs of the pod engine."""

    def pods(self) -> list[PodOnNode]: ...

    def find(self, namespace: str, name: str, uid: str = "") -> PodOnNode | None: ...

    def runtime_of(self, pod: AgentPod) -> Runtime: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedPod:
    """The pod that a request's path names."""

    found: PodOnNode
    runtime: Runtime
    namespace: str
    name: str

    @property
    def uid(self) -> str:
        return self.found.pod.uid

    def running_id(self, container: str) -> str:
        """The runtime's id of a running container; empty: it is not there, or does not run."""
        status = status_of(self.found, container)
        if status is None or status.state is None or status.state.running is None:
            return ""
        return bare_id(status.containerID or "")

    async def sandbox_id(self) -> str:
        """Raises WrongState when the pod has no sandbox that is ready."""
        wanted = cri.PodSandboxFilter(label_selector={LABEL_POD_UID: self.uid})
        wanted.state.state = cri.SANDBOX_READY
        answer = await self.runtime.service.list_pod_sandbox(cri.ListPodSandboxRequest(filter=wanted))
        if not answer.items:
            raise WrongState(f"pod {self.name}_{self.namespace} has no running sandbox")
        return str(max(answer.items, key=lambda item: item.created_at).id)


def target_of(request: web.Request, pods: PodLookup) -> RequestedPod | None:
    """None: no such pod on this node."""
    info = request.match_info
    found = pods.find(info["namespace"], info["pod"], info.get("uid", ""))
    if found is None:
        return None
    return RequestedPod(found=found, runtime=pods.runtime_of(found.pod), namespace=info["namespace"], name=info["pod"])


def status_of(found: PodOnNode, name: str) -> ContainerStatus | None:
    status = found.status
    if status is None:
        return None
    lists = (status.containerStatuses, status.initContainerStatuses, status.ephemeralContainerStatuses)
    return next((item for items in lists for item in items or () if item.name == name), None)


def bare_id(container_id: str) -> str:
    """Without the runtime's name in front."""
    return container_id.rpartition("://")[2]
