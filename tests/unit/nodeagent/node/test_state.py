"""What the node is now, and who is told that it changed."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from small_machine import MACHINE

from nodeagent.node.capacity import DeviceCount, Limits
from nodeagent.node.conditions import Pressure
from nodeagent.node.facts import apparmor_error, kernel_version
from nodeagent.node.state import NodeState


def state() -> NodeState:
    return NodeState(MACHINE, Limits(system_reserved={"cpu": "1"}), storage_bytes=2**30, host_ips=["10.0.0.1"])


def test_what_pods_may_use() -> None:
    """Capacity less what is reserved; devices count as soon as they are there."""
    node = state()
    assert set(node.capacity) == {"cpu", "memory", "pods", "ephemeral-storage"}
    assert (node.capacity["cpu"], node.allocatable["cpu"]) == ("4", "3")
    node.set_devices({"example.com/gpu": DeviceCount(total=4, healthy=3)})
    assert (node.capacity["example.com/gpu"], node.allocatable["example.com/gpu"]) == ("4", "3")


@pytest.mark.parametrize(
    "change",
    [
        lambda node, on: node.set_pressure(memory=on),
        lambda node, on: node.set_pressure(disk=on),
        lambda node, on: node.set_pressure(pid=on),
        lambda node, on: node.set_shutting_down(on),
        lambda node, on: node.set_devices({"d": DeviceCount(total=1, healthy=1)} if on else {}),
    ],
    ids=["memory", "disk", "pid", "shutdown", "devices"],
)
def test_what_the_status_shows_is_published_at_once(change: Callable[[NodeState, bool], None]) -> None:
    """A change wakes who publishes, in either direction; the same again does not."""
    node = state()
    for on in (True, False):
        change(node, on)
        assert node.changed.is_set()
        node.changed.clear()
        change(node, on)
        assert not node.changed.is_set()


def test_pressures() -> None:
    """By name, in the order of the conditions; together as one value. Who watches one of them says nothing about the others."""
    node = state()
    node.set_pressure(pid=True)
    node.set_pressure(memory=True)
    assert (node.pressure, node.pressures) == (Pressure(memory=True, pid=True), ("MemoryPressure", "PIDPressure"))
    node.set_pressure(memory=False, disk=True)
    assert node.pressures == ("DiskPressure", "PIDPressure")


def test_addresses_are_asked_for() -> None:
    """They wake nobody: the status looks for them whenever it is made."""
    node = state()
    node.set_host_ips(["10.0.0.2", "fd00::2"])
    assert (node.host_ips, node.changed.is_set()) == (("10.0.0.2", "fd00::2"), False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("6.1.0-13-amd64", (6, 1)), ("5.15-generic", (5, 15)), ("6", (0, 0)), ("six.one", (0, 0)), ("", (0, 0))],
)
def test_kernel_version(text: str, expected: tuple[int, int]) -> None:
    """The two numbers that admission compares; nothing where there are none."""
    assert kernel_version(dataclasses.replace(MACHINE, kernel_version=text)) == expected


def test_apparmor(tmp_path: Path) -> None:
    """It can be enforced where the kernel says Y."""
    assert apparmor_error(tmp_path) == "AppArmor is not enabled on the host"
    file = tmp_path / "sys/module/apparmor/parameters/enabled"
    file.parent.mkdir(parents=True)
    file.write_text("Y\n")
    assert apparmor_error(tmp_path) == ""
    file.write_text("N\n")
    assert apparmor_error(tmp_path) == "AppArmor is not enabled on the host"
