"""nodeagent.pods.status.writer: every change arrives, none twice (docs/facts/pod-lifecycle.md 6.5)."""

import asyncio
import dataclasses
from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodSpec,
    PodStatus,
)
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.errors import ApiError, Conflict, Forbidden, NotFound, NotServed, ServerError
from nodeagent.pods import pod_tasks
from nodeagent.pods.pod_tasks import PodTasks
from nodeagent.pods.status.writer import StatusWriter, only_begins
from nodeagent.podspec.pod import PodUID
from runtimes.linux.retry import RetryPolicy

UID = PodUID("u1")


def pod(version: str = "1", status: PodStatus | None = None) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="p", namespace="default", uid=UID, resourceVersion=version),
        spec=PodSpec(containers=[Container(name="c")]),
        status=status or PodStatus(phase="Pending"),
    )


class Api:
    """Takes patches like an API server; `fail` answers the next calls, `forget` drops a field as an older server does."""

    def __init__(self) -> None:
        self.current = pod()
        self.patches: list[dict[str, Any]] = []
        self.fail: list[ApiError] = []
        self.forget = ""
        self.gate = asyncio.Event()
        self.gate.set()

    async def patch(
        self, kind: type[Pod], name: str, namespace: str, patch: dict[str, Any], *, subresource: str
    ) -> Pod:
        await self.gate.wait()
        self.patches.append(patch["status"])
        if self.fail:
            raise self.fail.pop(0)
        status = msgspec.to_builtins(self.current.status) | {
            k: v for k, v in patch["status"].items() if not k.startswith("$")
        }
        status.pop(self.forget, None)
        version = str(int(self.current.metadata.resourceVersion or 0) + 1)  # type: ignore[union-attr]
        self.current = pod(version, msgspec.convert(status, PodStatus))
        return self.current


async def no_wait() -> None:
    return


async def drain(writer: StatusWriter) -> None:
    async with asyncio.timeout(5):
        await writer.settled(UID)


async def test_many_changes_during_one_patch_become_one_more() -> None:
    """While a patch is under way newer statuses replace each other; the last one follows, and no other."""
    api = Api()
    api.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        for message in ("one", "two", "three", "four"):
            writer.publish(agent_pod(pod()), PodStatus(phase="Pending", message=message), containers_may_run=True)
            await asyncio.sleep(0)
        api.gate.set()
        await drain(writer)
    assert [patch.get("message") for patch in api.patches] == ["one", "four"]
    assert writer.cached(UID) == PodStatus(phase="Pending", message="four")


async def test_what_waits_for_its_turn_is_sent_as_it_is_then() -> None:
    """A status that waits for the API's rate limit is replaced by newer ones: one patch, and none when all is as it was."""
    api, turn = Api(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, turn=turn.wait)  # type: ignore[arg-type]
        for message in ("one", "two", "three"):
            writer.publish(agent_pod(pod()), PodStatus(phase="Pending", message=message), containers_may_run=True)
            await asyncio.sleep(0)
        turn.set()
        await drain(writer)
        assert [patch["message"] for patch in api.patches] == ["three"]
        turn.clear()
        writer.publish(agent_pod(api.current), PodStatus(phase="Pending", message="four"), containers_may_run=True)
        await asyncio.sleep(0)
        writer.publish(agent_pod(api.current), PodStatus(phase="Pending", message="three"), containers_may_run=True)
        turn.set()
        await drain(writer)
    assert [patch["message"] for patch in api.patches] == ["three"]


async def test_nothing_is_sent_that_the_api_knows() -> None:
    """A status equal to the API's costs no request."""
    api = Api()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), PodStatus(phase="Pending"), containers_may_run=True)
        await drain(writer)
    assert api.patches == []


