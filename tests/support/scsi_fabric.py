"""Remote disks without hardware: an iscsiadm that is played, and links to a loop device where udev would make them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nodeagent.volumes.types.scsi import ScsiHost
from runtimes.linux import process


class Fabric:
    """Targets of one host.

    `links`: by portal, the link (name, target) that a session there makes appear. `ran`: what iscsiadm and multipath were asked;
    other programs are the host's. `script`: exit statuses of the next runs, by their last argument.
    """

    def __init__(self, folder: Path) -> None:
        self.dev, self.sys = folder / "dev", folder / "sys"
        self.by_path, self.by_id = self.dev / "disk/by-path", self.dev / "disk/by-id"
        for made in (self.by_path, self.by_id, self.sys / "block"):
            made.mkdir(parents=True)
        self.links: dict[str, tuple[str, Path]] = {}
        self.ran: list[tuple[str, ...]] = []
        self.script: dict[str, list[int]] = {}

    @property
    def host(self) -> ScsiHost:
        return ScsiHost(run=self.run, dev=self.dev, sys=self.sys)

    async def run(self, argv: Sequence[str], *, timeout_seconds: float) -> process.Completed:
        if argv[0] not in ("iscsiadm", "multipath"):
            return await process.run(argv, timeout_seconds=timeout_seconds)
        self.ran.append(tuple(argv))
        portal = argv[argv.index("-p") + 1] if "-p" in argv else ""
        status = (self.script.get(argv[-1]) or [0]).pop(0)
        if status == 0 and portal in self.links:
            name, device = self.links[portal]
            if argv[-1] == "--login" and not (self.by_path / name).is_symlink():
                (self.by_path / name).symlink_to(device)
            elif argv[-1] == "--logout":
                (self.by_path / name).unlink(missing_ok=True)
        shown = b"iface.transport_name = tcp\niface.hwaddress = <empty>\n" if argv[-1] == "show" else b""
        return process.Completed(argv=tuple(argv), returncode=status, stdout=shown, stderr=b"as the test wants it")


_current: list[Fabric] = []


def current() -> ScsiHost:
    """The host of the fabric that is up."""
    return _current[-1].host


@contextlib.contextmanager
def one_target(
    folder: Path, disk: Callable[[Path], contextlib.AbstractContextManager[Path]]
) -> Iterator[dict[str, Any]]:
    """An iSCSI target with one disk; the answer is what a volume says of it."""
    fabric, iqn = Fabric(folder), "iqn.2026-11.example:disk"
    with disk(folder) as device:
        fabric.links["10.0.0.1:3260"] = (f"ip-10.0.0.1:3260-iscsi-{iqn}-lun-0", device)
        _current.append(fabric)
        yield {"targetPortal": "10.0.0.1", "iqn": iqn, "lun": 0}
        _current.pop()


@contextlib.contextmanager
def one_fabric_disk(
    folder: Path, disk: Callable[[Path], contextlib.AbstractContextManager[Path]]
) -> Iterator[dict[str, Any]]:
    """A fibre channel disk that the host sees; the answer is what a volume says of it."""
    fabric = Fabric(folder)
    with disk(folder) as device:
        (fabric.by_path / "pci-0000:00:1f.2-fc-0x500a0982991b8dc5-lun-2").symlink_to(device)
        _current.append(fabric)
        yield {"targetWWNs": ["500a0982991b8dc5"], "lun": 2}
        _current.pop()
