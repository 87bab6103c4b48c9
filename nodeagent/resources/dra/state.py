"""Which claims are prepared, or may be half prepared, for which pods: in memory and in `dra_manager_state`.

The file is a kubelet's (docs/facts/node-resources.md 12.3).
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from nodeagent.resources import checkpoint
from nodeagent.resources.checkpoint import BadState, Saver

FILE = "dra_manager_state"
_KIND, _VERSION = "DRACheckpoint", "checkpoint.dra.kubelet.k8s.io/v1"
Key = tuple[str, str]  # namespace, name


class PreparedDevice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device as its driver told of it when it was prepared. No `requests`: for all of the claim's."""

    pool: str = msgspec.field(name="PoolName", default="")
    name: str = msgspec.field(name="DeviceName", default="")
    share_id: str | None = msgspec.field(name="ShareID", default=None)
    requests: list[str] | None = msgspec.field(name="RequestNames", default=None)
    cdi_ids: list[str] | None = msgspec.field(name="CDIDeviceIDs", default=None)

    def serves(self, request: str) -> bool:
        """Whether it is for this request of the claim; "" is all. A request's alternative is `request/alternative`."""
        return not request or not self.requests or any(each.split("/")[0] == request for each in self.requests)


class DriverPart(msgspec.Struct, kw_only=True):
    """What one driver has in a claim."""

    devices: list[PreparedDevice] | None = msgspec.field(name="Devices", default=None)


class ClaimRecord(msgspec.Struct, kw_only=True):
    """A claim that drivers have been asked to prepare, or will be. `pods`: the UIDs of those it is there for."""

    uid: str = msgspec.field(name="ClaimUID")
    name: str = msgspec.field(name="ClaimName")
    namespace: str = msgspec.field(name="Namespace")
    pods: dict[str, dict[str, Any]] = msgspec.field(name="PodUIDs", default_factory=dict)
    drivers: dict[str, DriverPart] = msgspec.field(name="DriverState", default_factory=dict)

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def devices(self, request: str = "") -> Iterator[tuple[str, PreparedDevice]]:
        """(driver, device) of those that are for the request."""
        for driver, part in self.drivers.items():
            yield from ((driver, device) for device in part.devices or () if device.serves(request))


class _Data(msgspec.Struct, kw_only=True):
    kind: str
    api_version: str = msgspec.field(name="apiVersion")
    claims: list[ClaimRecord] | None = msgspec.field(name="ClaimInfoStateList", default=None)


class _File(msgspec.Struct, kw_only=True):
    data: str = msgspec.field(name="Data")
    checksum: int = msgspec.field(name="Checksum")


class ClaimState:
    """Methods belong to the event loop. Who changes a record says so by `changed`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._records: dict[Key, ClaimRecord] = {}
        self._saver = Saver(self.path, self._snapshot)

    def load(self) -> None:
        """Nothing where there is no file. Raises BadState."""
        raw = checkpoint.read(self.path)
        if raw is None:
            return
        file = checkpoint.decode(self.path, raw, _File)
        if file.checksum != zlib.crc32(file.data.encode()):
            raise BadState(self.path, "checkpoint is corrupted")
        data = checkpoint.decode(self.path, file.data.encode(), _Data)
        if (data.kind, data.api_version) != (_KIND, _VERSION):
            raise BadState(self.path, f"unknown checkpoint {data.api_version} {data.kind}")
        self._records = {record.key: record for record in data.claims or ()}

    async def save(self) -> None:
        """Have on the disk what has changed before the call. Raises OSError."""
        await self._saver.save()

    def get(self, key: Key) -> ClaimRecord | None:
        return self._records.get(key)

    def add(self, record: ClaimRecord) -> None:
        self._records[record.key] = record
        self._saver.changed()

    def remove(self, key: Key) -> None:
        if self._records.pop(key, None) is not None:
            self._saver.changed()

    def changed(self) -> None:
        self._saver.changed()

    def all(self) -> tuple[ClaimRecord, ...]:
        return tuple(self._records.values())

    def of_pod(self, uid: str) -> list[ClaimRecord]:
        return [record for record in self._records.values() if uid in record.pods]

    def _snapshot(self) -> _File:
        claims = sorted(self._records.values(), key=lambda record: record.key)
        text = msgspec.json.encode(_Data(kind=_KIND, api_version=_VERSION, claims=claims)).decode()
        return _File(data=text, checksum=zlib.crc32(text.encode()))
