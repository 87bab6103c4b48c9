"""How remote disks are found, logged in to and let go: by what is asked of the host, which is played."""

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, Secret, Volume
from scsi_fabric import Fabric

from nodeagent.volumes.contract import VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.pod_volumes import PodRequests
from nodeagent.volumes.types.fc import FibreChannel
from nodeagent.volumes.types.iscsi import Iscsi
from nodeagent.volumes.types.remote_disk import Others, Record

IQN = "iqn.2026-11.example:disk"
TARGET = {"targetPortal": "10.0.0.1", "iqn": IQN, "lun": 3}


class Secrets:
    def __init__(self, password: bytes = b"s3same") -> None:
        self.password = password
        self.read: list[tuple[str, str]] = []

    async def get_secret(self, namespace: str, name: str) -> Secret:
        self.read.append((namespace, name))
        keys = {"node.session.auth.username": b"me", "node.session.auth.password": self.password}
        return Secret(data={key: base64.b64encode(value).decode() for key, value in keys.items()})


async def no_sleep(seconds: float) -> None:
    return


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return Fabric(tmp_path)


def request_of(pod_of: Any, persistent: dict[str, Any] | None = None, **volume: Any) -> VolumeRequest:
    declared = msgspec.convert({"name": "v", **volume}, Volume)
    bound = None
    if persistent is not None:
        bound = msgspec.convert({"metadata": {"name": "pv"}, "spec": persistent}, PersistentVolume)
    source = VolumeSource(volume=declared, persistent_volume=bound)
    return PodRequests(pod_of({"containers": [{"name": "c"}]})).of(source)


def others(*records: Record) -> Others:
    async def read() -> Sequence[Record]:
        return records

    return read


def disk_at(fabric: Fabric, name: str) -> Path:
    path = fabric.dev / name
    path.touch()
    return path


async def test_a_login_at_every_portal(fabric: Fabric, pod_of: Any) -> None:
    """Found, logged in to, by hand from now on; one portal that fails is passed over, a session that is there is fine."""
    sda = disk_at(fabric, "sda")
    fabric.links["10.0.0.2:3260"] = (f"ip-10.0.0.2:3260-iscsi-{IQN}-lun-3", sda)
    fabric.script["--discover"], fabric.script["--login"] = [4, 0], [15]
    (fabric.by_path / f"ip-10.0.0.2:3260-iscsi-{IQN}-lun-3").symlink_to(sda)
    reach = Iscsi(fabric.host, Secrets(), no_sleep)
    request = request_of(pod_of, iscsi={**TARGET, "portals": ["10.0.0.2:3260", "10.0.0.1"]})
    disk = reach.declared(request.source)
    assert disk is not None
    assert disk.place == ("iface-default", f"10.0.0.1:3260-{IQN}-lun-3")
    assert await reach.reach(disk, request) == sda
    found = ("iscsiadm", "-m", "discoverydb", "-t", "sendtargets", "-p")
    node = ("iscsiadm", "-m", "node", "-p", "10.0.0.2:3260", "-T", IQN, "-I", "default")
    assert fabric.ran == [
        (*found, "10.0.0.1:3260", "-I", "default", "-o", "new"),
        (*found, "10.0.0.1:3260", "-I", "default", "--discover"),
        (*found, "10.0.0.2:3260", "-I", "default", "-o", "new"),
        (*found, "10.0.0.2:3260", "-I", "default", "--discover"),
        (*node, "--login"),
        (*node, "-o", "update", "-n", "node.startup", "-v", "manual"),
    ]


async def test_a_portal_that_fails_is_told(fabric: Fabric, pod_of: Any) -> None:
    """With what iscsiadm says, and not what it was given: there may be a password among it."""
    fabric.script["s3same"] = [7]
    secrets = Secrets()
    reach = Iscsi(fabric.host, secrets, no_sleep)
    request = request_of(pod_of, iscsi={**TARGET, "chapAuthSession": True, "secretRef": {"name": "s"}})
    disk = reach.declared(request.source)
    assert disk is not None
    with pytest.raises(VolumeError) as caught:
        await reach.reach(disk, request)
    assert str(caught.value) == "portal 10.0.0.1:3260: iscsiadm -m node: as the test wants it"
    told = [argv[-2:] for argv in fabric.ran if "-n" in argv]
    assert [argv[-3] for argv in fabric.ran if "-n" in argv] == [
        "node.session.auth.authmethod",
        "node.session.auth.username",
        "node.session.auth.password",
    ]
    assert told[-1] == ("-v", "s3same")
    assert secrets.read == [("ns", "s")]


