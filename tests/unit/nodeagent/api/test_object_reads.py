"""Secrets and config maps without a watch: read for each use, or kept for a while."""

from typing import Any

import msgspec
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import ConfigMap, Node

from nodeagent.api import errors
from nodeagent.api.errors import Fault
from nodeagent.api.object_reads import CachedReads, DirectReads, ttl_seconds
from nodeagent.api.objects import ObjectNotReady
from nodeagent.podspec.pod import AgentPod


def pod(uid: str, *names: str) -> AgentPod:
    volumes = [{"name": name, "configMap": {"name": name}} for name in names]
    metadata = {"uid": uid, "namespace": "ns", "name": uid}
    return agent_pod({"metadata": metadata, "spec": {"containers": [], "volumes": volumes}})


class Api:
    """Has what it is given: name -> data, or an error."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"a": "1"}
        self.asked = 0

    async def get(self, kind: type[Any], name: str, namespace: str) -> Any:
        self.asked += 1
        answer = self.found.get(name, errors.not_found("configmaps", name))
        if isinstance(answer, Exception):
            raise answer
        return kind(data={"k": answer})


def value(found: ConfigMap) -> str:
    assert found.data is not None
    text: str = found.data["k"]
    return text


async def test_get_asks_each_time() -> None:
    """Every use has what is there now."""
    api: Any = Api()
    reads = DirectReads(api)
    reads.register(pod("p", "a"))
    assert value(await reads.get_config_map("ns", "a")) == "1"
    api.found["a"] = "2"
    assert (value(await reads.get_config_map("ns", "a")), api.asked) == ("2", 2)
    assert (await reads.get_secret("ns", "a")).data == {"k": "2"}
    reads.unregister("p")


async def test_cache_keeps_for_its_time() -> None:
    """Read again when it is too old, and when another pod comes; absence is kept too; what nobody uses is forgotten."""
    api: Any = Api()
    now = [0.0]
    reads = CachedReads(api, lambda: 60.0, lambda: now[0])
    with pytest.raises(ObjectNotReady, match=r'^object "ns"/"a" not registered$'):
        await reads.get_config_map("ns", "a")
    reads.register(pod("p", "a", "b"))
    assert [value(await reads.get_config_map("ns", "a")) for _ in range(3)] == ["1"] * 3
    for _ in range(2):
        with pytest.raises(errors.NotFound):
            await reads.get_config_map("ns", "b")
    assert api.asked == 2
    api.found |= {"a": "2", "b": "new"}
    now[0] = 59.0
    assert value(await reads.get_config_map("ns", "a")) == "1"
    now[0] = 60.0
    assert [value(await reads.get_config_map("ns", name)) for name in ("a", "b")] == ["2", "new"]
    api.found["a"] = "3"
    reads.register(pod("q", "a"))
    assert value(await reads.get_config_map("ns", "a")) == "3"
    reads.unregister("p")
    with pytest.raises(ObjectNotReady):
        await reads.get_config_map("ns", "b")
    assert value(await reads.get_config_map("ns", "a")) == "3"


async def test_an_outage_leaves_what_is_known() -> None:
    """An object that cannot be read stays as it was, or fails where it never was; its removal is believed."""
    api: Any = Api()
    reads = CachedReads(api, lambda: 0.0)
    reads.register(pod("p", "a", "b"))
    assert value(await reads.get_config_map("ns", "a")) == "1"
    api.found = {"a": errors.Unavailable("down", Fault.REFUSED), "b": errors.Unavailable("down", Fault.REFUSED)}
    assert value(await reads.get_config_map("ns", "a")) == "1"
    with pytest.raises(errors.Unavailable):
        await reads.get_config_map("ns", "b")
    api.found = {}
    with pytest.raises(errors.NotFound):
        await reads.get_config_map("ns", "a")


@pytest.mark.parametrize(("annotation", "seconds"), [(None, 60.0), ("0", 0.0), ("300", 300.0), ("soon", 60.0)])
def test_the_cluster_says_for_how_long(annotation: str | None, seconds: float) -> None:
    """By the node's annotation, a minute without one."""
    annotations = {} if annotation is None else {"node.alpha.kubernetes.io/ttl": annotation}
    assert ttl_seconds(msgspec.convert({"metadata": {"annotations": annotations}}, Node)) == seconds
    assert ttl_seconds(None) == 60.0
