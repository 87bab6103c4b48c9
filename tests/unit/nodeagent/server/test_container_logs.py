"""/containerLogs: parameters, which run is read, and the answers."""

import asyncio

import pytest

from proto import cri_pb2 as cri

PATH = "/containerLogs/default/web/main"
LOG = "2026-01-01T00:00:00.5Z stdout F one\n2026-01-01T00:00:10Z stderr F two\n2026-01-01T00:00:20Z stdout F three\n"


@pytest.fixture
def with_log(endpoint, tmp_path):
    """The endpoint, with a log file of container c1."""
    path = tmp_path / "0.log"
    path.write_text(LOG)
    endpoint.runtime.statuses["c1"] = cri.ContainerStatus(id="c1", log_path=str(path), state=cri.CONTAINER_RUNNING)
    return endpoint


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", (200, "one\ntwo\nthree\n")),
        ("?tailLines=1", (200, "three\n")),
        ("?tail=2", (200, "two\nthree\n")),
        ("?tail=all", (200, "one\ntwo\nthree\n")),
        ("?tailLines=0", (200, "")),
        ("?limitBytes=5", (200, "one\nt")),
        ("?timestamps=true&limitBytes=34", (200, "2026-01-01T00:00:00.500000000Z one\n"[:34])),
        ("?sinceTime=2026-01-01T00:00:10Z", (200, "two\nthree\n")),
        ("?sinceSeconds=1", (200, "")),
        ("?follow=false&stream=All", (200, "one\ntwo\nthree\n")),
        ("?tailLines=x", (400, '{"message": "Unable to decode query."}')),
        ("?sinceTime=yesterday", (400, '{"message": "Unable to decode query."}')),
        ("?tailLines=-1", (422, '{"message": "Invalid request."}')),
        ("?limitBytes=0", (422, '{"message": "Invalid request."}')),
        ("?sinceSeconds=0", (422, '{"message": "Invalid request."}')),
        ("?sinceSeconds=1&sinceTime=2026-01-01T00:00:10Z", (422, '{"message": "Invalid request."}')),
        (
            "?stream=Stdout",
            (
                400,
                'unable to return the given log stream: "Stdout". Please enable PodLogsQuerySplitStreams feature gate '
                "in kubelet",
            ),
        ),
        ("?previous=true", (400, 'previous terminated container "main" in pod "web" not found')),
    ],
)
async def test_parameters(with_log, query, answer):
    """Every parameter, and every way to get one wrong."""
    assert await with_log.get(PATH + query) == answer


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", (200, "one\ntwo\nthree\n")),
        ("?stream=All&tailLines=1", (200, "three\n")),
        ("?stream=Stdout", (200, "one\nthree\n")),
        ("?stream=Stderr", (200, "two\n")),
        ("?stream=Stdout&sinceTime=2026-01-01T00:00:10Z&timestamps=1", (200, "2026-01-01T00:00:20.000000000Z three\n")),
        ("?stream=Stdout&limitBytes=6", (200, "one\nth")),
        ("?stream=Stdout&tailLines=1", (422, '{"message": "Invalid request."}')),
        ("?stream=stdout", (422, '{"message": "Invalid request."}')),
    ],
)
async def test_split_streams(make_endpoint, tmp_path, query, answer):
    """With the gate open one stream can be had alone, but no tail of it: tails are counted over both."""
    endpoint = await make_endpoint(settings={"split_log_streams": True})
    path = tmp_path / "0.log"
    path.write_text(LOG)
    endpoint.runtime.statuses["c1"] = cri.ContainerStatus(id="c1", log_path=str(path), state=cri.CONTAINER_RUNNING)
    assert await endpoint.get(PATH + query) == answer


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/containerLogs/default/none/main", (404, 'pod "none" does not exist')),
        ("/containerLogs/default/web/none", (404, 'container "none" not found in pod "web"')),
        ("/containerLogs/default/web/idle", (400, 'container "idle" in pod "web" is not available')),
    ],
)
async def test_unknown(with_log, path, answer):
    """What is not there is named."""
    assert await with_log.get(path) == answer


def terminated(container_id=None):
    return {"terminated": {"exitCode": 1, **({"containerID": container_id} if container_id else {})}}


WAITING = 'container "main" in pod "web" is waiting to start: '


@pytest.mark.parametrize(
    ("state", "last", "previous", "read"),
    [
        ({"running": {}}, None, False, "c1"),
        ({"running": {}}, terminated("fake://c0"), True, "c0"),
        (terminated("fake://c2"), terminated("fake://c0"), False, "c2"),
        (terminated(), terminated("fake://c0"), False, "c0"),
        (terminated(), None, False, 'container "main" in pod "web" is terminated'),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, terminated("fake://c0"), False, "c0"),
        ({"waiting": {"reason": "ErrImagePull"}}, None, False, WAITING + "image can't be pulled"),
        ({"waiting": {"reason": "ImagePullBackOff"}}, None, False, WAITING + "trying and failing to pull image"),
        ({"waiting": {"reason": "ContainerCreating"}}, None, False, WAITING + "ContainerCreating"),
    ],
)
async def test_which_run_is_read(endpoint, state, last, previous, read):
    """The table of the facts sheet: state, last state and `previous` choose the run, or say why there is none."""
    status = endpoint.pods.document["status"]["containerStatuses"][0]
    status["state"] = state
    if last is not None:
        status["lastState"] = last
    answer = await endpoint.get(f"{PATH}?previous={str(previous).lower()}")
    told = f"unable to retrieve container logs for fake://{read}" if read.startswith("c") and len(read) == 2 else read
    assert answer == (400, told)


async def test_follow_sends_headers_at_once_and_ends_with_the_client(with_log, tmp_path):
    """A silent log answers at once; the reader ends when the client goes (the fixture fails on what is left)."""
    async with with_log.http() as http, http.get(f"{PATH}?follow=true&tailLines=0") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain")
        with (tmp_path / "0.log").open("a") as file:
            file.write("2026-01-01T00:00:30Z stdout F more\n")
        assert await asyncio.wait_for(answer.content.readline(), 30) == b"more\n"


async def test_follow_ends_with_the_container(with_log):
    """When the container has ended, so does its log."""
    with_log.runtime.statuses["c1"].state = cri.CONTAINER_EXITED
    assert await with_log.get(f"{PATH}?follow=true") == (200, "one\ntwo\nthree\n")


async def test_slow_reader(with_log, tmp_path):
    """A large log for a client that takes its time arrives whole."""
    line = "2026-01-01T00:00:00Z stdout F " + "x" * 1000 + "\n"
    (tmp_path / "0.log").write_text(line * 20000)
    async with with_log.http() as http, http.get(PATH) as answer:
        await asyncio.sleep(0.1)
        assert len(await answer.read()) == 20000 * 1001
