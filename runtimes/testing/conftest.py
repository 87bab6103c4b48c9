"""For `pytest --pyargs runtimes.testing`: the fixtures beside the cases."""

from runtimes.testing.fixtures import (
    folder,
    image_archive,
    image_store,
    networked,
    registry,
    runtime,
)

__all__ = ["folder", "image_archive", "image_store", "networked", "registry", "runtime"]
