"""One claim at a time, with an API and a driver that answer as a test says. The real ones: tests/node/provisioner."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim
from lightkube.models.storage_v1 import StorageClass

from csi import errors as csi_errors
from nodeagent.api import errors
from nodeagent.provisioner.provisioning import Provisioning
from nodeagent.provisioner.work_queue import Failed
from proto import csi_pb2 as csi

DRIVER = "d.example"
HELD = "nodeagent.dev/provisioning"


class Api:
    """An ApiClient that knows one class, and remembers what was written."""

    def __init__(self, provisioner: str = DRIVER) -> None:
        self.provisioner = provisioner
        self.written: list[Any] = []

    async def get(self, _kind: type, name: str, _namespace: str | None = None) -> StorageClass:
        if not self.provisioner:
            raise errors.NotFound(404, "NotFound", f"no {name}")
        return msgspec.convert({"metadata": {"name": name}, "provisioner": self.provisioner}, StorageClass)

    async def create(self, obj: PersistentVolume) -> None:
        self.written.append(obj)

    async def patch(self, _kind: type, _name: str, _namespace: str | None, patch: Any) -> None:
        self.written.append(patch["metadata"])


class Driver:
    """`trouble`: raised by CreateVolume."""

    name = DRIVER

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.calls: list[str] = []
        self.controller = self

    async def topology(self) -> dict[str, str]:
        return {}

    async def create_volume(self, request: csi.CreateVolumeRequest) -> csi.CreateVolumeResponse:
        self.calls.append(f"create {request.name}")
        if self.trouble is not None:
            raise self.trouble
        return csi.CreateVolumeResponse(volume=csi.Volume(volume_id="h"))

    async def delete_volume(self, request: csi.DeleteVolumeRequest) -> None:
        self.calls.append(f"delete {request.volume_id}")


class Told(list[tuple[str, str]]):
    def event(self, _ref: Any, _type: str, reason: str, message: str) -> None:
        self.append((reason, message))


def claim(*, ending: bool = False, held: bool = False, node: str = "n1") -> PersistentVolumeClaim:
    annotations = {"volume.kubernetes.io/storage-provisioner": DRIVER, "volume.kubernetes.io/selected-node": node}
    metadata: dict[str, Any] = {"name": "c", "namespace": "ns", "uid": "u1", "annotations": annotations}
    metadata |= {"finalizers": [HELD]} if held else {}
    metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if ending else {}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "s",
        "volumeMode": "Filesystem",
    }
    return msgspec.convert({"metadata": metadata, "spec": spec}, PersistentVolumeClaim, strict=False)


def provisioning(api: Api, driver: Driver, told: Told) -> Provisioning:
    return Provisioning(api, driver, told, "n1")  # type: ignore[arg-type]  # as far as they are used


@pytest.mark.parametrize(
    ("api", "asked", "why"),
    [
        (Api("other.example"), claim(), 'the class is of provisioner "other.example"'),
        (Api(""), claim(), 'storageclass.storage.k8s.io "s" not found'),
        (Api(), claim(node="n2"), 'volumes are made on node "n1" alone, not on "n2"'),
    ],
)
async def test_what_cannot_be_is_told(api: Api, asked: PersistentVolumeClaim, why: str) -> None:
    """On the claim, with nothing written and the driver not asked: whatever its annotations say, its class decides."""
    driver, told = Driver(), Told()
    with pytest.raises(Failed):
        await provisioning(api, driver, told).provision(asked, None)
    assert told == [("ProvisioningFailed", f'failed to provision volume with StorageClass "s": {why}')]
    assert (api.written, driver.calls) == ([], [])


async def test_a_driver_that_is_away() -> None:
    """Is started again: no event makes a claim's author look for what will be over in a moment."""
    told = Told()
    with pytest.raises(Failed):
        await provisioning(Api(), Driver(csi_errors.Unreachable("nobody")), told).provision(claim(), None)
    assert [reason for reason, _ in told] == ["Provisioning"]


@pytest.mark.parametrize(
    ("api", "trouble", "calls"),
    [
        (Api(), None, ["create pvc-u1", "delete h"]),
        (Api(), csi_errors.OutOfRange("no"), ["create pvc-u1"]),
        (Api(""), None, []),
    ],
)
async def test_a_claim_that_is_given_up(api: Api, trouble: Exception | None, calls: list[str]) -> None:
    """What may have been made for it is found by its name, and deleted; then it goes, also if nothing can be found any more."""
    driver = Driver(trouble)
    await provisioning(api, driver, Told()).provision(claim(ending=True, held=True), None)
    assert driver.calls == calls
    assert api.written == [{"uid": "u1", "$deleteFromPrimitiveList/finalizers": [HELD]}]


async def test_a_claim_for_which_nothing_was_made() -> None:
    """The driver has said so: it is not asked again only to be asked to delete."""
    api, driver = Api(), Driver(csi_errors.Exhausted("full"))
    tried = provisioning(api, driver, Told())
    with pytest.raises(Failed):
        await tried.provision(claim(), None)
    await tried.provision(claim(ending=True, held=True), None)
    assert driver.calls == ["create pvc-u1"]


async def test_uncertain_is_asked_again() -> None:
    """A claim that is being deleted stays until the driver has answered for certain."""
    api, driver = Api(), Driver(csi_errors.Timeout("late"))
    with pytest.raises(Failed):
        await provisioning(api, driver, Told()).provision(claim(ending=True, held=True), None)
    assert api.written == []
