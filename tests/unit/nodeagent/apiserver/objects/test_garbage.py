"""The garbage collector and the propagation policies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nodeagent.apiserver.objects.garbage import Collector
from nodeagent.apiserver.objects.owners import Owners

Cluster = Any


@pytest.fixture
async def collected(cluster: Cluster) -> AsyncIterator[Cluster]:
    """The cluster with a running collector."""
    task = asyncio.ensure_future(Collector(cluster.objects, Owners(cluster.store)).run())
    yield cluster
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def owned(cluster: Cluster, name: str, *owners: dict[str, Any], block: bool = False) -> dict[str, Any]:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if block else {}),
        }
        for owner in owners
    ]
    created: dict[str, Any] = await cluster.create(
        "configmaps", {"metadata": {"name": name, "ownerReferences": references}}
    )
    return created


async def until_gone(cluster: Cluster, *names: str) -> None:
    await until(cluster, lambda: not any(cluster.get("configmaps", name) for name in names))


async def until(cluster: Cluster, condition: Callable[[], bool]) -> None:
    """Wait until the committed state is so, looking again after every change."""
    changed = asyncio.Event()
    cluster.store.listen(lambda change: changed.set())
    async with asyncio.timeout(10):
        while not condition():
            await changed.wait()
            changed.clear()


async def test_background(collected: Cluster) -> None:
    """Dependents follow their owner, and theirs them."""
    a = await owned(collected, "a")
    b = await owned(collected, "b", a)
    await owned(collected, "c", b)
    await collected.delete("configmaps", "a", propagation="Background")
    await until_gone(collected, "a", "b", "c")


async def test_another_owner_keeps(collected: Cluster) -> None:
    """A dependent with another owner stays and forgets the one that went."""
    a, b = await owned(collected, "a"), await owned(collected, "b")
    await owned(collected, "c", a, b)
    await collected.delete("configmaps", "a")

    def owners() -> list[str]:
        return [o["name"] for o in collected.get("configmaps", "c")["metadata"]["ownerReferences"]]

    await until(collected, lambda: owners() == ["b"])


async def test_orphan(collected: Cluster) -> None:
    """Orphaned dependents stay without a reference."""
    a = await owned(collected, "a")
    await owned(collected, "b", a)
    await collected.delete("configmaps", "a", propagation="Orphan")
    await until_gone(collected, "a")
    assert "ownerReferences" not in collected.get("configmaps", "b")["metadata"]


async def test_foreground(collected: Cluster) -> None:
    """The owner goes after the dependents that block it."""
    a = await owned(collected, "a")
    b = await owned(collected, "b", a, block=True)
    await collected.patch("configmaps", "b", {"metadata": {"finalizers": ["x.y/z"]}})
    held = await collected.delete("configmaps", "a", propagation="Foreground")
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    await until(collected, lambda: "deletionTimestamp" in collected.get("configmaps", "b")["metadata"])
    assert collected.get("configmaps", "a") is not None
    assert b["metadata"]["name"] == "b"
    await collected.patch("configmaps", "b", {"metadata": {"finalizers": None}}, "merge")
    await until_gone(collected, "a", "b")


async def test_owner_that_never_was(collected: Cluster) -> None:
    """An object made for an owner that is already gone goes too; one of a kind this server does not have stays."""
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "no-such"}}
    foreign = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "uid": "theirs"}}
    await owned(collected, "kept", foreign)
    await owned(collected, "lost", gone)
    await until_gone(collected, "lost")
    assert collected.get("configmaps", "kept") is not None


async def test_work_left_by_a_crash(cluster: Cluster) -> None:
    """What was to be collected when the server stopped is collected by the next one."""
    a = await owned(cluster, "a")
    await owned(cluster, "b", a)
    await cluster.delete("configmaps", "a")
    assert cluster.get("configmaps", "b") is not None
    task = asyncio.ensure_future(Collector(cluster.objects, Owners(cluster.store)).run())
    await until_gone(cluster, "b")
    task.cancel()
