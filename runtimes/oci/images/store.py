"""The engine's image store on disk: pull, import, list, remove, and root file systems for containers.

The way of an image: its blobs are written under tmp/ and renamed into blobs/ once verified; its tree is unpacked under tmp/
and renamed into unpacked/; its record is written last. A kill at any point leaves nothing that counts, and the next one who
ends his work, or starts, sweeps up.
"""

import asyncio
import dataclasses
import hashlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from proto import cri_pb2 as cri
from runtimes.errors import InvalidArgument, NotFound
from runtimes.kube.image_reference import InvalidReference, Reference, parse
from runtimes.linux.tasks import SingleFlight, run_blocking
from runtimes.oci.images import layout as files
from runtimes.oci.images import messages, rootfs
from runtimes.oci.images.archive import Imported, read_archive
from runtimes.oci.images.contract import ImageRecord, ProgressCallback, PullProgress
from runtimes.oci.images.intake import Arrived, Intake, disk_fault
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import digest_of
from runtimes.oci.images.platforms import this_host
from runtimes.oci.images.pull import Pull
from runtimes.oci.images.records import Records
from runtimes.oci.images.skopeo import SkopeoSettings, conversations

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    skopeo: SkopeoSettings = dataclasses.field(default_factory=SkopeoSettings)
    python: str = sys.executable  # runs the unpacker
    layers: Path | None = None  # where containers have their writable layers; None: beside the images


