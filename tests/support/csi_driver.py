"""The reference driver as a process that can be killed and started again."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from csi import errors
from csi.client import Client
from csi.driver.image_copy import thaw
from csi.testing.implementation import Implementation
from runtimes.linux import loop, mounts

MEBIBYTE: Final = 1024 * 1024
_START_ATTEMPTS: Final = 1200
_REPO: Final = Path(__file__).resolve().parents[2]
_END_SECONDS: Final = 30


class DriverProcess:
    """`folder`: the driver's own; its state is below, its socket in it. `options`: further arguments."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.endpoint = f"unix://{folder}/csi.sock"
        self.client = Client.at(self.endpoint)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def start(self) -> None:
        """Returns when it answers."""
        process = self._process = self._spawn()
        for _ in range(_START_ATTEMPTS):
            assert process.poll() is None, self.log
            try:
                assert await self.client.identity.ready()
                return
            except errors.CSIError:
                await asyncio.sleep(0.05)
        raise AssertionError(f"the driver does not answer: {self.log}")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        where = ("--endpoint", self.endpoint, "--node-id", "node-1", "--state-dir", str(self.state))
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "csi.driver", *where, *self._options],
                cwd=_REPO,
                env=os.environ | {"PYTHONPATH": str(_REPO)},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=_END_SECONDS)
            self._process = None

    async def restart(self) -> None:
        """kill -9, and started again."""
        self.kill()
        await self.start()

    def end(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(timeout=_END_SECONDS)
        self._process = None
        return status

    def implementation(self, **fields: object) -> Implementation:
        """For the suite: small volumes."""
        small: dict[str, object] = {"volume_bytes": 16 * MEBIBYTE, "expand_bytes": 16 * MEBIBYTE}
        small |= {"restart": self.restart, "log": self.folder / "log"}
        return Implementation(endpoint=self.endpoint, **(small | fields))  # type: ignore[arg-type]

    def clear(self) -> list[str]:
        """Killed, and nothing of it left; returns what of its volumes was still mounted, or a device."""
        left = left_below(self.folder)
        self.kill()
        clear_folder(self.folder)
        return left


def left_below(folder: Path) -> list[str]:
    """Mounts, and devices, by the names that the kernel has for the files below them: those of deleted volumes count too."""
    found = [str(point) for point in mounts.mounts_below(folder)]
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # one of others, gone by now
            if backing.read_text().startswith(f"{folder}/"):
                found.append(f"/dev/{backing.parts[3]}")
    return found


def clear_folder(folder: Path) -> None:
    """Remove what drivers that are gone have left below `folder`, and the folder."""
    devices = [Path(each) for each in left_below(folder) if each.startswith("/dev/")]
    for point in reversed(mounts.mounts_below(folder)):
        with contextlib.suppress(OSError):
            thaw(point)  # one that is held up would stay, though nobody could see it any more
        mounts.unmount_all(point)
    for device in devices:
        loop.detach(device)
    shutil.rmtree(folder)
