"""CSI volumes of the reference driver for the suite of volume types: one driver, a process of its own, for all of its tests."""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from csi_driver import MEBIBYTE, DriverProcess
from lightkube.models.storage_v1 import CSIDriver
from volume_subjects import World

from csi.driver.settings import NAME
from csi.values import AccessMode, block_capability, mount_capability
from nodeagent.volumes.contract import VolumePlugin
from nodeagent.volumes.csi import selinux
from nodeagent.volumes.csi.attachments import Attachments
from nodeagent.volumes.csi.credentials import Credentials
from nodeagent.volumes.csi.driver_specs import DriverSpecs
from nodeagent.volumes.csi.drivers import Driver, Drivers
from nodeagent.volumes.csi.layout import CSILayout
from nodeagent.volumes.csi.plugin import CSIPlugin
from nodeagent.volumes.csi.preparation import Preparation
from nodeagent.volumes.layout import Layout
from proto import csi_pb2 as csi

T = TypeVar("T")
_running: list[DriverProcess] = []


def plugin(layout: Layout, world: World) -> VolumePlugin:
    """That of an agent at which the driver is registered."""
    drivers = Drivers()
    drivers.add(Driver(name=NAME, client=_driver().client, version=(1, 0, 0), socket=Path("/none")))
    nowhere: Any = None  # nothing is attached, and no secret is asked for
    preparation = Preparation(
        drivers,
        DriverSpecs(_Declared()),
        Attachments(nowhere, nowhere, "n"),
        Credentials(nowhere, world),
        node_name="n",
        host=selinux.Host(),
    )
    return CSIPlugin(CSILayout(layout), preparation, world, _not_asked)


@contextlib.contextmanager
def volume(folder: Path, *, block: bool = False) -> Iterator[Mapping[str, Any]]:
    """The spec of a PersistentVolume of the driver, until it is left."""
    controller = _driver().client.controller
    mode = AccessMode.SINGLE_NODE_MULTI_WRITER
    capability = block_capability(mode) if block else mount_capability(mode, fs_type="ext4")
    wanted = csi.CreateVolumeRequest(name=f"{folder.name}-{uuid.uuid4().hex}", volume_capabilities=[capability])
    wanted.capacity_range.required_bytes = 16 * MEBIBYTE
    handle = _now(controller.create_volume(wanted)).volume.volume_id
    kind = {"volumeMode": "Block"} if block else {}
    source = {"driver": NAME, "volumeHandle": handle, "fsType": "" if block else "ext4"}
    yield {"csi": source, "accessModes": ["ReadWriteOnce"], **kind}
    _now(controller.delete_volume(csi.DeleteVolumeRequest(volume_id=handle)))


def end() -> None:
    """The driver, if there was one. What it still has mounted fails."""
    while _running:
        assert _running.pop().clear() == []


class _Declared:
    """The driver's object: nothing is attached, and the agent sees to the group."""

    has_synced = True
    trouble = ""

    def get(self, namespace: str, name: str) -> CSIDriver:
        return msgspec.convert({"spec": {"attachRequired": False, "fsGroupPolicy": "File"}}, CSIDriver)

    async def synced(self) -> None:
        return


async def _not_asked(driver: str) -> None:
    raise AssertionError


def _driver() -> DriverProcess:
    if not _running:
        driver = DriverProcess(Path(tempfile.mkdtemp(prefix="csi-")))
        _now(driver.start())
        _running.append(driver)
    return _running[0]


def _now(work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """Wait for it, in a loop of its own: whoever asks may be in one."""

    async def whole() -> T:
        return await work

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, whole()).result()
