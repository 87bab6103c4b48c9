"""Devices of a real plugin in real containers. docs/facts/node-resources.md 12.1."""

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from device_plugin import DevicePlugin
from node_under_test import NodeUnderTest, eventually, import_image, make_node, pod_object
from pod_resources_api import pods_with_resources
from runtime_classes import runtime_class

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-managers")]

RESOURCE = "demo.example/device"
VENDOR = "natest.example/device"  # of the devices' descriptions by CDI
CDI = Path("/var/run/cdi")
SHOW = "echo $DEMO_DEVICES; echo $OWN; ls /dev | grep ^d; head -c 2 /dev/$DEMO_DEVICES | wc -c; ls /demo | head -1; "
WITH_CDI = "echo $BY_CDI; ls /dev | grep ^cdi; head -c 2 /dev/cdi-d2 | wc -c; "
WAIT = "trap 'exit 0' TERM; sleep 100000 & wait"


@pytest.fixture
def plugin(demo_image: Path) -> Iterator[tuple[NodeUnderTest, DevicePlugin]]:
    """A node, and a plugin that is not started yet."""
    place = Path(tempfile.mkdtemp(prefix="natest-"))  # short: a socket's path is at most 107 bytes
    place.chmod(0o711)
    node = make_node(place)
    node.directory.mkdir()
    import_image(node, demo_image)
    folder = place / "plugin"
    folder.mkdir()
    (folder / "cdi").write_text(VENDOR)
    made = DevicePlugin(node.root_dir / "device-plugins", folder, RESOURCE)
    had_folder = CDI.is_dir()
    CDI.mkdir(exist_ok=True)
    description = CDI / f"{place.name}.json"
    description.write_text(json.dumps(described()))
    yield node, made
    made.kill()
    try:
        node.clean()
    finally:  # a description that stays is every runtime's on this machine
        description.unlink()
        if not had_folder:
            with contextlib.suppress(OSError):  # another's files
                CDI.rmdir()
    shutil.rmtree(place)


def described() -> dict[str, Any]:
    """What a vendor says of its devices: a variable, and a device node."""
    edits = {
        id: {"env": [f"BY_CDI={id}"], "deviceNodes": [{"path": f"/dev/cdi-{id}", "hostPath": "/dev/zero"}]}
        for id in ("d1", "d2", "d3")
    }
    devices = [{"name": id, "containerEdits": own} for id, own in edits.items()]
    return {"cdiVersion": "0.6.0", "kind": VENDOR, "devices": devices}


def health(node: NodeUnderTest, name: str, **expected: str) -> None:
    """The pod's status says so of the devices that its container has, or comes to."""
    resources = [{"resourceID": id, "health": it} for id, it in expected.items()]

    def shown(pod: dict[str, Any]) -> bool:
        (container,) = pod["status"]["containerStatuses"]
        told = container.get("allocatedResourcesStatus")
        return bool(told == [{"name": RESOURCE, "resources": resources}])

    node.pod_when(name, shown)


