"""nodeagent.pods.observation: what a runtime holds of a pod is of one moment."""

from typing import Any, cast

import pytest

from nodeagent.pods.observation import before_hooks, observe
from nodeagent.pods.rules.model import Instance, Observed
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


def test_a_container_whose_hook_runs_has_not_started() -> None:
    """It is shown as made; one that has ended, or has no hook to wait for, is shown as it is."""
    states = {"hooked": cri.CONTAINER_RUNNING, "ended": cri.CONTAINER_EXITED, "other": cri.CONTAINER_RUNNING}
    observed = Observed(
        instances=tuple(
            Instance(sandbox_id="s", status=cri.ContainerStatus(id=name, state=state, started_at=7))
            for name, state in states.items()
        )
    )
    shown = {item.status.id: item.status for item in before_hooks(observed, {"hooked", "ended"}).instances}
    assert {name: status.state for name, status in shown.items()} == states | {"hooked": cri.CONTAINER_CREATED}
    assert [shown[name].started_at for name in states] == [0, 7, 7]
    assert [item.status.started_at for item in observed.instances] == [7, 7, 7]
