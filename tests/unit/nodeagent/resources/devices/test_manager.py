"""nodeagent.resources.devices.manager: which devices containers get. docs/facts/node-resources.md 12.1."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from pod_builders import pod

from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.resources.contract import ANYWHERE, CannotAssign, CannotPrepare, Hint
from nodeagent.resources.devices.device import HEALTHY, UNHEALTHY, Device
from nodeagent.resources.devices.inventory import Count, Endpoint, Inventory
from nodeagent.resources.devices.manager import DeviceManager
from nodeagent.resources.devices.plugin import Plugin, PluginError
from nodeagent.resources.devices.state import DeviceState
from proto import deviceplugin_pb2 as api

R = "x.org/d"


class Played:
    """A plugin, played by the test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fault = ""
        self.prefers: Sequence[str] = ()

    async def preferred(self, available: Sequence[str], must: Sequence[str], count: int) -> Sequence[str]:
        self.asked.append(f"prefer {count} of {' '.join(available)}")
        return self.prefers

    async def allocate(self, ids: Sequence[str]) -> api.ContainerAllocateResponse:
        self.asked.append(f"allocate {' '.join(ids)}")
        if self.fault:
            raise PluginError(self.fault)
        return api.ContainerAllocateResponse(envs={"D": ",".join(ids)})

    async def pre_start(self, ids: Sequence[str]) -> None:
        self.asked.append(f"start {' '.join(ids)}")
        if self.fault:
            raise PluginError(self.fault)


class Shelf(Inventory):
    """Devices as the test says."""

    def __init__(self, state: DeviceState, **devices: int | None) -> None:
        super().__init__(state, start=cast("Any", None), changed=lambda counts: None)
        self.plugin = Played()
        self.options = api.DevicePluginOptions()
        self.there = True
        self._devices[R] = {
            id: Device(id=id, health=HEALTHY, nodes=frozenset() if node is None else frozenset({node}))
            for id, node in devices.items()
        }

    def ill(self, *ids: str) -> None:
        for id in ids:
            device = self._devices[R][id]
            self._devices[R][id] = Device(id=id, health=UNHEALTHY, nodes=device.nodes)

    def clear(self) -> None:
        self._devices[R] = {}

    def endpoint(self, resource: str) -> Endpoint | None:
        return Endpoint(cast("Plugin", self.plugin), self.options) if self.there else None


class Node:
    def __init__(self, folder: Path, **devices: int | None) -> None:
        self.begun: set[str] = set()
        self.state = DeviceState(folder)
        self.shelf = Shelf(self.state, **devices)
        self.manager = DeviceManager(self.state, self.shelf, lambda uid: uid in self.begun)

    async def give(self, wanted: AgentPod, hint: Hint = ANYWHERE) -> dict[str, list[str]]:
        listed = (*(wanted.spec.initContainers or ()), *wanted.spec.containers)
        for container in listed:
            await self.manager.allocate(wanted, container, hint)
        return {
            item.name: sorted(id for held in self.manager.holdings(wanted.uid, item.name) for id in held.ids)
            for item in listed
        }


def devices(count: int, **more: Any) -> dict[str, Any]:
    return {"resources": {"limits": {R: str(count)}}, **more}


async def test_first_come(tmp_path: Path) -> None:
    """Devices in their order; nobody's are given twice; asked again a container keeps what it has."""
    node = Node(tmp_path, a=None, b=None, c=None)
    one, two = pod(devices(2), {}, meta={"uid": "u"}), pod(devices(1), meta={"uid": "v"})
    assert node.manager.concerns(one)
    assert not node.manager.concerns(pod({}))
    assert await node.give(one) == {"c0": ["a", "b"], "c1": []}
    assert await node.give(two) == {"c0": ["c"]}
    assert await node.give(one) == {"c0": ["a", "b"], "c1": []}
    assert node.shelf.plugin.asked == ["allocate a b", "allocate c"]
    assert node.manager.in_use() == {R: 3}
    node.manager.release(PodUID("u"))
    assert node.manager.holders() == {PodUID("v")}