def same_instance(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """The container has run all the time."""
    first, second = (
        [{**each, "allocatedResourcesStatus": None} for each in pod["status"]["containerStatuses"]]
        for pod in (one, other)
    )
    return first == second


def wanting(node: NodeUnderTest, name: str, count: int, command: str = WAIT, **spec: Any) -> dict[str, Any]:
    return pod_object(
        name,
        *("sh", "-c", command),
        nodeName=node.name,
        automountServiceAccountToken=False,
        resources={"limits": {RESOURCE: str(count)}},
        terminationGracePeriodSeconds=1,
        **spec,
    )


def counted(node: NodeUnderTest, capacity: str | None, allocatable: str | None) -> None:
    """The Node shows as many devices, or comes to."""

    def shown() -> tuple[Any, Any]:
        found = node.api.get(f"api/v1/nodes/{node.name}")
        assert found is not None
        return found["status"]["capacity"].get(RESOURCE), found["status"]["allocatable"].get(RESOURCE)

    eventually(lambda: shown() == (capacity, allocatable), f"{capacity} devices, {allocatable} of them healthy")


def refused(node: NodeUnderTest, name: str) -> tuple[str, str]:
    status = node.pod_when(name, lambda pod: pod["status"]["phase"] == "Failed")["status"]
    return status["reason"], status["message"]


def test_a_plugins_devices(plugin: tuple[NodeUnderTest, DevicePlugin]) -> None:
    """Counted, chosen as the plugin prefers, given with all that it asks for, on runc and on crun, refused when there are no
    more; and kept through the death of the plugin, of a device's health, and of the agent. The pod's status tells of that."""
    node, demo = plugin
    demo.set(d1=True, d2=True, d3=False)
    node.start()
    demo.start()
    counted(node, "3", "2")
    node.apply(wanting(node, "first", 1, SHOW + WITH_CDI + WAIT, env=[{"name": "OWN", "value": "of the pod"}]))
    first = node.running("first")
    shown = node.container_log("first", "c").splitlines()
    assert shown[:4] == ["d2", "of the pod", "d2", "2"]
    assert shown[-3:] == ["d2", "cdi-d2", "2"]
    health(node, "first", d2="Healthy")
    assert demo.journal == ["prefer d2 of d1 d2", "allocate d2", "start d2"]
    assert asyncio.run(shown_to_monitors(node)) == {"first": ["d2"]}
    node.apply(wanting(node, "greedy", 2))
    assert refused(node, "greedy") == (
        "UnexpectedAdmissionError",
        f"Pod was rejected: Allocate failed due to requested number of devices unavailable for {RESOURCE}. "
        "Requested: 2, Available: 1, which is unexpected",
    )

    demo.set(d1=True, d2=False, d3=False)
    counted(node, "3", "1")
    health(node, "first", d2="Unhealthy")
    demo.kill()
    counted(node, "3", "0")
    health(node, "first", d2="Unknown")
    node.apply(wanting(node, "early", 1))
    assert "no healthy devices present; cannot allocate unhealthy devices" in refused(node, "early")[1]
    demo.set(d1=True, d2=True, d3=True)
    demo.start()
    counted(node, "3", "3")
    health(node, "first", d2="Healthy")

    node.kill()
    demo.kill()
    node.start()
    counted(node, "0", "0")
    assert same_instance(node.running("first"), first)
    health(node, "first", d2="Unknown")
    demo.start()
    counted(node, "3", "3")
    node.kill()
    demo.set(d1=True, d2=True, d3=True, d4=False)
    node.start()
    counted(node, "4", "3")  # the plugin has seen the new socket, and registered again
    node.apply(wanting(node, "second", 2))
    node.running("second")
    assert demo.journal[-2:] == ["allocate d1 d3", "start d1 d3"]
    assert same_instance(node.running("first"), first)

    node.kubectl("delete", "pod", "first", "--grace-period=1")
    eventually(lambda: "d2" not in str(entries(node)), "the device is given back")
    node.apply(runtime_class("crun"), wanting(node, "third", 1, SHOW + WITH_CDI + WAIT, runtimeClassName="crun"))
    node.running("third")
    shown = node.container_log("third", "c").splitlines()
    assert (shown[0], shown[2:4], shown[-3:]) == ("d2", ["d2", "2"], ["d2", "cdi-d2", "2"])
    assert demo.journal[-2:] == ["allocate d2", "start d2"]

    node.stop()
    file = node.root_dir / "device-plugins" / "kubelet_internal_checkpoint"
    good = file.read_bytes()
    file.write_bytes(good.replace(b'"d2"', b'"d9"'))
    node.start_with("--standalone")
    assert node.agent is not None
    assert node.agent.wait(60) == 1
    node.agent = None
    assert f'delete the state file "{file}"' in node.log()
    file.write_bytes(good)


async def shown_to_monitors(node: NodeUnderTest) -> dict[str, list[str]]:
    """The devices of each pod, as the PodResources API has them."""
    return {
        pod.name: [id for container in pod.containers for held in container.devices for id in held.device_ids]
        for pod in await pods_with_resources(node.root_dir)
    }


def entries(node: NodeUnderTest) -> Any:
    file = node.root_dir / "device-plugins" / "kubelet_internal_checkpoint"
    return [entry["DeviceIDs"] for entry in json.loads(file.read_bytes())["Data"]["PodDeviceEntries"] or []]
