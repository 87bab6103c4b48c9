"""What a CreateVolumeRequest asks for, and whether a volume is the one that was asked for."""

from dataclasses import replace
from typing import Any

import pytest

from csi import errors
from csi.driver import request_rules
from csi.driver.records import Access, Volume
from csi.values import AccessMode
from proto import csi_pb2 as csi

PLAIN = Access(mode=AccessMode.SINGLE_NODE_WRITER)
XFS, EXT4 = replace(PLAIN, fs_type="xfs"), replace(PLAIN, fs_type="ext4")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: request_rules.own_parameters({"no": "such"}), "'no' is none; there is backing"),
        (lambda: request_rules.own_parameters({"backing": "cloud"}), "backing is directory or image"),
        (lambda: request_rules.mutable_parameters({"allocation": "x"}, "image"), "allocation is thin or thick"),
        (lambda: request_rules.mutable_parameters({"allocation": "thick"}, "directory"), "a directory has no blocks"),
        (lambda: request_rules.backing_of({}, [PLAIN, replace(PLAIN, block=True)]), "not both"),
        (lambda: request_rules.backing_of({"backing": "directory"}, [XFS]), "no file system of its own"),
        (lambda: request_rules.fs_type_of([XFS, EXT4]), "one file system, not ext4 and xfs"),
        (lambda: request_rules.source_of(csi.VolumeContentSource(snapshot={"snapshot_id": ""})), "is missing"),
    ],
)
def test_what_cannot_be_asked_for(call: Any, told: str) -> None:
    """INVALID_ARGUMENT, and what there is instead."""
    with pytest.raises(errors.InvalidArgument) as raised:
        call()
    assert told in raised.value.message


def test_what_is_for_others_is_left_to_them() -> None:
    """Parameters of provisioners."""
    assert request_rules.own_parameters({"csi.storage.k8s.io/pvc/name": "x", "backing": "image"}) == {
        "backing": "image"
    }


def test_xfs_has_a_least_size() -> None:
    """Smaller ones its mkfs refuses."""
    assert request_rules.volume_size("image", 1, 0, "xfs") == 300 * 1024**2


MADE = Volume(volume_id="v", name="n", capacity_bytes=7, backing="image", fs_type="ext4", attached={"n": False})
ASKED = Volume(volume_id="", name="n", capacity_bytes=0, backing="image")


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        (ASKED, True),
        (replace(ASKED, fs_type="ext4", mutable={"allocation": "thick"}), True),
        (replace(ASKED, fs_type="xfs"), False),
        (replace(ASKED, block=True), False),
        (replace(ASKED, source=("volume", "o")), False),
        (replace(ASKED, parameters={"backing": "image"}), False),
    ],
)
def test_the_same_volume(asked: Volume, same: bool) -> None:
    """What has become of it since, and what may be changed, does not matter; all else is another volume (C10)."""
    assert MADE.was_made_as(asked) is same
