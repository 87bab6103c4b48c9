"""The registry of the cases, with images of busybox."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from runtimes.image_archive import pack
from runtimes.image_registry import ImageRegistry
from runtimes.testing import images


class Registry(ImageRegistry):
    """Its images have busybox below what a case adds."""

    def __init__(self, files: Mapping[str, str]) -> None:
        """`files`: what every image has beside busybox."""
        super().__init__()
        self._files = files

    @cached_property
    def _layer(self) -> bytes:
        return images.layer_of(files=self._files)

    def push(self, name: str, *layers: bytes, **config: Any) -> tuple[str, str, str]:
        """Build an image with that configuration, to be pulled as `name:tag`: (reference, image id, manifest digest).

        `layers`: plain tars above busybox's.
        """
        image = pack([self._layer, *layers], config=images.configuration_of(config))
        return self.add(name, image), image.id, str(image.manifest["digest"])
