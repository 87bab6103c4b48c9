"""What the runtimes still know of a pod that has stopped: sandboxes and dead containers, removed when the pod is forgotten."""

from typing import ClassVar

from typing_extensions import override

from nodeagent.pods.steps.contract import Step
from nodeagent.pods.teardown import Teardown
from proto import cri_pb2 as cri
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.registry import Runtime


class RecordsStep(Step):
    name: ClassVar[str] = "records"

    @override
    async def undo(self, teardown: Teardown) -> None:
        if not teardown.keep_records:
            await teardown.in_each(self._remove)

    async def _remove(self, runtime: Runtime, teardown: Teardown) -> None:
        found = await runtime.service.list_pod_sandbox(
            cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector={LABEL_POD_UID: teardown.uid}))
        )
        for sandbox in found.items:
            await runtime.service.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id))
