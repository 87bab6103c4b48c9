"""SCSI disks of this host as /dev and /sys show them: found by their links, joined by multipath, let go.

What is no coroutine blocks; `rescan` for as long as the hardware takes. Source: docs/facts/storage.md 4.11.
"""

import contextlib
import fnmatch
import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.volumes.contract import VolumeError
from runtimes.linux import process
from runtimes.linux.tasks import run_blocking

CALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScsiHost:
    """`run`, `dev`, `sys`: another than the host's own, for tests."""

    run: process.Run = process.run
    dev: Path = Path("/dev")
    sys: Path = Path("/sys")

    async def call(self, *argv: str, timeout_seconds: float = CALL_SECONDS) -> process.Completed:
        """Run a program of the host. Raises VolumeError where there is none, or it hangs; never shows an argument."""
        try:
            return await self.run(argv, timeout_seconds=timeout_seconds)
        except (process.ProcessError, OSError) as error:
            raise VolumeError(str(error)) from error

    def links(self, folder: str, name: str, *, before: str = "") -> list[Path]:
        """Links in `/dev/disk/<folder>` of that name, in any case, that lead to something; sorted.

        `before`: a pattern (fnmatch) for what stands before the name, which is a pod's and is none.
        """
        wanted = f"{before}{glob.escape(name)}".lower()
        try:
            found = sorted((self.dev / "disk" / folder).iterdir())
        except OSError:
            return []
        return [path for path in found if fnmatch.fnmatchcase(path.name.lower(), wanted) and path.exists()]

    def multipath_of(self, device: Path) -> Path | None:
        """The multipath device that has a disk for one of its paths."""
        for slaves in sorted((self.sys / "block").glob("dm-*/slaves")):
            if (slaves / device.name).exists():
                return self.dev / slaves.parent.name
        return None

    def device_of(self, links: Sequence[Path]) -> Path | None:
        """The multipath device that one of the disks belongs to which `links` lead to, or else the first of them."""
        disks = list(dict.fromkeys(Path(os.path.realpath(link)) for link in links))
        joined = (self.multipath_of(each) for each in disks)
        return next((each for each in joined if each is not None), disks[0] if disks else None)

    def disks_of(self, device: Path) -> list[Path]:
        """The disks that a multipath device consists of; a disk itself."""
        slaves = self.sys / "block" / device.name / "slaves"
        with contextlib.suppress(OSError):
            if found := sorted(slaves.iterdir()):
                return [self.dev / each.name for each in found]
        return [device]

    def rescan(self) -> None:
        """Let every SCSI host look for new disks."""
        for scan in sorted((self.sys / "class/scsi_host").glob("host*/scan")):
            with contextlib.suppress(OSError):
                scan.write_text("- - -")

    async def release(self, device: Path) -> None:
        """Let go of a disk that nobody uses any more, so that it can go away. Nothing there is fine. Raises VolumeError."""
        disks = await run_blocking(self.disks_of, device)
        if device.name.startswith("dm-") and await run_blocking(device.exists):
            done = await self.call("multipath", "-f", str(device))
            if not done.ok:
                raise VolumeError(f"multipath device {device} cannot be flushed: {done.error_text}")
        for disk in disks:
            if await run_blocking(disk.exists):
                await self.call("blockdev", "--flushbufs", str(disk))
            await run_blocking(self._delete, disk)

    def _delete(self, disk: Path) -> None:
        """Blocks until the disk has written what it has in its cache."""
        try:
            descriptor = os.open(self.sys / "block" / disk.name / "device/delete", os.O_WRONLY | os.O_CLOEXEC)
            with open(descriptor, "w") as file:
                file.write("1")
        except FileNotFoundError:
            return
        except OSError as error:
            raise VolumeError(f"{disk} cannot be removed: {error.strerror}") from error
