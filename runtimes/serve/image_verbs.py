"""The verbs of the CRI's ImageService over the image stores of several runtimes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from proto import cri_pb2 as cri
from runtimes.contract import ImageService
from runtimes.serve.calls import Service
from runtimes.serve.router import Router

_CHUNK = 100


class ImageVerbs:
    """An image specification may name a handler, whose store is meant then; else pulls go to the default's store."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def service(self) -> Service:
        return Service(
            name="ImageService",
            unary={
                "ListImages": self._list_images,
                "ImageStatus": self._image_status,
                "PullImage": self._pull_image,
                "RemoveImage": self._remove_image,
                "ImageFsInfo": self._image_fs_info,
            },
            streamed={"StreamImages": self._stream_images},
        )

    def _stores(self, image: cri.ImageSpec) -> Sequence[ImageService]:
        if image.runtime_handler:
            return (self._router.by_handler(image.runtime_handler).images,)
        return self._router.stores

    async def _list_images(self, request: cri.ListImagesRequest) -> cri.ListImagesResponse:
        """Each image once, whichever stores have it."""
        stores = self._stores(request.filter.image)
        answers = await asyncio.gather(*(store.list_images(request) for store in stores))
        images: dict[str, cri.Image] = {}
        for answer in answers:
            for image in answer.images:
                images.setdefault(image.id, image)
        return cri.ListImagesResponse(images=images.values())

    async def _stream_images(self, request: cri.StreamImagesRequest) -> AsyncIterator[cri.StreamImagesResponse]:
        images = (await self._list_images(cri.ListImagesRequest(filter=request.filter))).images
        for start in range(0, len(images), _CHUNK):
            yield cri.StreamImagesResponse(images=images[start : start + _CHUNK])

    async def _image_status(self, request: cri.ImageStatusRequest) -> cri.ImageStatusResponse:
        for store in self._stores(request.image):
            answer = await store.image_status(request)
            if answer.HasField("image"):
                return answer
        return cri.ImageStatusResponse()

    async def _pull_image(self, request: cri.PullImageRequest) -> cri.PullImageResponse:
        return await self._router.by_handler(request.image.runtime_handler).images.pull_image(request)

    async def _remove_image(self, request: cri.RemoveImageRequest) -> cri.RemoveImageResponse:
        for store in self._stores(request.image):
            await store.remove_image(request)
        return cri.RemoveImageResponse()

    async def _image_fs_info(self, request: cri.ImageFsInfoRequest) -> cri.ImageFsInfoResponse:
        answers = await asyncio.gather(*(store.image_fs_info(request) for store in self._router.stores))
        merged = cri.ImageFsInfoResponse()
        for answer in answers:
            merged.MergeFrom(answer)
        return merged
