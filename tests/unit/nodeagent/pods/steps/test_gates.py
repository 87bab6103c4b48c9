"""nodeagent.pods.steps.gates, network_readiness: what a pod has to wait for, and what it does not."""

import asyncio
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Container, Pod, PodResourceClaim, PodSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.pods.network_readiness import NetworkReadiness
from nodeagent.pods.rules.model import Desired, Observed, Plan
from nodeagent.pods.steps import pod_gates
from nodeagent.pods.steps.contract import Step, StepError, SyncPass
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.dra.pod_claims import NotPrepared, wanted
from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.registry import Runtime

PROBLEM = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no file"


class NoClaims:
    """Cannot prepare any."""

    async def prepare(self, pod: AgentPod) -> None:
        for name, _ in wanted(pod):
            raise NotPrepared(f"fetch ResourceClaim {name}: this node has no API server")


class Peer:
    """A runtime with a network that comes and goes."""

    def __init__(self) -> None:
        self.ready = False
        self.fault: Exception | None = None
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def status(self, request: Any) -> cri.StatusResponse:
        self.asked += 1
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        answer = cri.StatusResponse()
        reason, message = ("", "") if self.ready else ("NetworkPluginNotReady", "no file")
        answer.status.conditions.add(type="NetworkReady", status=self.ready, reason=reason, message=message)
        return answer


def runtime(peer: Any, handler: str = "runc") -> Runtime:
    return Runtime(
        handler=handler,
        service=peer,
        images=peer,
        lifecycle=peer,
        streaming=None,
        cri_handler=handler,
        display_name=handler,
    )


class Ran(Step):
    """Tells that it ran."""

    name = "step"

    def __init__(self) -> None:
        self.ran = 0

    async def run(self, work: SyncPass) -> None:
        self.ran += 1


def work(peer: Any, *, sandbox: int | None = 0, **spec: Any) -> SyncPass:
    pod = agent_pod(
        Pod(
            metadata=ObjectMeta(name="p", namespace="default", uid="u1"),
            spec=PodSpec(**{"containers": [Container(name="c")], **spec}),
        )
    )
    plan = Plan(create_sandbox=sandbox)
    return SyncPass(desired=Desired(pod=pod), observed=Observed(), plan=plan, runtime=runtime(peer))


async def test_pods_wait_for_the_network_and_go_on_as_soon_as_it_is_there() -> None:
    """NetworkNotReady with the node's own words, again after a second; nothing is begun meanwhile; then at once."""
    peer, step, seen = Peer(), Ran(), {"runc": PROBLEM}
    networks = NetworkReadiness(lambda handler: seen.get(handler, ""))
    engine = StepEngine([step], gates=pod_gates(networks=networks, claims=NoClaims()))
    for _ in range(2):
        (error,) = await engine.carry_out(work(peer))
        assert isinstance(error, StepError)
        assert (str(error), error.event_reason, error.retry_seconds) == (
            f"network is not ready: {PROBLEM}",
            "NetworkNotReady",
            1.0,
        )
    assert step.ran == 0
    assert await engine.carry_out(work(peer, hostNetwork=True)) == []
    assert await engine.carry_out(work(peer, sandbox=None)) == []  # what has its sandbox is left alone
    assert step.ran == 2
    peer.ready = True
    assert await engine.carry_out(work(peer)) == []  # though the regular look has not come round
    assert step.ran == 3


async def test_a_network_that_is_up_costs_no_question() -> None:
    """Only one that was seen to be down is asked, by all pods at once; one that does not answer is not called down."""
    peer = Peer()
    networks = NetworkReadiness(lambda handler: "")
    assert (await networks.problem(runtime(peer)), peer.asked) == ("", 0)
    assert await networks.ask(runtime(peer)) == PROBLEM
    peer.gate.clear()
    questions = [asyncio.create_task(networks.problem(runtime(peer))) for _ in range(10)]
    await asyncio.sleep(0)
    peer.gate.set()
    assert (await asyncio.gather(*questions), peer.asked) == ([PROBLEM] * 10, 2)
    assert await networks.problem(runtime(peer, "crun")) == ""
    peer.fault = errors.Unavailable("gone")
    assert await networks.problem(runtime(peer)) == ""


async def test_pods_wait_for_their_claims() -> None:
    """FailedPrepareDynamicResources, again later, for the pod that has claims; a pod with a sandbox has had them."""
    peer, step = Peer(), Ran()
    networks = NetworkReadiness(lambda handler: "")
    engine = StepEngine([step], gates=pod_gates(networks=networks, claims=NoClaims()))
    claims = [PodResourceClaim(name="gpu", resourceClaimName="g")]
    (error,) = await engine.carry_out(work(peer, resourceClaims=claims))
    assert isinstance(error, StepError)
    assert (str(error), error.event_reason, error.retry_seconds) == (
        "Failed to prepare dynamic resources: prepare dynamic resources: "
        "fetch ResourceClaim g: this node has no API server",
        "FailedPrepareDynamicResources",
        None,
    )
    assert await engine.carry_out(work(peer, resourceClaims=claims, sandbox=None)) == []
    assert await engine.carry_out(work(peer)) == []
    assert step.ran == 2


async def test_a_gate_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and the steps are not begun."""

    class Slow:
        name, deadline_seconds = "slow", 0.0

        async def check(self, work: SyncPass) -> None:
            await asyncio.Event().wait()

    step = Ran()
    (error,) = await StepEngine([step], gates=[Slow()]).carry_out(work(Peer()))
    assert (str(error), step.ran) == ("slow: no answer within 0s", 0)
