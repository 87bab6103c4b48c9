"""The state folder over kills: what was added is there, what was not is gone."""

from dataclasses import replace
from pathlib import Path

import pytest

from csi.driver.records import Access, Group, NodeVolume, Snapshot, Target, Volume
from csi.driver.store import StateError, opened
from csi.values import AccessMode

HOW = Target(access=Access(mode=AccessMode.SINGLE_NODE_WRITER, flags=("ro",)), readonly=True)
SNAPSHOT = Snapshot(
    snapshot_id="snap-1", name="s", source_volume_id="vol-1", size_bytes=5, created_ns=1, backing="directory"
)


def volume(identity: str = "vol-1", name: str = "a") -> Volume:
    return Volume(
        volume_id=identity,
        name=name,
        capacity_bytes=5,
        backing="directory",
        source=("snapshot", "x"),
        attached={"n": True},
    )


async def test_what_was_added_is_there(tmp_path: Path) -> None:
    """Records come back as they were, with their content; so does where volumes are on the node."""
    node_volume = NodeVolume(volume_id="vol-1", staging_path="/s", staged=HOW.access, targets={"/t": HOW})
    with opened(tmp_path) as store:
        async with store.volumes.draft() as draft:
            (draft / "data").mkdir()
            store.volumes.add(volume(), draft)
        store.node.keep(node_volume)
    with opened(tmp_path) as store:
        assert store.volumes.all() == [volume()]
        assert store.volumes.named("a") == volume()
        assert (store.volumes.place(volume()) / "data").is_dir()
        assert store.node.of("vol-1") == node_volume
        store.volumes.remove(volume())
        store.node.keep(NodeVolume(volume_id="vol-1"))
    with opened(tmp_path) as store:
        assert (store.volumes.all(), store.node.all()) == ([], [])
    assert [path.name for path in (tmp_path / "volumes").iterdir()] == []


def test_what_was_half_made_or_half_deleted_is_gone(tmp_path: Path) -> None:
    """Folders with a dot are nobody's."""
    with opened(tmp_path):
        pass
    (tmp_path / "volumes" / ".draft" / "data").mkdir(parents=True)
    (tmp_path / "snapshots" / ".snap-1").mkdir()
    (tmp_path / "node" / ".x.json.123").write_text("{")
    with opened(tmp_path) as store:
        assert (store.volumes.all(), store.snapshots.all(), store.node.all()) == ([], [], [])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["groups", "lock", "node", "snapshots", "volumes"]


async def test_members_of_no_group_are_gone(tmp_path: Path) -> None:
    """Whoever is killed before the group's own record is written, or after it was deleted, leaves no snapshot of it."""
    with opened(tmp_path) as store:
        for identity, group in (("snap-1", "group-1"), ("snap-2", "group-2"), ("snap-3", "")):
            async with store.snapshots.draft() as draft:
                store.snapshots.add(replace(SNAPSHOT, snapshot_id=identity, name=identity, group_id=group), draft)
        async with store.groups.draft() as draft:
            store.groups.add(Group(group_id="group-2", name="g", snapshot_ids=("snap-2",), created_ns=1), draft)
    with opened(tmp_path) as store:
        assert [each.id for each in store.snapshots.all()] == ["snap-2", "snap-3"]


async def test_a_draft_that_is_not_added_is_removed(tmp_path: Path) -> None:
    with opened(tmp_path) as store, pytest.raises(ValueError, match="x"):
        async with store.volumes.draft() as draft:
            (draft / "image").write_text("half")
            raise ValueError("x")
    assert [path.name for path in (tmp_path / "volumes").iterdir()] == []


def test_one_driver_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StateError, match="in use by another driver"), opened(tmp_path):
        pass


def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    """It is somebody's data: the driver says which, and does not start without it."""
    with opened(tmp_path):
        pass
    (tmp_path / "volumes" / "vol-1").mkdir()
    (tmp_path / "volumes" / "vol-1" / "record.json").write_text("{")
    with pytest.raises(StateError, match=r"vol-1/record.json cannot be read"), opened(tmp_path):
        pass