async def test_an_outage_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status that could not be sent is sent when the API is back."""
    api = Api()
    api.fail = [ServerError(500, "InternalError", "no"), ServerError(503, "ServiceUnavailable", "no")]
    real_sleep = asyncio.sleep
    monkeypatch.setattr("nodeagent.pods.status.writer.asyncio.sleep", lambda seconds: real_sleep(0))
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), PodStatus(phase="Running"), containers_may_run=True)
        await drain(writer)
    assert [patch["phase"] for patch in api.patches] == ["Running"] * 3
    assert api.current.status == PodStatus(phase="Running")


async def test_a_pod_that_is_gone_is_no_error() -> None:
    """NotFound ends the writing; whoever waits is let go."""
    api = Api()
    api.fail = [NotFound(404, "NotFound", "gone")]
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), PodStatus(phase="Running"), containers_may_run=True)
        await drain(writer)
    assert len(api.patches) == 1
    assert writer.cached(UID) is None


async def test_a_pod_that_is_another_nodes_by_now() -> None:
    """The patch meets another pod of the name (409), which the node may not read (403): the writing ends as if it were gone."""

    class OfAnotherNode(Api):
        async def get(self, kind: type[Pod], name: str, namespace: str) -> Pod:
            raise Forbidden(403, "Forbidden", "no relationship found between node 'n' and this object")

    api = OfAnotherNode()
    api.fail = [Conflict(409, "Conflict", "the UID in the precondition does not match")]
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), PodStatus(phase="Running"), containers_may_run=True)
        await drain(writer)
    assert (len(api.patches), writer.cached(UID)) == (1, None)


async def test_an_api_that_was_restored_is_told_again() -> None:
    """An object older than the last that was listed: what was written since goes out once more. One that merely lags does not."""
    api = Api()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        for version, sent in (("7", 1), ("7", 1), ("5", 2)):
            if version != "7" or not api.patches:
                api.current = pod(version)
            writer.publish(agent_pod(pod(version)), PodStatus(phase="Running"), containers_may_run=True)
            await drain(writer)
            assert len(api.patches) == sent
    assert api.current.status == PodStatus(phase="Running")


async def test_a_path_that_nobody_serves_is_not_a_pod_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """404 without an object (a proxy's, or an API without the subresource): told, and tried until it is taken."""
    api = Api()
    api.fail = [NotServed(404, "", "404 page not found")]
    real_sleep = asyncio.sleep
    monkeypatch.setattr("nodeagent.pods.status.writer.asyncio.sleep", lambda seconds: real_sleep(0))
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), PodStatus(phase="Running"), containers_may_run=True)
        await drain(writer)
    assert [patch["phase"] for patch in api.patches] == ["Running"] * 2
    assert api.current.status == PodStatus(phase="Running")


async def test_an_api_that_drops_a_field_is_not_told_for_ever() -> None:
    """A patch that was taken and changed nothing is not repeated until somebody else writes the object."""
    api = Api()
    api.forget = "message"
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        wanted = PodStatus(phase="Pending", message="new")
        writer.publish(agent_pod(pod()), wanted, containers_may_run=True)
        await drain(writer)
        writer.publish(agent_pod(api.current), wanted, containers_may_run=True)
        await drain(writer)
        assert len(api.patches) == 1
        writer.publish(agent_pod(pod("9")), wanted, containers_may_run=True)
        await drain(writer)
    assert len(api.patches) == 2


async def test_a_terminal_phase_waits_for_the_containers() -> None:
    """While containers may run the phase stays what the API shows; then it is told."""
    api = Api()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        ended = PodStatus(phase="Failed", reason="Evicted", message="why")
        writer.publish(agent_pod(pod()), ended, containers_may_run=True)
        await drain(writer)
        assert api.current.status is not None
        assert api.current.status.phase == "Pending"
        writer.publish(agent_pod(api.current), ended, containers_may_run=False)
        await drain(writer)
    assert (api.current.status.phase, api.current.status.reason) == ("Failed", "Evicted")


async def test_a_status_without_a_target_is_kept_and_not_sent() -> None:
    """A static pod without its mirror: the status is there for the node's own server, nobody else is told."""
    api = Api()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: None, no_wait)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), PodStatus(phase="Running"), containers_may_run=True)
        await drain(writer)
    assert api.patches == []
    assert writer.cached(UID) == PodStatus(phase="Running")


