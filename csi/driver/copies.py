"""What a volume or a snapshot is copied from, and how that is held still meanwhile."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from csi import errors
from csi.driver import contents, publication
from csi.driver.image_copy import frozen, thaw
from csi.driver.locks import Locks
from csi.driver.records import Backing, Volume
from csi.driver.store import Store
from runtimes.linux.files import sync_file_system
from runtimes.linux.tasks import run_blocking

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """`volume_id`: of the volume that may be in use; empty: it is a snapshot, which nobody changes."""

    lock: str
    place: Path
    backing: Backing
    block: bool
    fs_type: str
    size_bytes: int
    volume_id: str = ""


class Copies:
    """Copies contents while volumes are in use: files one after the other, disks as they are at one moment."""

    def __init__(self, store: Store, locks: Locks) -> None:
        self._store = store
        self._locks = locks

    def thaw_all(self) -> None:
        """Let writes go on that a driver held up when it was killed."""
        for node_volume in self._store.node.all():
            volume = self._store.volumes.get(node_volume.volume_id)
            if volume is not None and volume.fs_type and publication.is_staged(node_volume):
                try:
                    thaw(Path(node_volume.staging_path))
                except OSError as error:
                    log.warning("%s: writes may be held up: %s", node_volume.staging_path, error)

    def origin(self, wanted: Volume) -> Origin | None:
        """What `wanted` is to be a copy of; None: of nothing. Raises NotFound, InvalidArgument for a source of another kind."""
        if wanted.source is None:
            return None
        kind, identity = wanted.source
        found = self.of_volume(identity) if kind == "volume" else self._of_snapshot(identity)
        same_fs = wanted.fs_type in ("", found.fs_type)
        if (found.backing, found.block) != (wanted.backing, wanted.block) or not same_fs:
            raise errors.InvalidArgument("volume_content_source: it is of another kind than the volume asked for")
        return found

    def of_volume(self, volume_id: str) -> Origin:
        """Raises NotFound."""
        volume = self._store.volumes.known(volume_id)
        return Origin(
            lock=volume.id,
            place=self._store.volumes.place(volume),
            backing=volume.backing,
            block=volume.block,
            fs_type=volume.fs_type,
            size_bytes=volume.capacity_bytes,
            volume_id=volume.id,
        )

    def _of_snapshot(self, snapshot_id: str) -> Origin:
        snapshot = self._store.snapshots.known(snapshot_id)
        return Origin(
            lock=snapshot.id,
            place=self._store.snapshots.place(snapshot),
            backing=snapshot.backing,
            block=snapshot.block,
            fs_type=snapshot.fs_type,
            size_bytes=snapshot.size_bytes,
        )

    async def copy(self, origin: Origin, draft: Path, *, size: int) -> None:
        """Into an empty folder. Raises csi.errors, OSError."""
        async with self._locks.of(origin.lock):
            await run_blocking(self._copy, origin, draft, size)

    async def copy_together(self, copies: Sequence[tuple[Origin, Path]]) -> None:
        """All as they are at one moment, each into an empty folder. Raises csi.errors, OSError; WrongState for what cannot be
        held still."""
        async with contextlib.AsyncExitStack() as held:
            for lock in sorted(origin.lock for origin, _ in copies):
                await held.enter_async_context(self._locks.of(lock))
            for origin, _ in copies:
                if origin.backing == "directory" and publication.is_staged(self._store.node.of(origin.volume_id)):
                    raise errors.WrongState("a directory that is in use cannot be held still beside others")
            await run_blocking(self._copy_together, copies)

    def _copy_together(self, copies: Sequence[tuple[Origin, Path]]) -> None:
        with contextlib.ExitStack() as still:
            for origin, _ in copies:
                if not origin.place.exists():
                    raise errors.NotFound("a source was deleted meanwhile")
                still.enter_context(self._still(origin))
            for origin, draft in copies:
                contents.copy(origin.place, draft, origin.backing, size=origin.size_bytes)

    def _copy(self, origin: Origin, draft: Path, size: int) -> None:
        if not origin.place.exists():
            raise errors.NotFound("the source was deleted meanwhile")
        with self._still(origin):
            contents.copy(origin.place, draft, origin.backing, size=size)

    @contextlib.contextmanager
    def _still(self, origin: Origin) -> Iterator[None]:
        node_volume = self._store.node.of(origin.volume_id)
        if origin.backing == "directory":
            sync_file_system(origin.place)
        elif origin.block and publication.live_targets(node_volume):
            raise errors.WrongState(
                "a block device is copied only while it is not published: nothing holds its writers up"
            )
        elif not origin.block and origin.volume_id and publication.is_staged(node_volume):
            with frozen(Path(node_volume.staging_path)):
                yield
            return
        yield
