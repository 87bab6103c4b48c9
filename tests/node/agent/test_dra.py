"""Claims of devices, prepared by real drivers for real containers. docs/facts/node-resources.md 12.3; docs/dra.md."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dra_driver import CDI, DRADriver
from node_under_test import NodeUnderTest, eventually, import_image, make_node, pod_object
from pod_resources_api import pods_with_resources
from runtime_classes import on, runtime_class

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-managers")]

GPU, NIC = "gpu.natest.example", "nic.natest.example"
SHOW = (
    "env | grep _OF= | sort; ls /dev | grep -E '^(gpu|nic)'; head -c 2 /dev/nic1 | wc -c; ls /driver | grep -c json; "
)
WAIT = "trap 'exit 0' TERM; sleep 100000 & wait"


@pytest.fixture
def site(demo_image: Path) -> Iterator[tuple[NodeUnderTest, DRADriver, DRADriver]]:
    """A node with runc and crun, and two drivers, none of them started yet."""
    place = Path(tempfile.mkdtemp(prefix="natest-"))  # short: a socket's path is at most 107 bytes
    place.chmod(0o711)
    node = make_node(place)
    node.directory.mkdir()
    import_image(node, demo_image)
    drivers = []
    for name in (GPU, NIC):
        folder = place / name.split(".")[0]
        folder.mkdir()
        drivers.append(DRADriver(node.root_dir, folder, name, node.name, node.kubeconfig))
    yield node, drivers[0], drivers[1]
    try:  # drivers take back what they have
        node.kubectl("delete", "pods", "--all", "--grace-period=1", "--timeout=50s", check=False)
    finally:
        for driver in drivers:
            driver.clean()
        node.clean()
    shutil.rmtree(place)


def device_class(driver: str) -> dict[str, Any]:
    selectors = [{"cel": {"expression": f'device.driver == "{driver}"'}}]
    return of_group("DeviceClass", driver, {"selectors": selectors})


def of_group(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def asking(driver: str, selector: str = "true") -> dict[str, Any]:
    asked = {"deviceClassName": driver, "selectors": [{"cel": {"expression": selector}}]}
    return {"devices": {"requests": [{"name": "one", "exactly": asked}]}}


def claiming(name: str, *, runtime: str = "runc", nic: bool = True, command: str = SHOW + WAIT) -> dict[str, Any]:
    """A GPU of its own, and the NIC that all share; no node is named: the scheduler is to give it its devices."""
    entries = [{"name": "gpu", "resourceClaimTemplateName": "any-gpu"}]
    if nic:
        entries.append({"name": "nic", "resourceClaimName": "shared-nic"})
    return pod_object(
        name,
        *("sh", "-c", command),
        automountServiceAccountToken=False,
        resourceClaims=entries,
        resources={"claims": [{"name": entry["name"]} for entry in entries]},
        terminationGracePeriodSeconds=1,
        **on(runtime),
    )


def offered(node: NodeUnderTest, count: int) -> None:
    def slices() -> list[Any]:
        found = node.api.get("apis/resource.k8s.io/v1/resourceslices")
        assert found is not None
        return list(found["items"])

    eventually(lambda: len(slices()) == count, f"{count} ResourceSlices")


async def shown_to_monitors(node: NodeUnderTest) -> dict[str, list[str]]:
    """The devices that each pod has by claims, as the PodResources API has them."""
    return {
        pod.name: [
            f"{device.driver_name} {device.device_name}"
            for container in pod.containers
            for claim in container.dynamic_resources
            for device in claim.claim_resources
        ]
        for pod in await pods_with_resources(node.root_dir)
    }


def told_of(node: NodeUnderTest, pod: str) -> tuple[str, str]:
    """The first of its claims in the status, and how its device is; empty: nothing yet."""
    for status in node.pod(pod)["status"]["containerStatuses"][0].get("allocatedResourcesStatus", []):
        return status["name"], status["resources"][0]["health"]
    return "", ""


def instances(pod: dict[str, Any]) -> list[tuple[str, int]]:
    return [(each["containerID"], each["restartCount"]) for each in pod["status"]["containerStatuses"]]


def prepared(node: NodeUnderTest) -> int:
    state = json.loads((node.root_dir / "dra_manager_state").read_bytes())
    return len(json.loads(state["Data"])["ClaimInfoStateList"])


def test_pods_with_claims(site: tuple[NodeUnderTest, DRADriver, DRADriver]) -> None:
    """A user with drivers on one node: claims are made of templates, allocated by expressions, prepared by each driver, shared by
    pods, usable in containers of runc and of crun; told of in the pods' statuses when they break; given to the next pod when the
    last has gone; and all of that by an agent that was killed in between.
    """
    node, gpu, nic = site
    gpu.set(gpu1="Healthy", gpu2="Healthy")
    nic.set(nic1="Healthy")
    node.start()
    node.apply(runtime_class("crun"), device_class(GPU), device_class(NIC))
    model = f'device.attributes["{GPU}"].model.startsWith("gpu")'
    node.apply(of_group("ResourceClaimTemplate", "any-gpu", {"spec": asking(GPU, model)}))
    node.apply(of_group("ResourceClaim", "shared-nic", asking(NIC)))
    gpu.start()
    nic.start()
    offered(node, 2)
    node.apply(claiming("first"))
    node.running("first")
    node.apply(claiming("second", runtime="crun"))
    second = node.running("second")
    seen = ["GPU1_OF=" + GPU, "NIC1_OF=" + NIC, "gpu1", "nic1", "2", "1"]
    assert node.container_log("first", "c").splitlines()[:6] == seen
    other = ["GPU2_OF=" + GPU, "NIC1_OF=" + NIC, "gpu2", "nic1", "2", "1"]
    assert node.container_log("second", "c").splitlines()[:6] == other
    assert [line.split()[0] for line in gpu.journal] == ["registered", "prepare", "prepare"]
    assert nic.journal == ["registered True", "prepare shared-nic"]
    shown = asyncio.run(shown_to_monitors(node))
    assert shown == {"first": [f"{GPU} gpu1", f"{NIC} nic1"], "second": [f"{GPU} gpu2", f"{NIC} nic1"]}

    gpu.set(gpu1="Unhealthy", gpu2="Healthy")
    eventually(lambda: told_of(node, "first") == ("claim:gpu", "Unhealthy"), "the pod tells of its device")
    assert told_of(node, "second") == ("claim:gpu", "Healthy")

    node.apply(claiming("third"))
    eventually(lambda: "cannot allocate all claims" in str(node.events("third")), "there is no GPU for it")

    node.kill()
    node.start()
    offered(node, 2)  # removed at the start, and published again
    assert instances(node.running("second")) == instances(second)
    assert prepared(node) == 3
    node.kubectl("delete", "pod", "first", "--grace-period=1")
    node.running("third")
    assert "gpu1" in node.container_log("third", "c")
    assert [line.split()[0] for line in gpu.journal] == [
        "registered",
        "prepare",
        "prepare",
        "registered",
        "unprepare",
        "prepare",
    ]
    node.kubectl("delete", "pod", "second", "third", "--grace-period=1")
    eventually(lambda: nic.journal[-1] == "unprepare shared-nic", "the last pod has gone, and the NIC with it")
    eventually(lambda: not prepared(node), "nothing is noted any more")
    assert not list(CDI.glob("*natest*"))

    def left() -> list[Any]:
        claims = node.api.get("apis/resource.k8s.io/v1/resourceclaims")
        assert claims is not None
        return [(claim["metadata"]["name"], claim.get("status") or {}) for claim in claims["items"]]

    eventually(lambda: left() == [("shared-nic", {})], "claims of pods are gone, the shared one is free")


def test_drivers_that_fail(site: tuple[NodeUnderTest, DRADriver, DRADriver]) -> None:
    """A driver dies in the middle of a call: the pod waits, says why in upstream's words, and starts when the driver is back. It
    keeps its end to itself until its driver has taken the devices back.
    """
    node, gpu, _ = site
    gpu.set(fault="die", gpu1="Healthy")
    node.start()
    node.apply(device_class(GPU), of_group("ResourceClaimTemplate", "any-gpu", {"spec": asking(GPU)}))
    gpu.start()
    offered(node, 1)
    node.apply(claiming("slow", nic=False, command=WAIT))
    why = node.event_when("slow", "FailedPrepareDynamicResources")
    assert why.startswith(
        "Failed to prepare dynamic resources: prepare dynamic resources: NodePrepareResources: rpc error"
    )
    gpu.kill()
    gpu.set(gpu1="Healthy")
    gpu.start()
    node.running("slow")

    gpu.kill()
    node.delete_pods("slow")
    gone = "error killing pod: DRA driver gpu.natest.example is not registered"
    eventually(lambda: gone in [text for _, text in node.events("slow")], "the driver is missed")
    assert node.pod("slow")["status"]["phase"] == "Running", "who reads of its end may give its device to another"
    gpu.start()
    eventually(lambda: node.find_pod("slow") is None, "the pod is gone")
    assert gpu.journal[-1].startswith("unprepare")