async def test_the_plugins_preference(tmp_path: Path) -> None:
    """Asked where there is a choice; what it answers beside the available ones does not count."""
    node = Node(tmp_path, a=None, b=None, c=None)
    node.shelf.options.get_preferred_allocation_available = True
    node.shelf.plugin.prefers = ["c", "x", "c"]
    assert await node.give(pod(devices(2), meta={"uid": "u"})) == {"c0": ["a", "c"]}
    assert await node.give(pod(devices(1), meta={"uid": "v"})) == {"c0": ["b"]}
    assert node.shelf.plugin.asked == ["prefer 2 of a b c", "allocate a c", "allocate b"]


async def test_init_containers_hand_on(tmp_path: Path) -> None:
    """Their devices are used again; those of sidecars are not."""
    node = Node(tmp_path, a=None, b=None, c=None)
    wanted = pod(devices(2), init=[devices(1), devices(1, restartPolicy="Always"), devices(2)], meta={"uid": "u"})
    assert await node.give(wanted) == {"i0": ["a"], "i1": ["a"], "i2": ["b", "c"], "c0": ["b", "c"]}


async def test_near_devices(tmp_path: Path) -> None:
    """Those at the nodes of the hint, then those at none, then the rest; hints tell where there are enough."""
    node = Node(tmp_path, a=0, b=1, c=1, d=None)
    wanted = pod(devices(2), meta={"uid": "u"})
    one, both = frozenset({1}), frozenset({0, 1})
    assert node.manager.hints(wanted, wanted.spec.containers) == {
        R: [Hint(nodes=frozenset({0})), Hint(nodes=one), Hint(nodes=both, preferred=False)]
    }
    assert await node.give(wanted, Hint(nodes=one)) == {"c0": ["b", "c"]}
    assert node.manager.hints(wanted, wanted.spec.containers) == {
        R: [Hint(nodes=one), Hint(nodes=both, preferred=False)]
    }
    assert await node.give(pod(devices(1), meta={"uid": "v"}), Hint(nodes=one)) == {"c0": ["d"]}
    plain = Node(tmp_path, a=None)
    assert plain.manager.hints(wanted, wanted.spec.containers) == {R: None}


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("too many", f"requested number of devices unavailable for {R}. Requested: 3, Available: 2"),
        ("none healthy", f"no healthy devices present; cannot allocate unhealthy devices {R}"),
        ("away", f"no healthy devices present; cannot allocate unhealthy devices {R}"),
        ("unregistered", f"cannot allocate unregistered device {R}"),
        ("refuses", "rpc error: broken"),
    ],
)
async def test_refusals(tmp_path: Path, case: str, text: str) -> None:
    """With upstream's words; nothing is held afterwards."""
    node = Node(tmp_path, a=None, b=None)
    if case == "none healthy":
        node.shelf.ill("a", "b")
    node.shelf.there = case not in ("away", "unregistered")
    if case == "unregistered":
        node.shelf.clear()
    node.shelf.plugin.fault = "broken" if case == "refuses" else ""
    with pytest.raises(CannotAssign) as caught:
        await node.give(pod(devices(3 if case == "too many" else 1), meta={"uid": "u"}))
    assert (caught.value.reason, str(caught.value)) == (
        "UnexpectedAdmissionError",
        f"Allocate failed due to {text}, which is unexpected",
    )
    assert node.manager.holders() == frozenset()


async def test_a_device_that_has_fallen_ill(tmp_path: Path) -> None:
    """A pod that has not begun is refused; one that runs keeps it, also while the plugin is away."""
    node = Node(tmp_path, a=None, b=None)
    wanted = pod(devices(1), meta={"uid": "u"})
    await node.give(wanted)
    node.shelf.ill("a")
    with pytest.raises(CannotAssign, match="previously allocated devices are no longer healthy"):
        await node.give(wanted)
    node.begun = {"u"}
    node.shelf.there = False
    assert await node.give(wanted) == {"c0": ["a"]}


async def test_how_a_containers_devices_are(tmp_path: Path) -> None:
    """As their plugin says; of one that it does not list any more nobody knows."""
    node = Node(tmp_path, a=None, b=None)
    await node.give(pod(devices(2), meta={"uid": "u"}))
    node.shelf.ill("b")
    assert node.manager.health_of(PodUID("u"), "c0") == {R: {"a": "Healthy", "b": "Unhealthy"}}
    assert node.manager.health_of(PodUID("u"), "c1") == {}
    assert node.state.holders_of(R) == {"u"}
    node.shelf.clear()
    assert node.manager.health_of(PodUID("u"), "c0") == {R: {"a": "Unknown", "b": "Unknown"}}


