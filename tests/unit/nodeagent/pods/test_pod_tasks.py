"""nodeagent.pods.pod_tasks: what goes wrong for one pod is begun again, and ends nothing else."""

import asyncio

import pytest

from nodeagent.pods import pod_tasks
from nodeagent.pods.pod_tasks import PodTasks
from runtimes.linux.retry import RetryPolicy


async def test_an_error_is_logged_and_the_work_begun_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With longer and longer pauses, while other work of the group goes on; the group is left without an error."""
    pauses: list[float] = []

    class Policy(RetryPolicy):
        def next_delay(self, attempt: int, chance: float = 0.0) -> float:
            pauses.append(super().next_delay(attempt, chance))
            return 0.0

    monkeypatch.setattr(pod_tasks, "RETRY", Policy(first_seconds=1.0, cap_seconds=3.0))
    told: list[str] = []
    fifth = asyncio.Event()

    async def fail() -> None:
        told.append("begins")
        if len(told) < 5:
            raise KeyError("uid")
        fifth.set()

    async def last() -> None:
        await fifth.wait()
        told.append("other work")

    async with asyncio.TaskGroup() as group:
        tasks = PodTasks(group)
        tasks.start(fail, "pod a")
        tasks.start(last, "pod b")
    assert told == ["begins"] * 5 + ["other work"]
    assert pauses == [1.0, 2.0, 3.0, 3.0]
    assert [record.message for record in caplog.records] == ["pod a: unexpected error, begins again in 0 s"] * 4


async def test_a_cancelled_task_is_not_begun_again() -> None:
    """Who started it may end it."""
    begun = 0

    async def hang() -> None:
        nonlocal begun
        begun += 1
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = PodTasks(group).start(hang, "pod a")
        await asyncio.sleep(0)
        task.cancel()
    assert (task.cancelled(), begun) == (True, 1)
