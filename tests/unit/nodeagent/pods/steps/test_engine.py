"""nodeagent.pods.steps.engine: steps run side by side, teardown runs in reverse and runs everything."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Container, Pod, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent import logs
from nodeagent.pods.rules.model import Desired, Observed, Plan
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.step_runs import Outcome, StepRun, Verb
from nodeagent.pods.steps.contract import Step, StepError, SyncPass, UndoPhase
from nodeagent.pods.steps.engine import StepEngine
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import PodUID

POD = agent_pod(
    Pod(metadata=ObjectMeta(name="p", namespace="default", uid="u1"), spec=PodSpec(containers=[Container(name="c")]))
)
Body = Callable[[SyncPass], Awaitable[None]]


def recorded(
    name: str,
    told: list[str],
    body: Body | None = None,
    *,
    undone: UndoPhase = UndoPhase.RELEASE,
    fails: bool = False,
    deadline_seconds: float | None = None,
) -> Step:
    """A step that tells what happened to it; what one is, is in its class."""
    facts = {
        "name": name,
        "undone": undone,
        "deadline_seconds": deadline_seconds,
        "provides": ("cgroup_parent",) if name == "cgroup" else (),
    }
    made: Step = type("Recorded", (Recorded,), facts)(told, body, fails)
    return made


class Recorded(Step):
    def __init__(self, told: list[str], body: Body | None, fails: bool) -> None:
        self.told = told
        self.body = body
        self.fails = fails

    async def run(self, work: SyncPass) -> None:
        self.told.append(f"{self.name} begins")
        try:
            if self.body is not None:
                await self.body(work)
        except BaseException as error:
            self.told.append(f"{self.name} {type(error).__name__}")
            raise
        self.told.append(f"{self.name} ends")

    async def undo(self, teardown: Teardown) -> None:
        self.told.append(f"undo {self.name}")
        if self.fails:
            raise OSError(f"{self.name} is stuck")


def work() -> SyncPass:
    return SyncPass(desired=Desired(pod=POD), observed=Observed(), plan=Plan(), runtime=runtime_of(RecordedRuntime()))


def teardown() -> Teardown:
    return Teardown(pod=POD, uid=PodUID("u1"), grace_seconds=1, runtimes=(), keep_records=False)


async def test_steps_wait_for_each_other_only_through_slots() -> None:
    """A step goes as far as it can while the one before it is still at work."""
    told: list[str] = []
    go = asyncio.Event()

    async def provide(item: SyncPass) -> None:
        await go.wait()
        item.cgroup_parent.set("/pod")

    async def need(item: SyncPass) -> None:
        go.set()
        assert await item.cgroup_parent.get() == "/pod"

    engine = StepEngine([recorded("cgroup", told, provide), recorded("sandbox", told, need)])
    assert await engine.carry_out(work()) == []
    assert told == ["cgroup begins", "sandbox begins", "cgroup ends", "sandbox ends"]


async def test_a_failed_step_ends_those_that_need_it_and_is_reported_once() -> None:
    """Who waits for its slot ends quietly; who does not goes on; the error is the failed step's own."""
    told: list[str] = []

    async def fail(item: SyncPass) -> None:
        raise StepError("no cgroup", event_reason="FailedCreatePodContainer")

    async def need(item: SyncPass) -> None:
        await item.cgroup_parent.get()

    engine = StepEngine([recorded("cgroup", told, fail), recorded("sandbox", told, need), recorded("volumes", told)])
    errors = await engine.carry_out(work())
    assert [str(error) for error in errors] == ["no cgroup"]
    assert "volumes ends" in told
    assert f"sandbox {NotProvided.__name__}" in told


async def test_what_is_logged_in_a_step_carries_its_name() -> None:
    """Steps run side by side, each with its own; none is left afterwards."""
    told: list[str] = []

    async def note(item: SyncPass) -> None:
        told.append(logs.STEP.get())

    assert await StepEngine([recorded("a", [], note), recorded("b", [], note)]).carry_out(work()) == []
    assert (sorted(told), logs.STEP.get()) == (["a", "b"], "")


