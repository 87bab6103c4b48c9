"""nodeagent.pods.observation: what a runtime holds of a pod is of one moment."""

from typing import Any, cast

import pytest

from nodeagent.pods.observation import observe
from nodeagent.podspec.pod import PodUID
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import RuntimeService
from runtimes.kube.labels import LABEL_POD_UID

ALL = ("init", "main", "trigger")


class Shrinking:
    """Containers that go one after the other; the first answers of a look come from before, the later ones from after."""

    def __init__(self, removals: int) -> None:
        self.left = list(ALL)
        self.removals = removals
        self.looks = 0

    async def list_pod_sandbox(self, request: Any) -> cri.ListPodSandboxResponse:
        return cri.ListPodSandboxResponse()

    async def list_containers(self, request: Any) -> cri.ListContainersResponse:
        self.looks += 1
        items = [cri.Container(id=name, labels={LABEL_POD_UID: "u"}) for name in self.left]
        return cri.ListContainersResponse(containers=items)

    async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
        if request.container_id == "main" and self.removals:
            self.removals -= 1
            self.left = [name for name in self.left if name == "main" and self.removals]
        if request.container_id not in self.left:
            raise errors.NotFound(f"container {request.container_id} is not there")
        state = cri.CONTAINER_EXITED
        return cri.ContainerStatusResponse(
            status=cri.ContainerStatus(id=request.container_id, state=state, started_at=1)
        )


@pytest.mark.parametrize(("removals", "looks"), [(0, 1), (1, 2)])
async def test_two_moments_are_never_mixed(removals: int, looks: int) -> None:
    """What vanishes between the list and the answers makes it look again: the init container is not there without the others."""
    runtime = Shrinking(removals)
    found = await observe(cast(RuntimeService, runtime), PodUID("u"))
    assert [item.status.id for item in found.instances] == ([] if removals else list(ALL))
    assert runtime.looks == looks


async def test_a_runtime_that_never_comes_to_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some looks what is there is taken as it is."""

    class Restless(Shrinking):
        async def container_status(self, request: cri.ContainerStatusRequest) -> cri.ContainerStatusResponse:
            if request.container_id == "trigger":
                raise errors.NotFound("gone")
            return await super().container_status(request)

    runtime = Restless(0)
    found = await observe(cast(RuntimeService, runtime), PodUID("u"))
    assert ([item.status.id for item in found.instances], runtime.looks) == (["init", "main"], 4)
