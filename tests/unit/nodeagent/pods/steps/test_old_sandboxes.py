"""What a pod's sandboxes of before leave when a new one is made."""

from types import SimpleNamespace
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Pod, PodSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.pods.steps.old_sandboxes import clear_away
from proto import cri_pb2 as cri
from runtimes.errors import Internal, NotFound


class Service:
    """Notes what it is asked; fails where told."""

    def __init__(self, faults: dict[str, Exception]) -> None:
        self.faults = faults
        self.calls: list[tuple[str, str]] = []

    async def stop_pod_sandbox(self, request: cri.StopPodSandboxRequest) -> None:
        self.calls.append(("stop", request.pod_sandbox_id))
        if (fault := self.faults.get(request.pod_sandbox_id)) is not None:
            raise fault

    async def remove_pod_sandbox(self, request: cri.RemovePodSandboxRequest) -> None:
        self.calls.append(("remove", request.pod_sandbox_id))


def work(service: Service, *, ready: bool = False) -> Any:
    """Three sandboxes, c the newest; a has a container."""
    state = cri.SANDBOX_READY if ready else cri.SANDBOX_NOTREADY
    sandboxes = tuple(cri.PodSandboxStatus(id=name, state=state) for name in "cba")
    observed = Observed(sandboxes=sandboxes, instances=(Instance(sandbox_id="a", status=cri.ContainerStatus(id="x")),))
    pod = agent_pod(Pod(metadata=ObjectMeta(name="p", namespace="n", uid="u"), spec=PodSpec(containers=[])))
    return SimpleNamespace(observed=observed, runtime=SimpleNamespace(service=service), pod=pod)


async def test_every_one_is_stopped_and_the_empty_ones_go() -> None:
    """Also those that are down, as after a reboot: they hold addresses. What holds a container tells its exit code still."""
    service = Service({})
    await clear_away(work(service))
    assert service.calls == [("stop", "c"), ("remove", "c"), ("stop", "b"), ("remove", "b"), ("stop", "a")]


async def test_what_is_down_keeps_nobody_waiting() -> None:
    """A network plugin that fails for an old sandbox is told; the others are cleared away all the same."""
    service = Service({"c": Internal("no plugin"), "b": NotFound("gone")})
    await clear_away(work(service))
    assert service.calls == [("stop", "c"), ("stop", "b"), ("stop", "a")]


async def test_what_runs_must_stop_first() -> None:
    """No second sandbox beside one that is ready."""
    with pytest.raises(Internal):
        await clear_away(work(Service({"b": Internal("no")}), ready=True))