async def test_a_secret_of_a_persistent_volume(fabric: Fabric, pod_of: Any) -> None:
    """It may be of another namespace than the pod's. The error about one that is no text shows nothing of it."""
    secrets = Secrets(password=b"\xfe")
    reach = Iscsi(fabric.host, secrets, no_sleep)
    iscsi = {**TARGET, "chapAuthSession": True, "secretRef": {"name": "s", "namespace": "disks"}}
    request = request_of(pod_of, {"iscsi": iscsi}, persistentVolumeClaim={"claimName": "c"})
    disk = reach.declared(request.source)
    assert disk is not None
    with pytest.raises(VolumeError) as caught:
        await reach.reach(disk, request)
    assert str(caught.value) == "cannot read secret disks/s: there is a value that is no text"
    assert secrets.read == [("disks", "s")]


async def test_no_disk_appears(fabric: Fabric, pod_of: Any) -> None:
    """The target has no such number: the error names both."""
    reach = Iscsi(fabric.host, Secrets(), no_sleep)
    request = request_of(pod_of, iscsi=TARGET)
    disk = reach.declared(request.source)
    assert disk is not None
    with pytest.raises(VolumeError, match=f"no disk of {IQN} lun 3 has appeared"):
        await reach.reach(disk, request)


async def test_an_initiator_of_its_own(fabric: Fabric, pod_of: Any) -> None:
    """It has an interface made like the one that is named, which goes with it."""
    sda = disk_at(fabric, "sda")
    fabric.links["[fd00::1]:3260"] = (f"ip-[fd00::1]:3260-iscsi-{IQN}-lun-3", sda)
    reach = Iscsi(fabric.host, Secrets(), no_sleep)
    iscsi = {**TARGET, "targetPortal": "[fd00::1]", "initiatorName": "iqn.me", "iscsiInterface": "card"}
    request = request_of(pod_of, {"iscsi": iscsi}, persistentVolumeClaim={"claimName": "c"})
    disk = reach.declared(request.source)
    assert disk is not None
    assert await reach.reach(disk, request) == sda
    assert fabric.ran[:4] == [
        ("iscsiadm", "-m", "iface", "-I", "card", "-o", "show"),
        ("iscsiadm", "-m", "iface", "-I", "[fd00::1]:3260:pv", "-o", "new"),
        (
            *("iscsiadm", "-m", "iface", "-I", "[fd00::1]:3260:pv"),
            *("-o", "update", "-n", "iface.transport_name", "-v", "tcp"),
        ),
        (
            *("iscsiadm", "-m", "iface", "-I", "[fd00::1]:3260:pv"),
            *("-o", "update", "-n", "iface.initiatorname", "-v", "iqn.me"),
        ),
    ]
    await reach.release(disk.record, None, others())
    assert fabric.ran[-1] == ("iscsiadm", "-m", "iface", "-I", "[fd00::1]:3260:pv", "-o", "delete")


async def test_a_session_ends_with_its_last_disk(fabric: Fabric, pod_of: Any) -> None:
    """While another disk of the target is here it stays; a session that is gone already is fine."""
    reach = Iscsi(fabric.host, Secrets(), no_sleep)
    disk = reach.declared(request_of(pod_of, iscsi=TARGET).source)
    assert disk is not None
    await reach.release(disk.record, None, others({**disk.record, "lun": 4}))
    assert fabric.ran == []
    fabric.script["--logout"] = [21]
    await reach.release(disk.record, None, others({**disk.record, "iqn": "another"}))
    node = ("iscsiadm", "-m", "node", "-p", "10.0.0.1:3260", "-T", IQN, "-I", "default")
    assert fabric.ran == [(*node, "--logout"), (*node, "-o", "delete")]


async def test_a_session_is_of_one_interface_with_one_portal(fabric: Fabric, pod_of: Any) -> None:
    """It ends, whatever other sessions disks of the same target have."""
    reach = Iscsi(fabric.host, Secrets(), no_sleep)
    disk = reach.declared(request_of(pod_of, iscsi={**TARGET, "portals": ["10.0.0.2"]}).source)
    assert disk is not None
    elsewhere = {**disk.record, "interface": "card"}
    await reach.release(disk.record, None, others(elsewhere, {**disk.record, "portals": ["10.0.0.1:3260"]}))
    node = ("iscsiadm", "-m", "node", "-p", "10.0.0.2:3260", "-T", IQN, "-I", "default")
    assert fabric.ran == [(*node, "--logout"), (*node, "-o", "delete")]


