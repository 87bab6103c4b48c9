"""`nodeagent image …`: the engine's image store, opened from outside. Its locks let a running agent work on beside us."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from nodeagent.cli.output import Output, human_bytes, print_error, print_json, print_table
from nodeagent.cli.progress import PullDisplay
from nodeagent.config import ConfigProblem, Options, load
from nodeagent.folders import Folders, images_below
from proto import cri_pb2 as cri
from runtimes.errors import NotFound, RuntimeFault
from runtimes.oci.images.contract import ImageRecord
from runtimes.oci.images.store import DiskImageStore


def import_archive(state_dir: Path, archive: Path, tag: str | None, *, pinned: bool) -> int:
    async def work() -> int:
        async with _started(DiskImageStore(images_below(state_dir))) as store:
            for record in await store.import_archive(archive, tag=tag, pinned=pinned):
                print(_names(record))
        return 0

    return _run(work)


def pull(state_dir: Path, config_file: Path | None, reference: str, username: str) -> int:
    try:
        config = load(Options(config_file=config_file, state_dir=state_dir))
    except ConfigProblem as problem:
        print("\n".join(problem.problems), file=sys.stderr)
        return 2
    auth = None
    if username:
        auth = cri.AuthConfig(username=username, password=sys.stdin.readline().rstrip("\n"))

    async def work() -> int:
        from nodeagent.assembly.images import image_store  # the same registries and mirrors as the agent's

        async with _started(image_store(config, Folders.of(config.options))) as store:
            with PullDisplay(reference) as display:
                record = await store.pull(reference, auth=auth, progress=display.update)
            print(record.id)
        return 0

    return _run(work)


def list_images(state_dir: Path, output: Output) -> int:
    async def work() -> int:
        async with _started(DiskImageStore(images_below(state_dir))) as store:
            images = sorted((await store.list_images(cri.ListImagesRequest())).images, key=_name)
        if output is Output.JSON:
            print_json([_row(image) for image in images])
            return 0
        rows = [
            [
                _name(image),
                image.id.removeprefix("sha256:")[:12],
                human_bytes(image.size),
                "yes" if image.pinned else "no",
            ]
            for image in images
        ]
        print_table(("IMAGE", "ID", "SIZE", "PINNED"), rows)
        return 0

    return _run(work)


def pin(state_dir: Path, names: list[str], *, pinned: bool) -> int:
    """Pin images, or take their pins back; every name is tried."""

    async def work() -> int:
        failed = 0
        async with _started(DiskImageStore(images_below(state_dir))) as store:
            for name in names:
                try:
                    print(_names(await (store.pin(name) if pinned else store.unpin(name))))
                except NotFound as error:
                    print_error(str(error))
                    failed = 1
        return failed

    return _run(work)


def remove(state_dir: Path, names: list[str]) -> int:
    async def work() -> int:
        failed = 0
        async with _started(DiskImageStore(images_below(state_dir))) as store:
            for name in names:
                record = store.resolve(name)
                if record is None:
                    print_error(f"no image {name!r} (a short id may fit several)")
                    failed = 1
                    continue
                await store.remove_image(cri.RemoveImageRequest(image=cri.ImageSpec(image=record.id)))
                print(_names(record))
        return failed

    return _run(work)


@asynccontextmanager
async def _started(store: DiskImageStore) -> AsyncIterator[DiskImageStore]:
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def _run(work: Callable[[], Awaitable[int]]) -> int:
    async def body() -> int:
        return await work()

    try:
        return asyncio.run(body())
    except (RuntimeFault, OSError) as error:
        print_error(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def _row(image: cri.Image) -> dict[str, object]:
    return {
        "id": image.id,
        "tags": list(image.repo_tags),
        "digests": list(image.repo_digests),
        "size": image.size,
        "pinned": image.pinned,
    }


def _name(image: cri.Image) -> str:
    return ", ".join(image.repo_tags) or ", ".join(image.repo_digests) or "<none>"


def _names(record: ImageRecord) -> str:
    return "\n".join(record.tags or record.digests or (record.id,))
