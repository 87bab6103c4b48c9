"""Profiles of the process: where its CPU time goes, and what its tasks wait for."""

import asyncio
import re
import threading

import pytest


@pytest.fixture
async def endpoint(make_endpoint):
    return await make_endpoint()


def spin(stop):
    while not stop.is_set():
        sum(range(1000))


async def test_cpu(endpoint):
    """The stack of a busy thread comes first, with about as many microseconds as it was busy; one profile at a time."""
    stop = threading.Event()
    thread = threading.Thread(target=spin, args=(stop,), name="busy one")
    thread.start()
    try:
        (status, text), second = await asyncio.gather(
            endpoint.get("/debug/pprof/profile?seconds=1"), endpoint.get("/debug/pprof/profile?seconds=1")
        )
        if status != 200:
            (status, text), second = second, (status, text)
    finally:
        stop.set()
        thread.join()
    assert second == (500, "Could not enable CPU profiling: cpu profiling already in use\n")
    stacks = {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in text.splitlines()}
    busy = sum(used for stack, used in stacks.items() if stack.startswith("busy_one;"))
    assert status == 200
    assert max(stacks, key=lambda stack: stacks[stack]).startswith("busy_one;threading.Thread._bootstrap;")
    assert any(stack.endswith(f"{__name__}.spin") for stack in stacks)
    assert busy > sum(stacks.values()) / 2


async def test_stacks(endpoint):
    """Each task with all that it awaits, each thread; where, and no value."""

    async def inner(secret):
        await asyncio.Event().wait()

    async def outer():
        await inner("hunter2")

    task = asyncio.create_task(outer(), name="the hanging one")
    await asyncio.sleep(0)
    try:
        status, text = await endpoint.get("/debug/pprof/goroutine?debug=2")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    found = re.search(r"task the hanging one:\n((?:    .*\n)*)", text)
    assert status == 200
    assert found is not None
    assert [line.split()[0] for line in found[1].splitlines()] == ["outer", "inner", "wait"]
    assert "thread MainThread:\n" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/debug/pprof", 200),
        ("/debug/pprof/", 200),
        ("/debug/pprof/heap", 404),
        ("/debug/pprof/profile?seconds=0", 400),
        ("/debug/pprof/profile?seconds=301", 400),
        ("/debug/pprof/profile?seconds=x", 400),
    ],
)
async def test_answers(endpoint, path, status):
    """What there is, and that it is no Go program."""
    found, text = await endpoint.get(path)
    assert found == status
    assert ("goroutine" in text) == (status == 200)
