"""Pull one image from a registry: resolve, choose the platform, fetch what is missing, take it in."""

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from runtimes.errors import InvalidArgument, NotFound, NotSupported, ResourceExhausted, RuntimeFault, Unavailable
from runtimes.kube.image_reference import Reference
from runtimes.oci.images.contract import ImageRecord, ProgressCallback, PullProgress
from runtimes.oci.images.intake import Arrived, Intake
from runtimes.oci.images.layout import Layout
from runtimes.oci.images.manifest import (
    Descriptor,
    Manifest,
    check,
    digest_of,
    matches_digest,
    parse_configuration,
    parse_manifest,
)
from runtimes.oci.images.platform_choice import Chosen, choose
from runtimes.oci.images.platforms import this_host
from runtimes.oci.images.records import Records
from runtimes.oci.images.registries import PullSource
from runtimes.oci.images.skopeo import Skopeo

log = logging.getLogger(__name__)


class Pull:
    """One pull. `registries`: where to ask, in this order, each until the image's blobs are in the store; `tell` hears of
    every step.
    """

    def __init__(
        self,
        name: Reference,
        registries: Sequence[Skopeo],
        layout: Layout,
        records: Records,
        work: Path,
        tell: ProgressCallback,
    ) -> None:
        self._name = name
        self._registries = registries
        self._layout = layout
        self._records = records
        self._work = work
        self._tell = tell
        self._host = this_host()

    async def run(self, intake: Intake) -> ImageRecord:
        arrived = await self._arrive()
        manifest = arrived.manifest
        self._tell(_progress("unpacking", manifest, manifest.layers))
        record = await intake.take_in(arrived)
        self._tell(_progress("done", manifest, manifest.layers))
        return record

    async def _arrive(self) -> Arrived:
        """From the first place that has all of it. A mirror that fails in the middle is passed over like one that is down:
        it may be behind, so the next one is asked for the name again. What has arrived is not fetched twice.
        """
        failures: list[tuple[PullSource, RuntimeFault]] = []
        for registry in self._registries:
            try:
                return await self._from(registry)
            except (ResourceExhausted, NotSupported):
                raise  # this machine's fault
            except RuntimeFault as error:
                failures.append((registry.place, error))
            if registry.place.mirror:
                log.warning("mirror %s: %s", registry.place.reference, failures[-1][1])
        raise _joined(failures)

    async def _from(self, registry: Skopeo) -> Arrived:
        if registry.place.blocked:
            raise Unavailable(f"registry {registry.place.reference.host} is blocked by this node's configuration")
        self._tell(PullProgress(stage="resolving"))
        target = await registry.manifest()
        if self._name.digest and not matches_digest(target, self._name.digest):
            raise InvalidArgument(f"the registry's answer for {self._name.digest} has digest {digest_of(target)}")
        manifest, data = await self._for_this_machine(registry, target)
        arrived = Arrived(
            manifest=manifest,
            manifest_digest=digest_of(data),
            manifest_bytes=len(data),
            tags=(str(self._name),) if self._name.tag else (),
            # What the reference names, which may be an index: so it is in the pod's status, and so it can be pulled.
            digests=(str(self._name.with_digest(self._name.digest or digest_of(target))),),
        )
        if not self._complete(manifest):
            await self._fetch(registry, arrived, data)
        return arrived

    def _complete(self, manifest: Manifest) -> bool:
        known = self._records.get(manifest.config.digest)
        return known is not None and all(
            self._layout.blob(digest).exists()
            for digest in (known.manifest_digest, manifest.config.digest, *(layer.digest for layer in manifest.layers))
        )

    async def _for_this_machine(self, registry: Skopeo, data: bytes) -> tuple[Manifest, bytes]:
        parsed = parse_manifest(data, "manifest")
        if isinstance(parsed, Manifest):
            return parsed, data
        choosing = choose(parsed, "image", self._host)
        try:
            needed = next(choosing)
            while True:
                read = registry.manifest if needed.config is None else registry.configuration
                try:
                    document: bytes | None = await read(needed.digest)
                except NotFound:
                    document = None
                needed = choosing.send(document)
        except StopIteration as end:
            chosen: Chosen = end.value
            return chosen.manifest, chosen.data

    async def _fetch(self, registry: Skopeo, arrived: Arrived, data: bytes) -> None:
        manifest, digest = arrived.manifest, arrived.manifest_digest
        config = await registry.configuration(digest)
        # Before the layers: an image for another machine is not worth fetching.
        check(manifest, parse_configuration(config, "image"), "image", self._host)

        def arriving(bytes_done: int, layers_done: int) -> None:
            start = _progress("fetching", manifest, ())
            self._tell(dataclasses.replace(start, bytes_done=bytes_done, layers_done=layers_done))

        await registry.fetch_layers(digest, manifest, arriving)
        for blob, content in ((manifest.config.digest, config), (digest, data)):
            await asyncio.to_thread(self._layout.add_blob, blob, [content], self._work, "image")


def _joined(failures: Sequence[tuple[PullSource, RuntimeFault]]) -> RuntimeFault:
    """The registry's own answer says what kind of failure it is; what every mirror said is reported too."""
    error = failures[-1][1]
    if len(failures) == 1:
        return error
    told = ", ".join(f"[{'mirror ' if place.mirror else ''}{place.reference}: {e.message}]" for place, e in failures)
    return type(error)(f"every place failed: {told}", reason=error.reason)


def _progress(stage: str, manifest: Manifest, done: Sequence[Descriptor]) -> PullProgress:
    return PullProgress(
        stage=stage,
        layers_total=len(manifest.layers),
        layers_done=len(done),
        bytes_total=sum(layer.size_bytes for layer in manifest.layers),
        bytes_done=sum(layer.size_bytes for layer in done),
    )
