"""Pull one image from a registry: resolve, choose the platform, fetch what is missing, take it in."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from runtimes.errors import InvalidArgument
from runtimes.oci.images.contract import ImageRecord, ProgressCallback, PullProgress
from runtimes.oci.images.intake import Arrived, Intake
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import (
    Descriptor,
    Manifest,
    check,
    digest_of,
    host_architecture,
    parse_configuration,
    parse_manifest,
)
from runtimes.oci.images.records import Records
from runtimes.oci.images.reference import Reference
from runtimes.oci.images.skopeo import Skopeo

_MAX_INDEX_DEPTH = 4


class Pull:
    """One pull, in the folder `work`. `tell` hears of every step."""

    def __init__(
        self, name: Reference, registry: Skopeo, layout: Layout, records: Records, work: Path, tell: ProgressCallback
    ) -> None:
        self._name = name
        self._registry = registry
        self._layout = layout
        self._records = records
        self._work = work
        self._tell = tell

    async def run(self, intake: Intake) -> ImageRecord:
        self._tell(PullProgress(stage="resolving"))
        target = await self._registry.manifest()
        manifest, data = await self._for_this_machine(target)
        arrived = Arrived(
            manifest=manifest,
            manifest_digest=digest_of(data),
            manifest_bytes=len(data),
            tags=(str(self._name),) if self._name.tag else (),
            # What the reference names, which may be an index: so it is in the pod's status, and so it can be pulled.
            digests=(str(self._name.with_digest(self._name.digest or digest_of(target))),),
        )
        if not self._complete(manifest):
            await self._fetch(arrived, data)
        self._tell(_progress("unpacking", manifest, manifest.layers))
        record = await intake.take_in(arrived)
        self._tell(_progress("done", manifest, manifest.layers))
        return record

    def _complete(self, manifest: Manifest) -> bool:
        known = self._records.get(manifest.config.digest)
        return known is not None and all(
            self._layout.blob(digest).exists()
            for digest in (known.manifest_digest, manifest.config.digest, *(layer.digest for layer in manifest.layers))
        )

    async def _for_this_machine(self, data: bytes) -> tuple[Manifest, bytes]:
        for _ in range(_MAX_INDEX_DEPTH):
            parsed = parse_manifest(data, "manifest")
            if isinstance(parsed, Manifest):
                return parsed, data
            data = await self._registry.manifest(parsed.for_host("image", host_architecture()).digest)
        raise InvalidArgument(f"indexes within indexes, more than {_MAX_INDEX_DEPTH} deep")

    async def _fetch(self, arrived: Arrived, data: bytes) -> None:
        manifest, digest = arrived.manifest, arrived.manifest_digest
        config = await self._registry.configuration(digest)
        # Before the layers: an image for another machine is not worth fetching.
        check(manifest, parse_configuration(config, "image"), "image", host_architecture())

        def arriving(bytes_done: int, layers_done: int) -> None:
            start = _progress("fetching", manifest, ())
            self._tell(dataclasses.replace(start, bytes_done=bytes_done, layers_done=layers_done))

        await self._registry.fetch_layers(digest, manifest, arriving)
        for blob, content in ((manifest.config.digest, config), (digest, data)):
            await asyncio.to_thread(self._layout.add_blob, blob, [content], self._work, "image")


def _progress(stage: str, manifest: Manifest, done: Sequence[Descriptor]) -> PullProgress:
    return PullProgress(
        stage=stage,
        layers_total=len(manifest.layers),
        layers_done=len(done),
        bytes_total=sum(layer.size_bytes for layer in manifest.layers),
        bytes_done=sum(layer.size_bytes for layer in done),
    )
