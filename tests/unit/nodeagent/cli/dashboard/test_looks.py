"""How often the node is looked at, and what is told when it does not answer."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
from lightkube.models.core_v1 import Container, Node, Pod, PodSpec
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.api.client import Listed
from nodeagent.api.errors import Fault, Unavailable
from nodeagent.cli.dashboard.looks import Looks

POD = Pod(
    metadata=ObjectMeta(name="web", namespace="shop"),
    spec=PodSpec(containers=[Container(name="c")], runtimeClassName="crun"),
)
SUMMARY = {
    "node": {
        "nodeName": "n1",
        "cpu": {"usageNanoCores": 5_000_000},
        "memory": {"workingSetBytes": 300, "availableBytes": 700},
    },
    "pods": [
        {
            "podRef": {"namespace": "shop", "name": "web"},
            "volume": [
                {"name": "d", "usedBytes": 1, "capacityBytes": 4, "pvcRef": {"name": "data"}},
                {"name": "kube-api-access-x", "usedBytes": 1, "capacityBytes": 4},
            ],
        },
        {"podRef": {"namespace": "shop", "name": "left-over"}},
    ],
}
EVENTS = {
    "kind": "EventList",
    "items": [
        {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web"},
            "message": "<b>ours",
        },
        {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "other"},
            "message": "theirs",
        },
        {"metadata": {"name": "e"}, "involvedObject": {"kind": "Node", "name": "n1"}, "message": "m" * 5000},
    ],
}
PARTS = {"parts": [{"name": "runtime crun", "state": "failed", "since": "2026-11-28T00:00:00Z", "reason": "gone"}]}


class Api:
    """Counts what it is asked for; `away`: answers nothing."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.away = False

    def sharing(self, **settings: Any) -> "Api":
        return self

    def _count(self, what: str) -> None:
        self.asked[what] += 1
        if self.away:
            raise Unavailable("connection refused", Fault.REFUSED)

    async def get(self, kind: type[Node], name: str) -> Node:
        self._count("Node")
        return Node()

    async def list(self, kind: type[Pod], *, field_selector: str, patient: bool) -> Listed[Pod]:
        assert field_selector == "spec.nodeName=n1"
        self._count("pods")
        return Listed(items=[POD], resource_version="1")

    async def request(self, method: str, path: str, *, patient: bool, accept: str = "") -> bytes:
        self._count(path)
        await asyncio.sleep(0)
        if path.startswith("/api/v1/events"):
            return json.dumps(EVENTS).encode()
        page = path.removeprefix("/api/v1/nodes/n1/proxy")
        return msgspec.json.encode({"/stats/summary": SUMMARY, "/statusz": PARTS, "/configz": {}}[page])


def looks(api: Any, times: list[float]) -> Looks:
    return Looks(api, "n1", clock=lambda: times[0], now=lambda: datetime(2026, 11, 28, tzinfo=UTC))


async def test_one_look_for_all() -> None:
    """Many who ask at once, and all within two seconds, share one look and its ETag; nobody asks, nobody looks."""
    api, times = Api(), [100.0]
    found = looks(api, times)
    answers = await asyncio.gather(*(found.document() for _ in range(20)))
    assert len(set(answers)) == 1
    assert set(api.asked.values()) == {1, 2}
    assert (api.asked["pods"], api.asked["Node"]) == (1, 2)  # for its conditions; and for what it is
    times[0] += 1.9
    assert await found.document() == answers[0]
    times[0] += 0.2
    assert (await found.document())[0] != answers[0][0]
    assert (api.asked["pods"], api.asked["/api/v1/events?limit=500"]) == (2, 1)
    times[0] += 10
    await found.document()
    assert (api.asked["pods"], api.asked["/api/v1/events?limit=500"]) == (3, 2)


async def test_what_is_shown() -> None:
    """All pods that the API or the node knows; runtimes with their state; events of this node; volumes but the token's."""
    found = json.loads((await looks(Api(), [0.0]).document())[1])
    assert [(pod["name"], pod["status"], pod["runtime"]) for pod in found["pods"]] == [
        ("web", "Pending", "crun"),
        ("left-over", "not in the API", ""),
    ]
    assert [(each["name"], each["state"], each["reason"], each["pods"]) for each in found["runtimes"]] == [
        ("crun", "failed", "gone", 1)
    ]
    assert found["troubles"] == [{"name": "runtime crun", "state": "failed", "reason": "gone"}]
    assert sorted(event["message"] for event in found["events"]) == ["<b>ours", "m" * 1024]
    assert [(volume["name"], volume["claim"]) for volume in found["volumes"]] == [("d", "data")]
    assert [(each["signal"], each["distance"]) for each in found["node"]["thresholds"]] == [
        ("memory.available", 700 - 104857600)
    ]


async def test_a_node_that_goes_away() -> None:
    """What was seen stays, with the reason why it is old, until the node is back."""
    api, times = Api(), [0.0]
    found = looks(api, times)
    seen = json.loads((await found.document())[1])
    api.away, times[0] = True, 5.0
    old = json.loads((await found.document())[1])
    assert (old["error"], old["seen_at"], old["pods"]) == ("connection refused", seen["seen_at"], seen["pods"])
    api.away, times[0] = False, 10.0
    assert json.loads((await found.document())[1])["error"] == ""