async def test_what_the_api_would_refuse_is_not_taken() -> None:
    """6.5: a container that ended for good and is said to run again: the status before stays, and nothing is sent."""
    api = Api()
    never = dataclasses.replace(agent_pod(pod()), spec=PodSpec(containers=[Container(name="c")], restartPolicy="Never"))

    def said(state: ContainerState) -> PodStatus:
        return PodStatus(phase="Running", containerStatuses=[status_of_c(state)])

    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        ended = said(ContainerState(terminated=ContainerStateTerminated(exitCode=3)))
        writer.publish(never, ended, containers_may_run=True)
        await drain(writer)
        writer.publish(never, said(ContainerState(running=ContainerStateRunning())), containers_may_run=True)
        await drain(writer)
        assert writer.cached(UID) == ended
    assert len(api.patches) == 1


def status_of_c(state: ContainerState) -> ContainerStatus:
    return ContainerStatus(name="c", image="i", imageID="", ready=False, restartCount=0, state=state)


async def test_a_mistake_of_ours_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that nobody expected ends neither the agent nor the pod's statuses; meanwhile nothing is sent beside it."""
    monkeypatch.setattr(pod_tasks, "RETRY", RetryPolicy(first_seconds=0.0))
    api = Api()
    unexpected: Any = KeyError("resourceVersion")
    api.fail = [unexpected]
    api.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), PodStatus(phase="Pending", message="one"), containers_may_run=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer.publish(agent_pod(pod()), PodStatus(phase="Pending", message="two"), containers_may_run=True)
        api.gate.set()
        await drain(writer)
    assert [patch["message"] for patch in api.patches] == ["one", "two"]
    assert [record.message for record in caplog.records if record.exc_info] == [
        "status u1: unexpected error, begins again in 0 s"
    ]


def beginning() -> PodStatus:
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="ContainerCreating"))
    container = ContainerStatus(image="i", imageID="", name="c", ready=False, restartCount=0, state=waiting)
    return PodStatus(phase="Pending", containerStatuses=[container])


def running() -> PodStatus:
    state = ContainerState(running=ContainerStateRunning())
    container = ContainerStatus(image="i", imageID="", name="c", ready=True, restartCount=0, state=state)
    return PodStatus(phase="Running", containerStatuses=[container])


async def test_a_start_that_is_over_soon_is_one_patch() -> None:
    """That containers are being made waits for what comes of it, which is sent at once."""
    api = Api()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait, hold_seconds=60.0)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), beginning(), containers_may_run=True)
        for _ in range(5):
            await asyncio.sleep(0)
        assert api.patches == []
        writer.publish(agent_pod(pod()), running(), containers_may_run=True)
        await drain(writer)
    assert [patch["phase"] for patch in api.patches] == ["Running"]


async def test_a_start_that_takes_long_is_told_of() -> None:
    """After a moment it is known that containers are being made; later changes are sent as they come."""
    api = Api()
    async with asyncio.TaskGroup() as tasks:
        writer = StatusWriter(api, PodTasks(tasks), lambda found: found, no_wait, hold_seconds=0.0)  # type: ignore[arg-type]
        writer.publish(agent_pod(pod()), beginning(), containers_may_run=True)
        await drain(writer)
        assert len(api.patches) == 1
        status = beginning()
        status.podIP = "10.0.0.1"
        writer._hold_seconds = 60.0
        writer.publish(agent_pod(pod()), status, containers_may_run=True)
        await drain(writer)
    assert [patch.get("podIP") for patch in api.patches] == [None, "10.0.0.1"]


@pytest.mark.parametrize(
    ("status", "only"),
    [
        (PodStatus(phase="Pending"), True),
        (PodStatus(phase="Pending", message="The node was low on resource"), False),
        (PodStatus(phase="Failed", reason="Evicted"), False),
        (running(), False),
        (beginning(), True),
    ],
)
def test_what_only_begins(status: PodStatus, only: bool) -> None:
    """A pod that waits for anything else than its containers, or that has come further, has something to tell."""
    assert only_begins(status) is only