async def test_a_step_that_misses_its_deadline_is_named() -> None:
    """The error says which step and how long it had."""

    async def hang(item: SyncPass) -> None:
        await asyncio.Event().wait()

    step = recorded("volumes", [], hang, deadline_seconds=0.0)
    errors = await StepEngine([step]).carry_out(work())
    assert [str(error) for error in errors] == ["volumes was not ready within 0s"]


@pytest.mark.parametrize("times", [1, 2])
async def test_cancellation_reaches_every_step_and_waits_for_it(times: int) -> None:
    """A cancelled pass returns when no step runs any more, however often it is cancelled."""
    told: list[str] = []

    async def hang(item: SyncPass) -> None:
        await asyncio.Event().wait()

    engine = StepEngine([recorded("one", told, hang), recorded("two", told, hang)])
    task = asyncio.create_task(engine.carry_out(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for _ in range(times):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["one begins", "two begins", "one CancelledError", "two CancelledError"]


async def test_teardown_is_reversed_and_collects_the_errors() -> None:
    """Everything is given back in reverse order, also after one that fails; all errors come out together."""
    told: list[str] = []
    steps = [recorded("directories", told), recorded("cgroup", told, fails=True), recorded("volumes", told, fails=True)]
    with pytest.raises(ExceptionGroup) as caught:
        await StepEngine(steps).release(teardown())
    assert told == ["undo volumes", "undo cgroup", "undo directories"]
    assert [str(error) for error in caught.value.exceptions] == ["volumes is stuck", "cgroup is stuck"]


async def test_what_runs_is_stopped_apart_from_what_is_given_back() -> None:
    """`stop` ends processes and touches nothing else; `give_back` what others take next; `release` does the rest."""
    told: list[str] = []
    steps = [
        recorded("claims", told, undone=UndoPhase.GIVE_BACK),
        recorded("volumes", told),
        recorded("sandbox", told, undone=UndoPhase.STOP),
        recorded("containers", told, undone=UndoPhase.STOP),
    ]
    engine = StepEngine(steps)
    await engine.stop(teardown())
    assert told == ["undo containers", "undo sandbox"]
    await engine.give_back(teardown())
    assert told[2:] == ["undo claims"]
    await engine.release(teardown())
    assert told[3:] == ["undo volumes"]


async def test_every_step_is_observed() -> None:
    """Each run and undo is told with its name, verb and outcome."""
    seen: list[tuple[str, str, bool]] = []
    steps = [recorded("volumes", [], fails=True)]

    def note(run: StepRun) -> None:
        seen.append((run.step, run.verb.value, run.outcome is Outcome.DONE))

    engine = StepEngine(steps, observers=[note])
    await engine.carry_out(work())
    with pytest.raises(ExceptionGroup):
        await engine.release(teardown())
    assert seen == [("volumes", "run", True), ("volumes", "undo", False)]


async def test_the_steps_of_a_pod_can_be_seen() -> None:
    """While they are under way: since when, and what they wait for; of this pod only; nothing is left of them afterwards."""
    go = asyncio.Event()

    async def hang(item: SyncPass) -> None:
        await go.wait()
        item.cgroup_parent.set("/pod")

    async def need(item: SyncPass) -> None:
        await asyncio.gather(item.cgroup_parent.get(), item.cgroup_parent.get())

    ended: list[StepRun] = []
    engine = StepEngine(
        [recorded("cgroup", [], hang), recorded("sandbox", [], need), recorded("records", [])], observers=[ended.append]
    )
    task = asyncio.create_task(engine.carry_out(work()))
    for _ in range(5):
        await asyncio.sleep(0)
    runs = engine.current_steps(PodUID("u1"))
    assert [(run.step, run.verb, run.waits_for) for run in runs] == [
        ("cgroup", Verb.RUN, []),
        ("sandbox", Verb.RUN, ["cgroup", "cgroup"]),
    ]
    assert runs[0].seconds(runs[0].began + 2.5) == 2.5
    assert engine.current_steps(PodUID("u2")) == ()
    go.set()
    await task
    assert engine.current_steps(PodUID("u1")) == ()
    assert [(run.step, run.outcome, run.waits_for) for run in ended] == [
        ("records", Outcome.DONE, []),
        ("cgroup", Outcome.DONE, []),
        ("sandbox", Outcome.DONE, []),
    ]
