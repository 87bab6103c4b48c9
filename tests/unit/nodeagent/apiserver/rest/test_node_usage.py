"""What nodes use, from what they have used altogether."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.node_client import Endpoint, NodeClient
from nodeagent.apiserver.rest.node_usage import NODE, NodeUsage, Of, Reading, Usage, parse, usages

MAIN = Of(namespace="shop", pod="web", container="main")
NANO = 1_000_000_000


def page(seconds: float, node_cpu: float) -> str:
    return f"""# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total {node_cpu} {int(seconds * 1000)}
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 4096 {int(seconds * 1000)}
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{container="main",pod="web",namespace="shop"}} 5 {int(seconds * 1000)}
# TYPE container_start_time_seconds gauge
container_start_time_seconds{{container="main",pod="web",namespace="shop"}} 90
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{{container="main",pod="web",namespace="shop"}} 1000 {int(seconds * 1000)}
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{{pod="web",namespace="shop"}} 6 {int(seconds * 1000)}
# TYPE resource_scrape_error gauge
resource_scrape_error 0
"""


def test_a_page() -> None:
    """The node's figures and each container's; the pods' own are not asked for."""
    assert parse(page(100, 20)) == {
        NODE: Reading(at=100.0, cpu_seconds=20.0, memory_bytes=4096),
        MAIN: Reading(at=100.0, cpu_seconds=5.0, memory_bytes=1000, started=90.0),
    }
    with pytest.raises(ValueError, match="could not convert"):
        parse("nonsense{")


def reading(at: float, cpu: float, started: float = 10.0) -> Reading:
    return Reading(at=at, cpu_seconds=cpu, memory_bytes=7, started=started)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (reading(100, 2), reading(104, 3), (NANO // 4, 4.0)),
        (None, reading(20, 5), (NANO // 2, 10.0)),  # it began meanwhile
        (reading(100, 50, started=10), reading(110, 1, started=105), (NANO // 5, 5.0)),  # another one
        (None, reading(20, 5, started=0), None),
        (reading(100, 2), reading(100, 2), None),
        (reading(100, 2), reading(104, 1), None),
        (reading(100, 2), Reading(at=104, memory_bytes=7, started=10.0), None),
        (reading(100, 2), Reading(at=104, cpu_seconds=3, started=10.0), None),
    ],
)
def test_usage(before: Reading | None, after: Reading, expected: tuple[int, float] | None) -> None:
    """The mean of the time between, or since the start; what makes no sense, or is not known twice, is not told."""
    found = usages({MAIN: before} if before is not None else {}, {MAIN: after})
    if expected is None:
        assert found == {}
    else:
        cores, window = expected
        assert found == {MAIN: Usage(cpu_nano_cores=cores, memory_bytes=7, at=after.at, window_seconds=window)}


class Answer:
    def __init__(self, status: int, text: str) -> None:
        self.status, self._text = status, text
        self.content = self

    async def __aenter__(self) -> "Answer":
        return self

    async def __aexit__(self, *error: object) -> None:
        return

    async def iter_any(self) -> Any:
        yield self._text.encode()


class Nodes:
    """A node that uses two CPUs all the time, and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.status = 200
        self.slept: list[float] = []

    def endpoint(self, node: str) -> Endpoint:
        if node != "n1":
            raise ApiError.not_found("nodes", node)
        return Endpoint("127.0.0.1", 1)

    async def request(self, method: str, endpoint: Endpoint, path: str, headers: Any, body: Any) -> Answer:
        assert (method, path, body) == ("GET", "/metrics/resource", None)
        self.asked += 1
        return Answer(self.status, page(self.now, 2 * self.now))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def usage(self) -> NodeUsage:
        return NodeUsage(cast(NodeClient, self), clock=lambda: self.now, sleep=self.sleep)


async def test_the_first_question_takes_two_readings_and_the_next_one() -> None:
    """Who asks again at once gets the same answer; soon after, the mean since; much later it starts again."""
    nodes = Nodes()
    usage = nodes.usage()
    first = (await usage.read("n1"))[NODE]
    assert (round(first.cpu_nano_cores / NANO, 3), round(first.window_seconds, 3)) == (2.0, 1.2)
    assert (nodes.asked, nodes.slept) == (2, [1.2])
    nodes.now += 1
    assert (await usage.read("n1"))[NODE] == first
    assert nodes.asked == 2
    nodes.now += 30
    again = (await usage.read("n1"))[NODE]
    assert (nodes.asked, round(again.window_seconds, 3), nodes.slept) == (3, 31.0, [1.2])
    nodes.now += 61
    assert round((await usage.read("n1"))[NODE].window_seconds, 2) == 1.2
    assert nodes.asked == 5


async def test_several_ask_at_once() -> None:
    """The node is asked for all of them together."""
    nodes = Nodes()
    usage = nodes.usage()
    first, second = await asyncio.gather(usage.read("n1"), usage.read("n1"))
    assert first == second and nodes.asked == 2


async def test_nodes_that_do_not_tell() -> None:
    """No node, an error of the node, another page: `ApiError`, and nothing is kept of it."""
    nodes = Nodes()
    usage = nodes.usage()
    with pytest.raises(ApiError, match='"gone" not found'):
        await usage.read("gone")
    nodes.status = 403
    with pytest.raises(ApiError, match="answers 403"):
        await usage.read("n1")
    nodes.status = 200
    other = SimpleNamespace(endpoint=nodes.endpoint, request=lambda *args: _answer("{}{"))
    with pytest.raises(ApiError, match="cannot be read"):
        await NodeUsage(cast(NodeClient, other)).read("n1")
    assert NODE in await usage.read("n1")


async def _answer(text: str) -> Answer:
    return Answer(200, text)
