"""Images of the hollow runtime: names."""

import asyncio
import hashlib
from collections import Counter

from typing_extensions import override

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import ImageService
from runtimes.hollow.chance import Chance
from runtimes.kube.image_reference import InvalidReference, is_digest, parse


class HollowImages(ImageService):
    """Every image exists as soon as it is pulled, and has no size.

    `pull_seconds`, `spread`: how long the first pull takes, as `Chance.seconds` has it. `failures`: the share of pulls that fail.
    """

    def __init__(
        self, *, pull_seconds: float = 0.0, spread: float = 0.0, failures: float = 0.0, chance: Chance | None = None
    ) -> None:
        self._images: dict[str, cri.Image] = {}
        self._pull_seconds = pull_seconds
        self._spread = spread
        self._failures = failures
        self._chance = chance or Chance("")
        self._tries: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        return image_id_of(name) in self._images

    @override
    async def list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        wanted = request.filter.image.image
        found = [image for image in self._images.values() if wanted in ("", image.id, *image.repo_tags)]
        return cri.ListImagesResponse(images=found)

    @override
    async def image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        return cri.ImageStatusResponse(image=self._images.get(image_id_of(request.image.image)))

    @override
    async def pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        name = request.image.image
        if not is_digest(name):
            try:
                parse(name)
            except InvalidReference as error:
                raise errors.InvalidArgument(str(error)) from error
        image_id = image_id_of(name)
        if image_id not in self._images:
            await self._fetch(name)
        tags = [] if name == image_id else [name]
        self._images[image_id] = cri.Image(id=image_id, repo_tags=tags, size=1, spec=cri.ImageSpec(image=name))
        return cri.PullImageResponse(image_ref=image_id)

    async def _fetch(self, name: str) -> None:
        """Takes its time, and fails now and then: another try is another draw."""
        self._tries[name] += 1
        what = (name, self._tries[name])
        await asyncio.sleep(self._chance.seconds(self._pull_seconds, self._spread, "pull", *what))
        if self._chance.share("pull fails", *what) < self._failures:
            raise errors.Unavailable("the pull has failed, as the settings of the hollow runtime ask")

    @override
    async def remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        self._images.pop(image_id_of(request.image.image), None)
        return cri.RemoveImageResponse()

    @override
    async def image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse:
        return cri.ImageFsInfoResponse()


def image_id_of(name: str) -> str:
    return name if name.startswith("sha256:") else f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
