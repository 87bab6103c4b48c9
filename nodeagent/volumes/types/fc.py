"""fc: disks of a fibre channel fabric, found by what the host has seen of it (docs/facts/storage.md 4.11)."""

from pathlib import Path

from nodeagent.volumes.contract import VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.types.remote_disk import Disk, Others, Record, texts
from nodeagent.volumes.types.scsi import ScsiHost
from runtimes.linux.tasks import run_blocking

NAME = "kubernetes.io/fc"


class FibreChannel:
    """A `remote_disk.Reach`."""

    name = NAME

    def __init__(self, host: ScsiHost) -> None:
        self._host = host

    def declared(self, source: VolumeSource) -> Disk | None:
        spec = source.persistent_spec
        found = (spec.fc if spec is not None else None) or source.volume.fc
        if found is None:
            return None
        names = [f"{wwn}-lun-{found.lun or 0}" for wwn in found.targetWWNs or ()]
        ids = [wwid.replace(" ", "_") for wwid in found.wwids or ()]
        return Disk(
            place=((names or ids or [""])[0],),
            fstype=found.fsType or "",
            read_only=bool(found.readOnly),
            record={"paths": names, "ids": ids},
        )

    async def reach(self, disk: Disk, request: VolumeRequest) -> Path:
        device = await run_blocking(self._find, disk)
        if device is None:
            await run_blocking(self._host.rescan)
            device = await run_blocking(self._find, disk)
        if device is None:
            raise VolumeError(f"no fc disk found for {disk.place[0]}")
        return device

    async def release(self, record: Record, device: Path | None, others: Others) -> None:
        if device is not None:
            await self._host.release(device)

    def _find(self, disk: Disk) -> Path | None:
        links: list[Path] = []
        for name in texts(disk.record["paths"]):
            links += self._host.links("by-path", name, before="*-fc-0x")
            links += self._host.links("by-path", name, before="*-fc-")
        for wwid in texts(disk.record["ids"]):
            links += self._host.links("by-id", f"scsi-{wwid}")
        return self._host.device_of(links)