class DiskImageStore:
    """Implements `contract.ImageStore` in the folder `root`; other processes may have the same folder open."""

    def __init__(self, root: Path, settings: StoreSettings | None = None) -> None:
        self._settings = settings or StoreSettings()
        self._layout = Layout(root.absolute())
        self._layers = self._settings.layers or self._layout.root
        self._records = Records(self._layout)
        self._holds = rootfs.Holds(self._layout)
        self._intake = Intake(self._layout, self._records, self._holds, self._settings.python)
        self._pulls: SingleFlight[tuple[str, str], ImageRecord] = SingleFlight()
        self._watchers: dict[tuple[str, str], list[ProgressCallback]] = {}

    async def start(self) -> None:
        await asyncio.to_thread(self._layout.create)
        try:
            await asyncio.to_thread(self._records.remove_unreadable)
            await self._intake.sweep()
        except OSError as error:
            # on a full disk there is nowhere to move it to; whoever is to make room needs a store that starts
            log.warning("what the image store does not need stays for now: %s", error)

    async def stop(self) -> None:
        """Wait for clean-up that is under way. Pulls belong to their callers."""
        await self._intake.drain()

    # What the engine needs

    def resolve(self, name: str) -> ImageRecord | None:
        return self._records.find(name)

    async def prepare_rootfs(self, image_id: str, directory: Path, *, read_only: bool = False) -> Path:
        async with self._intake.holding():
            record = self._records.get(image_id)
            tree = self._layout.rootfs(image_id)
            if not tree.exists():
                if record is None:
                    raise NotFound(f"image {image_id} is not here")
                log.warning("the tree of image %s is gone; unpacking it again", image_id)
                await self._intake.unpack_again(record)
            try:
                directory.mkdir(parents=True, exist_ok=True)
                self._holds.note(image_id, directory)
                return rootfs.prepare(tree, directory, read_only=read_only)
            except OSError as error:
                raise disk_fault(error, f"root file system in {directory}") from error

    async def remove_rootfs(self, directory: Path) -> None:
        await run_blocking(rootfs.remove, directory)
        if self._holds.erase(directory):
            self._sweep_if_removed()

    def hold(self, image_id: str, holder: str) -> None:
        self._holds.add(image_id, holder)

    def release(self, image_id: str, holder: str) -> None:
        if self._holds.discard(image_id, holder) and self._records.get(image_id) is None:
            self._intake.sweep_later()

    # Bringing images in

    async def pull(
        self, reference: str, *, auth: cri.AuthConfig | None = None, progress: ProgressCallback | None = None
    ) -> ImageRecord:
        name = _parsed(reference)
        key = (str(name), _fingerprint(auth))
        watchers = self._watchers.setdefault(key, [])
        watchers.append(progress or _nobody)
        try:
            return await self._pulls.join(key, lambda: self._pull(name, auth, watchers))
        finally:
            watchers.remove(progress or _nobody)
            if not watchers:
                self._watchers.pop(key, None)

    async def _pull(
        self, name: Reference, auth: cri.AuthConfig | None, watchers: list[ProgressCallback]
    ) -> ImageRecord:
        def tell(progress: PullProgress) -> None:
            for watcher in list(watchers):
                watcher(progress)

        async with self._intake.working(f'failed to pull image "{name}"') as work:
            registries = conversations(self._settings.skopeo, name, auth, self._layout, work)
            return await Pull(name, registries, self._layout, self._records, work, tell).run(self._intake)

    async def import_archive(self, path: Path, *, tag: str | None = None, pinned: bool = True) -> list[ImageRecord]:
        wanted = None if tag is None else _parsed(tag)
        async with self._intake.working("failed to import") as work:
            images = await asyncio.to_thread(read_archive, path, self._layout, work, this_host())
            if wanted is not None and len(images) > 1:
                raise InvalidArgument(f"{path} holds {len(images)} images; a tag can be given for one only")
            return [await self._import(image, wanted, work, pinned) for image in images]

    async def _import(self, image: Imported, wanted: Reference | None, work: Path, pinned: bool) -> ImageRecord:
        digest = digest_of(image.manifest_data)
        await asyncio.to_thread(self._layout.add_blob, digest, [image.manifest_data], work, "manifest")
        names = [wanted] if wanted is not None else [_parsed(name) for name in image.names]
        arrived = Arrived(
            manifest=image.manifest,
            manifest_digest=digest,
            manifest_bytes=len(image.manifest_data),
            tags=tuple(str(name) for name in names if name.tag),
            digests=tuple(dict.fromkeys(str(name.with_digest(image.target_digest)) for name in names)),
        )
        return await self._intake.take_in(arrived, pinned=pinned)

    async def pin(self, name: str) -> ImageRecord:
        return await self._repinned(self._records.pin, name)

    async def unpin(self, name: str) -> ImageRecord:
        return await self._repinned(self._records.unpin, name)

    async def _repinned(self, change: Callable[[str], ImageRecord | None], name: str) -> ImageRecord:
        try:
            record = await asyncio.to_thread(change, name)
        except OSError as error:
            raise disk_fault(error, f"image {name}") from error
        if record is None:
            raise NotFound(f"no image {name!r} (a short id may fit several)")
        return record

    # The CRI's verbs

    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        wanted = request.filter.image.image
        if wanted:
            record = self.resolve(wanted)
            return cri.ListImagesResponse(images=[messages.image(record)] if record is not None else [])
        return cri.ListImagesResponse(images=[messages.image(record) for record in self._records])

    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        record = self.resolve(request.image.image)
        if record is None:
            return cri.ImageStatusResponse()
        try:
            return await asyncio.to_thread(messages.status, record, self._layout, verbose=request.verbose)
        except OSError as error:
            raise disk_fault(error, f"image {record.id}") from error

    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        auth = request.auth if request.HasField("auth") else None
        record = await self.pull(request.image.image, auth=auth)
        return cri.PullImageResponse(image_ref=record.id)

    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        """All names of the image go. Its tree stays as long as a container is mounted on it."""
        record = self.resolve(request.image.image)
        if record is not None:
            try:
                await asyncio.to_thread(self._records.remove, record.id)
            except OSError as error:
                raise disk_fault(error, f"image {record.id}") from error
            self._intake.sweep_later()
            await self._intake.drain()
        return cri.RemoveImageResponse()

    async def image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse:
        try:
            return await asyncio.to_thread(messages.file_system, list(self._records), self._layout, self._layers)
        except OSError as error:
            raise disk_fault(error, "image store") from error

    def _sweep_if_removed(self) -> None:
        known = {files.hex_of(record.id) for record in self._records}
        if any(tree.name not in known for tree in self._layout.unpacked.iterdir()):
            self._intake.sweep_later()


def _nobody(progress: PullProgress) -> None:
    """Watches a pull without a word."""


def _parsed(reference: str) -> Reference:
    try:
        return parse(reference)
    except InvalidReference as error:
        raise InvalidArgument(str(error)) from None


def _fingerprint(auth: cri.AuthConfig | None) -> str:
    """Tells credentials apart: one who may not pull must not get the image because another may."""
    return "" if auth is None else hashlib.sha256(auth.SerializeToString(deterministic=True)).hexdigest()
