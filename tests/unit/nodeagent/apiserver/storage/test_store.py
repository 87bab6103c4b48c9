"""The store: commits, revisions, what survives, what watchers see."""

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.selectors import Selection, parse_labels
from nodeagent.apiserver.storage.history import Retention
from nodeagent.apiserver.storage.journal import Journal, JournalError, Row
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

A, B = Key("d", "a"), Key("d", "b")


def thing(name: str, **labels: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "d", "labels": labels}}


def names(store: Store, labels: str = "") -> list[str]:
    return [s.key.name for s in store.list("configmaps", Selection(labels=parse_labels(labels)))]


async def test_nothing_is_seen_before_the_commit(store: Store) -> None:
    """A write is in the head at once and in the committed state only when it is durable."""
    write = store.put("configmaps", A, thing("a"))
    assert (store.head("configmaps", A), store.get("configmaps", A)) == (write.stored, None)
    assert store.revision == 0
    await write.durable()
    assert (store.get("configmaps", A), store.revision) == (write.stored, 1)


async def test_writers_share_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes of the same moment go to the disk together, in order, each with its own revision."""
    batches: list[list[int]] = []
    append = Journal.append

    def counted(self: Journal, rows: list[Row], **rest: Any) -> None:
        batches.append([row.revision for row in rows])
        append(self, rows, **rest)

    monkeypatch.setattr(Journal, "append", counted)
    writes = [store.put("configmaps", Key("d", f"n{i}"), thing(f"n{i}")) for i in range(5)]
    await asyncio.gather(*(write.durable() for write in writes))
    assert batches == [[1, 2, 3, 4, 5]]


async def test_everything_is_there_after_a_restart(open_store: Any) -> None:
    """Objects, deletions and the revision counter outlive the store."""
    store = open_store()
    store.put("configmaps", A, thing("a", v="1"))
    store.put("configmaps", B, thing("b"))
    store.put("configmaps", A, thing("a", v="2"))
    await store.remove("configmaps", B).durable()
    await store.close()
    again = open_store()
    assert [(s.key, s.revision, s.index.labels) for s in again.list("configmaps")] == [(A, 3, {"v": "2"})]
    assert again.revision == 4
    write = again.put("configmaps", B, thing("b"))
    assert write.stored.revision == 5


async def test_history_outlives_a_restart(open_store: Any) -> None:
    """A watch can start at a revision from before the restart and misses nothing."""
    store = open_store()
    await store.put("configmaps", A, thing("a", v="1")).durable()
    await store.put("configmaps", A, thing("a", v="2")).durable()
    await store.remove("configmaps", A).durable()
    await store.close()
    watcher = open_store().watch("configmaps", Selection(), 1)
    assert [(s.type, s.stored.revision, s.stored.index.labels) for s in watcher.take()] == [
        ("MODIFIED", 2, {"v": "2"}),
        ("DELETED", 3, {"v": "2"}),
    ]


async def test_compaction(open_store: Any, clock: Any) -> None:
    """Old changes are forgotten with the next write: their revisions are 410, their rows are gone, objects stay."""
    store = open_store(Retention(min_age_seconds=1, max_age_seconds=10))
    await store.put("configmaps", A, thing("a", v="1")).durable()
    await store.put("configmaps", A, thing("a", v="2")).durable()
    await store.put("configmaps", B, thing("b")).durable()
    await store.remove("configmaps", B).durable()
    clock.forward(11)
    await store.put("secrets", A, thing("a")).durable()
    assert store.compacted == 4
    with pytest.raises(ApiError) as caught:
        store.watch("configmaps", Selection(), 3)
    assert (caught.value.code, caught.value.reason, caught.value.message) == (
        410,
        "Expired",
        "too old resource version: 3 (4)",
    )
    await store.close()
    again = open_store()
    assert (again.compacted, again.revision, names(again)) == (4, 5, ["a"])
    assert [row.revision for row in again._journal.rows()] == [2, 5]


async def test_counter_survives_compaction_of_everything(open_store: Any, clock: Any) -> None:
    """Even when every row is gone the counter goes on where it was."""
    store = open_store(Retention(min_age_seconds=1, max_age_seconds=10))
    await store.put("configmaps", A, thing("a")).durable()
    await store.remove("configmaps", A).durable()
    clock.forward(11)
    store._history.trim(clock.seconds)
    store._journal.append([], forget=[1, 2], compacted=2)
    await store.close()
    assert open_store().put("configmaps", A, thing("a")).stored.revision == 3


async def test_failed_commit_undoes_everything(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the writers are told, nothing of it is visible, and the next write works."""
    await store.put("configmaps", A, thing("a", v="1")).durable()
    watcher = store.watch("configmaps", Selection(), 1)

    def full(self: Journal, rows: object, **rest: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", full)
        change, more = store.put("configmaps", A, thing("a", v="2")), store.put("configmaps", B, thing("b"))
        for write in (change, more):
            with pytest.raises(ApiError) as caught:
                await write.durable()
            assert caught.value.code == 500
    head = store.head("configmaps", A)
    assert head is not None and head.index.labels == {"v": "1"}
    assert (names(store), store.head("configmaps", B), list(watcher.take())) == (["a"], None, [])
    write = store.put("configmaps", B, thing("b"))
    await write.durable()
    assert write.stored.revision == 4
    assert [s.type for s in watcher.take()] == ["ADDED"]


async def test_failed_commit_takes_what_was_built_on_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write decided while a doomed commit was at the disk fails with it: it may have read what never was."""
    loop, at_disk, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slow_and_full(self: Journal, rows: object, **rest: object) -> None:
        loop.call_soon_threadsafe(at_disk.set)
        go_on.wait(30)
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", slow_and_full)
        doomed = store.put("configmaps", A, thing("a", v="1"))
        await at_disk.wait()
        later = store.put("configmaps", A, thing("a", v="2"))
        go_on.set()
        for write in (doomed, later):
            with pytest.raises(ApiError, match="disk is full"):
                await write.durable()
    assert (names(store), store.head("configmaps", A)) == ([], None)
    await store.put("configmaps", B, thing("b")).durable()
    assert names(store) == ["b"]


async def test_failing_listener_stops_nobody(store: Store) -> None:
    """A bug in one listener neither loses the commit nor the next one."""

    def broken(change: object) -> None:
        raise RuntimeError("bug")

    store.listen(broken)
    await store.put("configmaps", A, thing("a")).durable()
    await store.put("configmaps", B, thing("b")).durable()
    assert names(store) == ["a", "b"]


async def test_selector_transitions(store: Store) -> None:
    """An object that begins to match is ADDED, one that ceases is DELETED with its old content and the new revision."""
    watcher = store.watch("configmaps", Selection(labels=parse_labels("on=yes")), 0)
    for labels in ({"on": "no"}, {"on": "yes"}, {"on": "yes", "x": "1"}, {"on": "no"}, {"on": "yes"}):
        await store.put("configmaps", A, thing("a", **labels)).durable()
    await store.remove("configmaps", A).durable()
    seen = [(s.type, s.stored.decode()["metadata"]["resourceVersion"], s.stored.index.labels) for s in watcher.take()]
    assert seen == [
        ("ADDED", "2", {"on": "yes"}),
        ("MODIFIED", "3", {"on": "yes", "x": "1"}),
        ("DELETED", "4", {"on": "yes", "x": "1"}),
        ("ADDED", "5", {"on": "yes"}),
        ("DELETED", "6", {"on": "yes"}),
    ]


async def test_slow_watcher_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that takes nothing is closed when its queue is full, and holds no memory."""
    monkeypatch.setattr("nodeagent.apiserver.storage.watch.MAX_QUEUED", 3)
    watcher = store.watch("configmaps", Selection(), 0)
    for _ in range(4):
        await store.put("configmaps", A, thing("a")).durable()
    assert (watcher.lost, watcher.closed, list(watcher.take())) == (True, True, [])


async def test_watch_of_the_future(store: Store) -> None:
    """A revision that this store never gave is 504 with the cause that makes clients start over."""
    with pytest.raises(ApiError) as caught:
        store.watch("configmaps", Selection(), 7)
    assert (caught.value.code, caught.value.message) == (504, "Too large resource version: 7, current: 0")
    assert caught.value.details is not None
    assert caught.value.details["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_state_at(store: Store) -> None:
    """The past can be listed as it was."""
    await store.put("configmaps", A, thing("a", v="1")).durable()
    await store.put("configmaps", B, thing("b")).durable()
    await store.put("configmaps", A, thing("a", v="2")).durable()
    await store.remove("configmaps", B).durable()
    states = [[(s.key.name, s.index.labels.get("v")) for s in store.state_at("configmaps", r)] for r in range(5)]
    assert states == [[], [("a", "1")], [("a", "1"), ("b", None)], [("a", "2"), ("b", None)], [("a", "2")]]


async def test_settled(store: Store) -> None:
    """Waiting for a revision in flight ends with its commit; an old one is no wait at all."""
    write = store.put("configmaps", A, thing("a"))
    await store.settled(write.stored.revision)
    assert store.revision == 1
    await store.settled(1)


def test_one_server_per_file(tmp_path: Path) -> None:
    """A second journal on the same file is refused, and the file is for its owner only."""
    first = Journal(tmp_path / "db")
    assert os.stat(tmp_path / "db").st_mode & 0o777 == 0o600
    with pytest.raises(JournalError, match="locked"):
        Journal(tmp_path / "db")
    first.close()


def test_damaged_file(tmp_path: Path) -> None:
    """A file that is no journal is refused with its path."""
    (tmp_path / "db").write_bytes(b"this is not a database, not at all" * 100)
    with pytest.raises(JournalError, match="db"):
        Journal(tmp_path / "db")


def test_newer_format(tmp_path: Path) -> None:
    """A file of a later release is left alone."""
    journal = Journal(tmp_path / "db")
    journal._db.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
    journal.close()
    with pytest.raises(JournalError, match="format 99"):
        Journal(tmp_path / "db")


async def test_unknown_resources_are_kept(open_store: Any, registry: Registry) -> None:
    """Objects of a kind that this release does not have are neither lost nor in the way."""
    store = open_store()
    await store.put("widgets.example.com", A, thing("a")).durable()
    await store.close()
    assert open_store().get("widgets.example.com", A) is not None


def test_the_place_of_the_log_is_kept(tmp_path: Path) -> None:
    """A journal that was closed can be opened where no file can be made any more: its log's is there, and nothing is lost."""
    journal = Journal(tmp_path / "db")
    row = Row(revision=1, resource="pods", key=Key("default", "a"), data=b"{}")
    journal.append([row])
    journal.close()
    before = sorted(path.name for path in tmp_path.iterdir())
    assert before == ["db", "db-wal"]
    again = Journal(tmp_path / "db")
    assert list(again.rows()) == [row]
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    again.close()
