"""Handing what a claim leads to over to a pod's group, without a kernel's help."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, Volume
from lightkube.models.meta_v1 import ObjectMeta

from nodeagent.volumes import ownership
from nodeagent.volumes.contract import VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.fs_group import hand_over


def request_of(pod_of: Any, *, read_only: bool = False, **more: Any) -> VolumeRequest:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c", "readOnly": read_only}}
    source = VolumeSource(
        volume=msgspec.convert(volume, Volume), persistent_volume=PersistentVolume(metadata=ObjectMeta(name="pv"))
    )
    return VolumeRequest(pod=pod_of({"containers": []}), source=source, **more)


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The walks that are made; each takes long enough to be reported three times."""
    made: list[dict[str, Any]] = []

    def set_group(root: Path, gid: int, *, progress: Any, **policy: Any) -> None:
        made.append({"root": root, "gid": gid, **policy})
        for done in (10, 20, 30):
            progress(done)

    monkeypatch.setattr(ownership, "set_group", set_group)
    return made


async def test_a_walk_that_takes_long_is_told(pod_of: Any, events: Any, walks: list[dict[str, Any]]) -> None:
    """First what the pod's owner can do about it, then how far it is."""
    await hand_over(request_of(pod_of, fs_group=7, on_root_mismatch=True), Path("/data"), events)
    await asyncio.sleep(0)
    assert walks == [{"root": Path("/data"), "gid": 7, "only_on_root_mismatch": True}]
    slow = "Setting volume ownership for u/pv is taking longer than expected, consider using fsGroupChangePolicy"
    assert events.seen == [
        ("Warning", "VolumePermissionChangeInProgress", f"{slow} OnRootMismatch"),
        ("Warning", "VolumePermissionChangeInProgress", "Setting volume ownership for u/pv, processed 20 files."),
        ("Warning", "VolumePermissionChangeInProgress", "Setting volume ownership for u/pv, processed 30 files."),
    ]


async def test_nothing_is_changed_without_a_group_or_for_reading(
    pod_of: Any, events: Any, walks: list[dict[str, Any]]
) -> None:
    """A pod that names no group, and one that may only read."""
    await hand_over(request_of(pod_of), Path("/data"), events)
    await hand_over(request_of(pod_of, fs_group=7, read_only=True), Path("/data"), events)
    assert walks == []


async def test_a_directory_that_cannot_be_read_is_told(pod_of: Any, events: Any, tmp_path: Path) -> None:
    """The volume is not set up, then."""
    with pytest.raises(VolumeError, match=r"fsGroup 7: .*none: No such file or directory"):
        await hand_over(request_of(pod_of, fs_group=7), tmp_path / "none", events)
