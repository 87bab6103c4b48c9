"""Volumes made and deleted, and how many there may be: on a state folder alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csi import errors
from csi.driver import store
from csi.driver.attachments import AttachmentService
from csi.driver.copies import Copies
from csi.driver.locks import Locks
from csi.driver.records import Access, NodeVolume, Target, Volume
from csi.driver.settings import Settings
from csi.driver.volumes import VolumeService
from csi.values import AccessMode, mount_capability
from proto import csi_pb2 as csi

BLOCK = Access(mode=AccessMode.SINGLE_NODE_WRITER, block=True)
VOLUME = Volume(volume_id="vol-1", name="a", capacity_bytes=5, backing="directory", block=True)
DELETE = csi.DeleteVolumeRequest(volume_id="vol-1")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[store.Store]:
    with store.opened(tmp_path) as state:
        yield state


def service(state: store.Store, folder: Path, *, attach: bool = False, capacity: int = 0) -> VolumeService:
    locks = Locks()
    return VolumeService(
        Settings(state_dir=folder, node_id="n", attach=attach, capacity_bytes=capacity),
        state,
        locks,
        Copies(state, locks),
    )


async def add(state: store.Store, volume: Volume) -> None:
    async with state.volumes.draft() as draft:
        state.volumes.add(volume, draft)


async def test_a_volume_in_use_is_not_deleted(state: store.Store, tmp_path: Path) -> None:
    """Staged, or attached where volumes are attached: FAILED_PRECONDITION, and it is there as before."""
    await add(state, VOLUME)
    state.node.keep(NodeVolume(volume_id="vol-1", staging_path="/s", staged=BLOCK))
    with pytest.raises(errors.WrongState, match="in use"):
        await service(state, tmp_path).delete_volume(DELETE)
    state.node.keep(NodeVolume(volume_id="vol-1"))
    state.volumes.update(replace(VOLUME, attached={"n": False}))
    with pytest.raises(errors.WrongState, match="in use"):
        await service(state, tmp_path, attach=True).delete_volume(DELETE)
    assert state.volumes.place(VOLUME).is_dir()
    await service(state, tmp_path).delete_volume(DELETE)
    assert state.volumes.all() == []


async def test_where_a_volume_was_goes_before_it(
    state: store.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is stopped in between has the volume, and no record of a node of a volume that is none: nobody would strike it."""
    await add(state, VOLUME)
    how = Target(access=BLOCK, readonly=False)
    state.node.keep(NodeVolume(volume_id="vol-1", targets={str(tmp_path / "gone"): how}))

    def stopped(_tree: Path) -> None:
        raise OSError("stopped")

    monkeypatch.setattr(store, "remove_tree", stopped)
    with pytest.raises(OSError, match="stopped"):
        await service(state, tmp_path).delete_volume(DELETE)
    assert state.node.all() == []
    assert list((tmp_path / "node").iterdir()) == []


def creation(name: str, size: int = 0, **fields: Any) -> csi.CreateVolumeRequest:
    request = csi.CreateVolumeRequest(
        name=name, volume_capabilities=[mount_capability(AccessMode.SINGLE_NODE_WRITER)], **fields
    )
    request.capacity_range.required_bytes = size
    return request


async def test_volumes_share_the_capacity(state: store.Store, tmp_path: Path) -> None:
    """What they promise together is bounded: more than there is at all is OUT_OF_RANGE, than is left RESOURCE_EXHAUSTED."""
    volumes = service(state, tmp_path, capacity=100)
    with pytest.raises(errors.OutOfRange):
        await volumes.create_volume(creation("a", 101))
    await volumes.create_volume(creation("a", 60))
    assert (await volumes.get_capacity(csi.GetCapacityRequest())).available_capacity == 40
    with pytest.raises(errors.Exhausted):
        await volumes.create_volume(creation("b", 41))
    made = await volumes.create_volume(creation("b", 40))
    await volumes.delete_volume(csi.DeleteVolumeRequest(volume_id=made.volume.volume_id))
    assert (await volumes.get_capacity(csi.GetCapacityRequest())).available_capacity == 40


async def test_a_name_is_of_one_volume(state: store.Store, tmp_path: Path) -> None:
    """Asked for with another parameter or as a copy: ALREADY_EXISTS, and there is one volume."""
    volumes = service(state, tmp_path, capacity=100)
    made = (await volumes.create_volume(creation("a", 10))).volume
    copy = csi.VolumeContentSource(volume=csi.VolumeContentSource.VolumeSource(volume_id=made.volume_id))
    for other in ({"parameters": {"backing": "directory"}}, {"volume_content_source": copy}):
        with pytest.raises(errors.AlreadyExists):
            await volumes.create_volume(creation("a", 10, **other))
    assert (await volumes.create_volume(creation("a", 10))).volume == made
    assert [volume.id for volume in state.volumes.all()] == [made.volume_id]


async def test_a_node_takes_so_many(state: store.Store, tmp_path: Path) -> None:
    """--max-volumes: one more is RESOURCE_EXHAUSTED, until one is detached; the same one again is not one more."""
    settings = Settings(state_dir=tmp_path, node_id="n", attach=True, max_volumes=1)
    attachments = AttachmentService(settings, state, Locks())
    attach = [
        csi.ControllerPublishVolumeRequest(
            volume_id=f"vol-{number}",
            node_id="n",
            volume_capability=mount_capability(AccessMode.SINGLE_NODE_WRITER),
        )
        for number in range(2)
    ]
    for request in attach:
        await add(state, replace(VOLUME, volume_id=request.volume_id, block=False))
    for _ in range(2):
        await attachments.controller_publish_volume(attach[0])
    with pytest.raises(errors.Exhausted, match="all it takes"):
        await attachments.controller_publish_volume(attach[1])
    await attachments.controller_unpublish_volume(csi.ControllerUnpublishVolumeRequest(volume_id="vol-0"))
    await attachments.controller_publish_volume(attach[1])