async def test_before_the_container_starts(tmp_path: Path) -> None:
    """The plugin is told where it wants to be; where it refuses, or is not there, the container cannot be made yet."""
    node = Node(tmp_path, a=None)
    await node.give(pod(devices(1), meta={"uid": "u"}))
    (answer,) = await node.manager.prepare(PodUID("u"), "c0")
    assert dict(answer.envs) == {"D": "a"}
    assert await node.manager.prepare(PodUID("u"), "other") == ()
    node.shelf.options.pre_start_required = True
    await node.manager.prepare(PodUID("u"), "c0")
    assert node.shelf.plugin.asked[-1] == "start a"
    node.shelf.plugin.fault = "no"
    with pytest.raises(CannotPrepare, match=r"^device plugin PreStartContainer rpc failed with err: no$"):
        await node.manager.prepare(PodUID("u"), "c0")
    node.shelf.there = False
    with pytest.raises(CannotPrepare, match=f"^endpoint not found in cache for a registered resource: {R}$"):
        await node.manager.prepare(PodUID("u"), "c0")


class Told:
    """A plugin that tells of its devices what the test has put down, and then goes."""

    def __init__(self, *lists: dict[str, Device]) -> None:
        self._lists = lists

    async def options(self) -> api.DevicePluginOptions:
        return api.DevicePluginOptions()

    async def watch(self) -> AsyncIterator[dict[str, Device]]:
        for each in self._lists:
            yield each
        raise PluginError("gone")

    async def close(self) -> None:
        return


async def test_what_the_node_shows(tmp_path: Path) -> None:
    """All and healthy ones; a plugin that has gone leaves them unhealthy, then none; one that never came back counts 0."""
    state = DeviceState(tmp_path)
    state.set_registered("old.org/d", ["a"])
    counts: list[dict[str, Count]] = []
    health: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    def start(work: Any, name: str) -> "asyncio.Task[None]":
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    def shown(resource: str) -> None:
        counts.append(inventory.counts())
        health.append(" ".join(device.health for device in inventory.devices(resource).values()))

    plugin = Told({"a": Device(id="a", health=HEALTHY), "b": Device(id="b", health=UNHEALTHY)})
    inventory = Inventory(
        state,
        start=start,
        changed=shown,
        connect=lambda socket: cast("Plugin", plugin),
        grace_seconds=0,
    )
    assert inventory.counts() == {"old.org/d": Count(total=0, healthy=0)}
    inventory.register(R, tmp_path / "s")
    await asyncio.gather(*tasks)
    assert [found[R] for found in counts] == [Count(2, 1), Count(2, 0), Count(0, 0)]
    assert health == ["Healthy Unhealthy", "Unknown Unknown", ""]
    assert (inventory.endpoint(R), inventory.knows(R)) == (None, True)


class Lasting(Told):
    """A plugin whose stream does not end by itself."""

    async def watch(self) -> AsyncIterator[dict[str, Device]]:
        yield {"a": Device(id="a", health=HEALTHY)}
        await asyncio.Event().wait()


async def test_a_plugin_whose_socket_is_taken_away(tmp_path: Path) -> None:
    """Its devices are counted out although its stream goes on; one that has come in its place is left alone."""
    state = DeviceState(tmp_path)
    counts: list[Count] = []
    seen = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    def start(work: Any, name: str) -> "asyncio.Task[None]":
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    def changed(resource: str) -> None:
        counts.append(inventory.counts()[resource])
        seen.set()

    inventory = Inventory(
        state, start=start, changed=changed, connect=lambda socket: cast("Plugin", Lasting()), grace_seconds=0
    )
    inventory.register(R, tmp_path / "s")
    await seen.wait()
    inventory.leave(R, tmp_path / "other")
    assert inventory.endpoint(R) is not None
    inventory.leave(R, tmp_path / "s")
    await asyncio.gather(*tasks, return_exceptions=True)
    assert counts == [Count(1, 1), Count(1, 0), Count(0, 0)]
    assert inventory.endpoint(R) is None
