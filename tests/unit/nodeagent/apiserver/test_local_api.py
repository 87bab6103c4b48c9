"""The API for the controllers inside the server."""

from pathlib import Path
from typing import Any

import pytest

from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.local_api import Local
from nodeagent.apiserver.pki import Pki

Cluster = Any


@pytest.fixture
def local(cluster: Cluster, tmp_path: Path) -> Local:
    return Local(cluster.objects, Pki(tmp_path / "pki", "n1", ()))


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}}


async def test_verbs(local: Local) -> None:
    """Writes go the way of HTTP and are committed when they return."""
    created = await local.create("configmaps", config_map("a"))
    await local.update("configmaps", {**created, "data": {"x": "1"}})
    patched = await local.patch("configmaps", "default", "a", {"data": {"y": "2"}})
    assert patched["data"] == {"x": "1", "y": "2"}
    assert await local.get("configmaps", "default", "a") == patched
    assert [o["metadata"]["name"] for o in await local.list("configmaps", "default")] == ["a"]
    with pytest.raises(ApiError) as caught:
        await local.update("configmaps", created)
    assert caught.value.code == 409
    await local.delete("configmaps", "default", "a", uid=created["metadata"]["uid"])
    with pytest.raises(ApiError) as caught:
        await local.get("configmaps", "default", "a")
    assert caught.value.code == 404


async def test_unknown_resource(local: Local) -> None:
    """A resource that is not here is 404, as over HTTP."""
    with pytest.raises(ApiError) as caught:
        await local.list("widgets.example.com")
    assert caught.value.code == 404


async def test_watch(local: Local) -> None:
    """What there is, SYNCED, then every change; nothing is lost between the two."""
    await local.create("configmaps", config_map("a"))
    stream = local.watch("configmaps", "default")
    first = [await anext(stream), await anext(stream)]
    await local.create("configmaps", config_map("b"))
    await local.delete("configmaps", "default", "a")
    rest = [await anext(stream), await anext(stream)]
    assert [(e.type, e.object.get("metadata", {}).get("name")) for e in (*first, *rest)] == [
        ("ADDED", "a"),
        ("SYNCED", None),
        ("ADDED", "b"),
        ("DELETED", "a"),
    ]
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator underneath


async def test_slow_watch(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that falls too far behind is told to start again."""
    monkeypatch.setattr("nodeagent.apiserver.storage.watch.MAX_QUEUED", 1)
    stream = local.watch("configmaps", "default")
    assert (await anext(stream)).type == "SYNCED"
    for name in "abc":
        await local.create("configmaps", config_map(name))
    with pytest.raises(ApiError) as caught:
        await anext(stream)
    assert caught.value.code == 410


async def test_bind(local: Local, cluster: Cluster, pod: dict[str, Any]) -> None:
    """A binding by the scheduler names the node."""
    del pod["spec"]["nodeName"]
    await cluster.create("pods", pod)
    await local.bind("default", "p", "n1")
    assert (await local.get("pods", "default", "p"))["spec"]["nodeName"] == "n1"
