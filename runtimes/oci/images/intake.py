"""How an image whose blobs are in the store becomes an image: checked, unpacked once, recorded last; and sweeping up."""

import asyncio
import contextlib
import errno
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from runtimes.errors import Internal, NotFound, ResourceExhausted, RuntimeFault
from runtimes.linux.removal import remove_tree
from runtimes.linux.tasks import SingleFlight, run_blocking
from runtimes.oci.images.collect import collect
from runtimes.oci.images.contract import ImageRecord
from runtimes.oci.images.layer_entries import Usage
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.lock import shared
from runtimes.oci.images.manifest import Manifest, check, parse_configuration
from runtimes.oci.images.platforms import this_host
from runtimes.oci.images.records import Records
from runtimes.oci.images.rootfs import Holds
from runtimes.oci.images.unpack import UnpackRequest, unpack

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An image whose manifest, configuration and layers are blobs of the store, and what it is called."""

    manifest: Manifest
    manifest_digest: str
    manifest_bytes: int
    tags: tuple[str, ...]
    digests: tuple[str, ...]


class Intake:
    """The store's workshop: whoever brings something in works in a folder of his own and sweeps up behind himself."""

    def __init__(self, layout: Layout, records: Records, holds: Holds, python: str) -> None:
        self._layout = layout
        self._records = records
        self._holds = holds
        self._python = python
        self._unpacking: SingleFlight[str, Usage] = SingleFlight()
        self._sweeper: asyncio.Task[None] | None = None
        self._sweep_again = False
        self._garbage = False  # a sweep found the store in use

    @contextlib.asynccontextmanager
    async def working(self, what: str = "") -> AsyncIterator[Path]:
        """A folder under tmp/ while the store is held shared. Errors get `what` in front; disk errors become ours."""
        try:
            async with self.holding():
                work = self._layout.work_folder()
                try:
                    yield work
                finally:
                    self._garbage = True
                    await run_blocking(remove_tree, work)
        except RuntimeFault as error:
            if not what:
                raise
            raise type(error)(f"{what}: {error.message}", reason=error.reason) from error
        except OSError as error:
            raise disk_fault(error, what or "image store") from error

    @contextlib.asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """Hold the store shared: nothing is swept away meanwhile."""
        try:
            async with shared(self._layout.lock):
                yield
        finally:
            if self._garbage:
                self.sweep_later()

    async def take_in(self, arrived: Arrived, *, pinned: bool | None = None) -> ImageRecord:
        """Check, unpack and record an image; `pinned` as of `Records.add`. The caller is `working`.

        Raises RuntimeFault, OSError.
        """
        manifest, image_id = arrived.manifest, arrived.manifest.config.digest
        what = arrived.tags[0] if arrived.tags else image_id
        try:
            data = self._layout.blob(image_id).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"{what}: image configuration {image_id} is missing") from None
        configuration = parse_configuration(data, what)
        check(manifest, configuration, what, this_host())
        layers = tuple(layer.digest for layer in manifest.layers)
        usage = await self.unpack(image_id, layers, configuration.diff_ids)
        record = ImageRecord(
            id=image_id,
            manifest_digest=arrived.manifest_digest,
            tags=arrived.tags,
            digests=arrived.digests,
            layers=layers,
            size_bytes=arrived.manifest_bytes + manifest.config.size_bytes + sum(x.size_bytes for x in manifest.layers),
            unpacked_bytes=usage.bytes,
            unpacked_inodes=usage.inodes,
            config=configuration.config,
            rootfs=self._layout.rootfs(image_id),
        )
        return await asyncio.to_thread(self._records.add, record, pinned=pinned)

    async def unpack(self, image_id: str, layers: tuple[str, ...], diff_ids: tuple[str, ...]) -> Usage:
        """Make the image's tree where it is not there; one at a time for one image."""
        request = UnpackRequest(image_id=image_id, layers=tuple(zip(layers, diff_ids, strict=True)))

        async def work() -> Usage:
            # A folder of its own: the one who came first may leave while others still wait.
            async with self.working() as folder:
                return await unpack(request, self._layout, folder, python=self._python)

        return await self._unpacking.join(image_id, work)

    async def unpack_again(self, record: ImageRecord) -> None:
        """The tree of a recorded image is gone; its blobs may still be there. Raises NotFound when not."""
        try:
            data = self._layout.blob(record.id).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"image {record.id} has lost its files; pull it again") from None
        await self.unpack(record.id, record.layers, parse_configuration(data, record.id).diff_ids)

    async def sweep(self) -> None:
        """Delete what nobody needs, unless somebody works in the store: then he will."""
        doomed = await asyncio.to_thread(collect, self._layout, self._records, self._holds)
        self._garbage = doomed is None
        for path in doomed or ():
            await run_blocking(remove_tree, path)

    def sweep_later(self) -> None:
        """Sweep in the background; asked again meanwhile, once more."""
        self._sweep_again = True
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep_all())

    async def drain(self) -> None:
        """Wait for sweeping that is under way."""
        if self._sweeper is not None:
            await asyncio.wait({self._sweeper})

    async def _sweep_all(self) -> None:
        try:
            while self._sweep_again:
                self._sweep_again = False
                await self.sweep()
        except (OSError, RuntimeFault) as error:
            log.error("cleaning up the image store: %s", error)
        finally:
            self._sweeper = None


def disk_fault(error: OSError, what: str) -> RuntimeFault:
    """A disk error as one of ours: a full disk is worth trying again after making room."""
    where = f" ({error.filename})" if error.filename else ""
    text = f"{what}: {error.strerror or error}{where}"
    return ResourceExhausted(text) if error.errno in (errno.ENOSPC, errno.EDQUOT) else Internal(text)
