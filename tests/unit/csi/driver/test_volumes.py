"""DeleteVolume, on a state folder alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from csi import errors
from csi.driver import store
from csi.driver.copies import Copies
from csi.driver.locks import Locks
from csi.driver.records import Access, NodeVolume, Target, Volume
from csi.driver.settings import Settings
from csi.driver.volumes import VolumeService
from csi.values import AccessMode
from proto import csi_pb2 as csi

BLOCK = Access(mode=AccessMode.SINGLE_NODE_WRITER, block=True)
VOLUME = Volume(volume_id="vol-1", name="a", capacity_bytes=5, backing="directory", block=True)
DELETE = csi.DeleteVolumeRequest(volume_id="vol-1")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[store.Store]:
    with store.opened(tmp_path) as state:
        yield state


def service(state: store.Store, folder: Path, *, attach: bool = False) -> VolumeService:
    locks = Locks()
    return VolumeService(Settings(state_dir=folder, node_id="n", attach=attach), state, locks, Copies(state, locks))


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
