"""Whatever is written: a list and the watch from it give the state at the end."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.selectors import Selection, parse_labels
from nodeagent.apiserver.storage.journal import Journal
from nodeagent.apiserver.storage.store import Store
from nodeagent.apiserver.storage.stored import Key

steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["put on", "put off", "remove", "wait", "restart"])), max_size=25
)


def state(store: Store, selection: Selection) -> dict[Key, tuple[int, bytes]]:
    return {s.key: (s.revision, s.data) for s in store.list("configmaps", selection)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.integers(0, 25), st.sampled_from(["", "on=yes", "on!=yes"]))
def test_list_and_watch_is_list(written: list[tuple[str, str]], start: int, labels: str) -> None:
    """A list at any moment, with the events of a watch from its revision carried out on it, is the list at the end:
    with selectors, with commits shared by many writes, and across restarts of the store."""
    asyncio.run(_check(written, start, Selection(labels=parse_labels(labels))))


async def _check(written: list[tuple[str, str]], start: int, selection: Selection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(RESOURCES)
        store = Store(Journal(Path(folder) / "db"), registry.index)
        listed, since = state(store, selection), store.revision
        for number, (name, action) in enumerate(written):
            if number == start:
                listed, since = state(store, selection), store.revision
            store = await _act(store, Path(folder) / "db", registry, name, action)
        await _act(store, Path(folder) / "db", registry, "", "wait")
        watcher = store.watch("configmaps", selection, since)
        last = since
        for seen in watcher.take():
            assert seen.stored.revision > last
            last = seen.stored.revision
            if seen.type == "DELETED":
                del listed[seen.stored.key]
            else:
                assert (seen.type == "ADDED") == (seen.stored.key not in listed)
                listed[seen.stored.key] = (seen.stored.revision, seen.stored.data)
        assert listed == state(store, selection)
        await store.close()


async def _act(store: Store, path: Path, registry: Registry, name: str, action: str) -> Store:
    key = Key("d", name)
    if action == "remove":
        if store.head("configmaps", key) is not None:
            store.remove("configmaps", key)
    elif action == "wait":
        await store.settled(store._last_given)
    elif action == "restart":
        await store.close()
        return Store(Journal(path), registry.index)
    else:
        obj: dict[str, Any] = {
            "metadata": {"name": name, "namespace": "d", "labels": {"on": "yes" if action == "put on" else "no"}}
        }
        store.put("configmaps", key, obj)
    return store
