"""One claim's change of class, with an API and a driver that answer as a test says. The real ones: tests/node/provisioner."""

from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, PersistentVolumeClaim
from lightkube.models.storage_v1 import VolumeAttributesClass

from csi import errors as csi_errors
from nodeagent.api import errors
from nodeagent.provisioner.modifying import Modifying
from nodeagent.provisioner.work_queue import Failed
from proto import csi_pb2 as csi

DRIVER = "d.example"


def claim(current: str = "silver", wanted: str = "gold") -> PersistentVolumeClaim:
    status = {"phase": "Bound", "currentVolumeAttributesClassName": current}
    metadata = {"name": "c", "namespace": "ns", "uid": "u1"}
    spec = {"volumeAttributesClassName": wanted}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, PersistentVolumeClaim)


def volume(driver: str = DRIVER) -> PersistentVolume:
    source = {"driver": driver, "volumeHandle": "h"}
    return msgspec.convert({"metadata": {"name": "pv", "uid": "u2"}, "spec": {"csi": source}}, PersistentVolume)


class World:
    """The API, the driver and the events' reader: `log` has what they were told, in order."""

    name = DRIVER

    def __init__(
        self, now: PersistentVolumeClaim | None = None, of: str = DRIVER, trouble: Exception | None = None
    ) -> None:
        self.now, self.of, self.trouble = now or claim(), of, trouble
        self.controller = self
        self.log: list[Any] = []

    async def get(self, kind: type, name: str, _namespace: str | None = None) -> Any:
        if kind is PersistentVolumeClaim:
            return self.now
        if not self.of:
            raise errors.NotFound(404, "NotFound", f"no {name}")
        found = {"metadata": {"name": name}, "driverName": self.of, "parameters": {"a": "b"}}
        return msgspec.convert(found, VolumeAttributesClass)

    async def patch(self, kind: type, _name: str, _space: str | None, patch: Any, *, subresource: str = "") -> None:
        if kind is PersistentVolume:
            self.log.append(f"volume {patch['spec']['volumeAttributesClassName']}")
        else:
            assert (subresource, patch["metadata"]) == ("status", {"uid": "u1"})
            state = (patch["status"]["modifyVolumeStatus"] or {}).get("status")
            self.log.append(state or f"has {patch['status'].get('currentVolumeAttributesClassName')}")

    async def modify_volume(self, request: csi.ControllerModifyVolumeRequest) -> None:
        self.log.append((request.volume_id, dict(request.mutable_parameters)))
        if self.trouble is not None:
            raise self.trouble

    def event(self, _ref: Any, _type: str, reason: str, _message: str) -> None:
        self.log.append(reason)

    async def modify(self, seen: PersistentVolumeClaim, of: PersistentVolume) -> None:
        await Modifying(self, self, self).modify(seen, of)  # type: ignore[arg-type]  # as far as they are used


ASKED = ["InProgress", "VolumeModify", ("h", {"a": "b"})]


async def test_changed() -> None:
    """The driver first, then the volume, then the claim: whatever comes in between, the claim names what is still to be done."""
    world = World()
    await world.modify(claim(), volume())
    assert world.log == [*ASKED, "volume gold", "has gold", "VolumeModifySuccessful"]


@pytest.mark.parametrize(
    ("world", "log"),
    [
        (World(of=""), ["VolumeModifyFailed", "Pending"]),
        (World(of="other.example"), ["VolumeModifyFailed", "Infeasible"]),
        (World(trouble=csi_errors.InvalidArgument("no")), [*ASKED, "VolumeModifyFailed", "Infeasible"]),
        (World(trouble=csi_errors.Timeout("late")), [*ASKED, "VolumeModifyFailed", "InProgress"]),
        (World(trouble=csi_errors.Unreachable("nobody")), ASKED),
    ],
)
async def test_what_cannot_be_is_told(world: World, log: list[Any]) -> None:
    """And tried again. A driver that is away is started again: no event makes anybody look for what is over in a moment."""
    with pytest.raises(Failed):
        await world.modify(claim(), volume())
    assert world.log == log


@pytest.mark.parametrize(
    ("world", "seen", "of"),
    [
        (World(), claim("gold"), volume()),
        (World(claim("gold")), claim(), volume()),
        (World(), claim(), volume("other.example")),
    ],
    ids=["has it", "has it by now", "another driver's"],
)
async def test_nothing_to_do(world: World, seen: PersistentVolumeClaim, of: PersistentVolume) -> None:
    """Nothing is written and nobody asked: a claim that was followed may be behind what is written on it."""
    await world.modify(seen, of)
    assert world.log == []
