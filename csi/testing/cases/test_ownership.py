"""A pod's group: given by the agent after the volume is published, or by the driver itself."""

import asyncio
import os
import stat
import subprocess
from pathlib import Path

import pytest

from csi.testing.levels import must, should
from csi.testing.subject import Subject
from csi.values import NodeCapability

pytestmark = pytest.mark.asyncio

_GROUP = 54321
_OTHER = 65534  # a user and a group that own nothing of the volume
_SECONDS = 10.0


@should("NodePublishVolume")
async def test_x6_a_group_that_the_agent_gives(driver: Subject) -> None:
    """As for fsGroup: a directory of that group with its setgid bit is written to by who has the group, what is made there has
    it, and all of that is there when the volume is published again.
    """
    volume, name = await driver.volume(), driver.name()  # one that was named has files of others
    target = await driver.publish(volume)
    try:
        os.chown(target, -1, _GROUP)
        target.chmod(0o2770)
    except PermissionError as error:
        pytest.skip(f"owners cannot be changed: {error.strerror}")
    await _made_by_another(target, name)
    assert (target / name).stat().st_gid == _GROUP
    await driver.take_down(volume)
    target = await driver.publish(volume)
    status = target.stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (_GROUP, 0o2770)
    await _made_by_another(target, f"{name}-2")


@must("NodePublishVolume")
async def test_x7_a_group_that_the_driver_gives(driver: Subject) -> None:
    """VOLUME_MOUNT_GROUP: who has the group writes, and what is made there, and was there before, has it."""
    driver.needs(NodeCapability.VOLUME_MOUNT_GROUP)
    volume = await driver.volume()
    target = await driver.publish(volume)
    (target / "before").write_text("precious")
    await driver.take_down(volume)
    volume.capability = driver.capability(group=str(_GROUP))
    target = await driver.publish(volume)
    await _made_by_another(target, "file")
    assert {path.stat().st_gid for path in (target / "file", target / "before")} == {_GROUP}
    assert (target / "before").stat().st_mode & stat.S_IRGRP


async def _made_by_another(directory: Path, name: str) -> None:
    """A file, by a process that has nothing but the group; fails the case where it cannot."""

    def touch() -> "subprocess.CompletedProcess[bytes]":
        # the working directory is entered before privileges go: nobody else may come through the directories above
        return subprocess.run(
            ["touch", "--", name],
            cwd=directory,
            user=_OTHER,
            group=_OTHER,
            extra_groups=[_GROUP],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )

    done = await asyncio.to_thread(touch)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
