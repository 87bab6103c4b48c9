"""What the runtimes still know of a pod that has stopped: sandboxes and dead containers, removed when the pod is forgotten."""

from nodeagent.pods.slot import Slot
from nodeagent.pods.steps.contract import Ending, Work
from proto import cri_pb2 as cri
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.registry import Runtime


class Records:
    name = "records"
    deadline_seconds = None
    runs_processes = False

    def provides(self, work: Work) -> tuple[Slot[str], ...]:
        return ()

    async def run(self, work: Work) -> None:
        return

    async def undo(self, ending: Ending) -> None:
        if not ending.keep_records:
            await ending.in_each(self._remove)

    async def _remove(self, runtime: Runtime, ending: Ending) -> None:
        found = await runtime.service.list_pod_sandbox(
            cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector={LABEL_POD_UID: ending.uid}))
        )
        for sandbox in found.items:
            await runtime.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id))
