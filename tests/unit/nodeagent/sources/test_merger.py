"""What the merger makes of the sources' sets."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Pod

from nodeagent.podspec.pod import AgentPod
from nodeagent.sources.merger import ChangeType, PodMerger

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SEEN = "2026-01-02T03:04:05.678901000Z"


def pod(name: str, uid: str = "", **fields: Any) -> Pod:
    metadata = {"name": name, "namespace": "ns", "uid": uid or f"u-{name}", **fields.pop("metadata", {})}
    return msgspec.convert({"metadata": metadata, "spec": {"containers": []}, **fields}, Pod)


class Merged:
    """A merger, what it delivered, and the events it reported."""

    def __init__(self, *sources: str) -> None:
        self.batches: list[list[tuple[str, str]]] = []
        self.last: list[AgentPod] = []
        self.events: list[tuple[str, str]] = []
        self.it = PodMerger(self._take, sources or ("api",), self, now=lambda: NOW)

    def _take(self, changes: Any) -> None:
        self.batches.append([(change.type.value, change.pod.metadata.uid) for change in changes])
        self.last = [change.pod for change in changes]

    def event(self, ref: Any, type: str, reason: str, message: str, **_: Any) -> None:
        self.events.append((reason, message))


def test_a_set_becomes_a_diff_in_order() -> None:
    """REMOVE, ADD, UPDATE, DELETE, RECONCILE; the oldest pods are added first; what is the same is not mentioned."""
    merged = Merged()
    merged.it.replace("api", [pod("gone"), pod("upd"), pod("del"), pod("rec"), pod("same")])
    merged.it.replace(
        "api",
        [
            pod("rec", status={"phase": "Running"}),
            pod("del", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            pod("upd", metadata={"labels": {"a": "b"}}),
            pod("new2", metadata={"creationTimestamp": "2026-01-02T00:00:00Z"}),
            pod("new1", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"}),
            pod("same", metadata={"resourceVersion": "9"}),
        ],
    )
    assert merged.batches[1] == [
        ("REMOVE", "u-gone"),
        ("ADD", "u-new1"),
        ("ADD", "u-new2"),
        ("UPDATE", "u-upd"),
        ("DELETE", "u-del"),
        ("RECONCILE", "u-rec"),
    ]
    assert [kind.value for kind in ChangeType] == ["REMOVE", "ADD", "UPDATE", "DELETE", "RECONCILE"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"spec": {"containers": [], "activeDeadlineSeconds": 5}}, "UPDATE"),
        ({"metadata": {"labels": {"a": "b"}}}, "UPDATE"),
        ({"metadata": {"annotations": {"a": "b"}}}, "UPDATE"),
        ({"metadata": {"deletionGracePeriodSeconds": 3}}, "UPDATE"),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "DELETE"),
        ({"status": {"phase": "Running"}}, "RECONCILE"),
        ({"metadata": {"annotations": {"kubernetes.io/config.source": "x", "kubernetes.io/config.seen": "y"}}}, None),
        ({"metadata": {"resourceVersion": "7", "generation": 2}}, None),
        ({}, None),
    ],
)
def test_what_counts_as_a_change(change: dict[str, Any], kind: str | None) -> None:
    """Spec, labels, foreign annotations and deletion fields matter; status alone reconciles; bookkeeping is silent."""
    merged = Merged()
    merged.it.replace("api", [pod("a")])
    merged.it.update("api", pod("a", **change))
    assert merged.batches[1:] == ([[(kind, "u-a")]] if kind else [])


def test_sources_are_seen_with_their_first_set_even_if_empty() -> None:
    """all_seen needs every configured source; an empty first set is delivered as an empty list, once."""
    merged = Merged("api", "file")
    assert not merged.it.all_seen
    merged.it.replace("file", [])
    assert merged.batches == [[]]
    assert not merged.it.all_seen
    merged.it.replace("api", [pod("a")])
    assert merged.it.all_seen
    merged.it.replace("file", [])
    assert merged.batches == [[], [("ADD", "u-a")]]


async def test_all_sources_have_spoken() -> None:
    """Who waits for it goes on once the last of them has delivered, after the delivery."""
    merged, order = Merged("api", "file"), list[object]()

    async def waiter() -> None:
        await merged.it.complete()
        order.append(merged.batches[-1])

    waiting = asyncio.create_task(waiter())
    merged.it.replace("api", [])
    await asyncio.sleep(0)
    assert not waiting.done()
    merged.it.replace("file", [pod("a")])
    await waiting
    assert order == [[("ADD", "u-a")]]
    await merged.it.complete()


def test_the_agents_annotations() -> None:
    """source and seen are set on a copy; seen stays over updates; the source's object is not touched."""
    merged = Merged()
    original = pod("a", metadata={"annotations": {"kubernetes.io/config.source": "file", "x": "y"}})
    merged.it.replace("api", [original])
    wanted = {"kubernetes.io/config.source": "api", "kubernetes.io/config.seen": SEEN, "x": "y"}
    assert merged.last[0].source == "api"
    assert merged.last[0].metadata.annotations == wanted
    assert original.metadata is not None
    assert original.metadata.annotations == {"kubernetes.io/config.source": "file", "x": "y"}
    merged.it._now = lambda: datetime(2027, 1, 1, tzinfo=UTC)
    merged.it.update("api", pod("a", metadata={"labels": {"n": "w"}}))
    assert merged.last[0].metadata.annotations == {
        "kubernetes.io/config.source": "api",
        "kubernetes.io/config.seen": SEEN,
    }


def test_same_name_with_another_uid_is_another_pod() -> None:
    """The old pod is removed before the new one is added, in a set as well as in a single update."""
    merged = Merged()
    merged.it.replace("api", [pod("a", "u1")])
    merged.it.update("api", pod("a", "u2"))
    merged.it.replace("api", [pod("a", "u3")])
    assert merged.batches[1:] == [[("REMOVE", "u1"), ("ADD", "u2")], [("REMOVE", "u2"), ("ADD", "u3")]]
    merged.it.remove("api", pod("a", "u1"))
    assert len(merged.batches) == 3
    assert [item.metadata.uid for item in merged.it.pods()] == ["u3"]


def test_remove_hands_over_the_last_state() -> None:
    """A removed pod comes with what the source said last, e.g. its deletion grace period."""
    merged = Merged()
    merged.it.replace("api", [pod("a")])
    merged.it.remove("api", pod("a", metadata={"deletionGracePeriodSeconds": 7}))
    assert merged.batches[1] == [("REMOVE", "u-a")]
    assert merged.last[0].metadata.deletionGracePeriodSeconds == 7
    assert merged.it.pods() == []


def test_duplicate_names_in_one_source() -> None:
    """The later of two pods with one name is dropped with an event; the same name from two sources is fine."""
    merged = Merged("file", "http")
    merged.it.replace("file", [pod("a", "u1"), pod("a", "u2")])
    merged.it.replace("http", [pod("a", "u3")])
    assert merged.batches == [[("ADD", "u1")], [("ADD", "u3")]]
    assert merged.events == [
        (
            "FailedValidation",
            'Error validating pod a_ns from file due to duplicate pod name "a", ignoring',
        )
    ]