async def test_who_logs_in_waits_for_who_logs_out(fabric: Fabric, pod_of: Any) -> None:
    """A disk that comes while the last other one of its target goes has a session of its own afterwards."""
    sda = disk_at(fabric, "sda")
    fabric.links["10.0.0.1:3260"] = (f"ip-10.0.0.1:3260-iscsi-{IQN}-lun-3", sda)
    reach = Iscsi(fabric.host, Secrets(), no_sleep)
    request = request_of(pod_of, iscsi=TARGET)
    disk = reach.declared(request.source)
    assert disk is not None
    coming: list[asyncio.Task[Path]] = []

    async def nobody_yet() -> Sequence[Record]:
        coming.append(asyncio.create_task(reach.reach(disk, request)))
        await asyncio.sleep(0)
        return ()

    await reach.release({**disk.record, "lun": 4}, None, nobody_yet)
    assert await coming[0] == sda
    assert [argv[-1] for argv in fabric.ran if argv[-1] in ("--login", "--logout")] == ["--logout", "--login"]


def multipath(fabric: Fabric, *disks: str) -> None:
    """dm-0 out of disks."""
    disk_at(fabric, "dm-0")
    for name in disks:
        (fabric.sys / "block/dm-0/slaves" / name).mkdir(parents=True)
        (fabric.sys / "block" / name / "device").mkdir(parents=True)
        (fabric.sys / "block" / name / "device/delete").touch()


@pytest.mark.parametrize(
    ("declared", "link", "place"),
    [
        (
            {"targetWWNs": ["500A0982991B8DC5"], "lun": 2},
            "pci-0000:00:1f.2-fc-0x500a0982991b8dc5-lun-2",
            "500A0982991B8DC5-lun-2",
        ),
        ({"targetWWNs": ["500a", "500b"], "lun": 0}, "pci-1-fc-500b-lun-0", "500a-lun-0"),
        ({"wwids": ["3600508b4 00105e21"]}, "scsi-3600508b4_00105e21", "3600508b4_00105e21"),
    ],
)
async def test_a_fibre_channel_disk(fabric: Fabric, pod_of: Any, declared: Any, link: str, place: str) -> None:
    """By what the host has seen under one of its names; where it is a path of a multipath device, that one."""
    sdb = disk_at(fabric, "sdb")
    folder = fabric.by_id if "wwids" in declared else fabric.by_path
    (folder / link).symlink_to(sdb)
    reach = FibreChannel(fabric.host)
    request = request_of(pod_of, fc=declared)
    disk = reach.declared(request.source)
    assert disk is not None and disk.place == (place,)
    assert await reach.reach(disk, request) == sdb
    multipath(fabric, "sdb", "sdc")
    assert await reach.reach(disk, request) == fabric.dev / "dm-0"


@pytest.mark.parametrize("declared", [{"targetWWNs": ["*"], "lun": 2}, {"wwids": ["*"]}, {"wwids": ["[3]600"]}])
async def test_a_name_is_no_pattern(fabric: Fabric, pod_of: Any, declared: Any) -> None:
    """A pod gets no disk that it does not name. The host is asked to look again, once."""
    sdb = disk_at(fabric, "sdb")
    (fabric.by_path / "pci-1-fc-0x500a-lun-2").symlink_to(sdb)
    (fabric.by_id / "scsi-3600").symlink_to(sdb)
    scan = fabric.sys / "class/scsi_host/host0/scan"
    scan.parent.mkdir(parents=True)
    scan.touch()
    request = request_of(pod_of, fc=declared)
    reach = FibreChannel(fabric.host)
    disk = reach.declared(request.source)
    assert disk is not None
    with pytest.raises(VolumeError, match="no fc disk found for"):
        await reach.reach(disk, request)
    assert scan.read_text() == "- - -"


async def test_a_multipath_device_goes_with_its_disks(fabric: Fabric) -> None:
    """Flushed, and then each disk deleted; one that is in use stays as it is."""
    multipath(fabric, "sda", "sdb")
    fabric.script[str(fabric.dev / "dm-0")] = [1]
    with pytest.raises(VolumeError, match="cannot be flushed: as the test wants it"):
        await fabric.host.release(fabric.dev / "dm-0")
    deleted = [fabric.sys / "block" / name / "device/delete" for name in ("sda", "sdb")]
    assert [path.read_text() for path in deleted] == ["", ""]
    await fabric.host.release(fabric.dev / "dm-0")
    assert [path.read_text() for path in deleted] == ["1", "1"]
    assert fabric.ran == [("multipath", "-f", str(fabric.dev / "dm-0"))] * 2
