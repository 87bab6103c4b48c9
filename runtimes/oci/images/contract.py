"""What the engine needs of an image store, beside the CRI's image verbs.

One store serves every handler of the engine on a node. A name is any of: image id ("sha256:<64 hex>", or the hex alone, or a
unique prefix of it), tag reference, digest reference; references are normalised as containerd and CRI-O do it ("busybox" is
"docker.io/library/busybox:latest").
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from proto import cri_pb2 as cri
from runtimes.contract import ImageService


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The part of an OCI image configuration that a container is made from. Absent fields are empty."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()  # "NAME=value"
    user: str = ""  # user[:group], names or numbers
    working_dir: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One complete image. `id` is "sha256:" and the digest of its configuration, as in every container runtime.

    `tags` and `digests` are normalised references ("docker.io/library/busybox:1", "docker.io/library/busybox@sha256:…").
    `size_bytes`: manifest, configuration and layers as fetched. `rootfs`: the unpacked tree, shared by all containers of the
    image and never written to. `unpacked_bytes` and `unpacked_inodes`: what that tree takes, counted from the layers.
    `pins`: which of its tags, or its id, garbage collection must leave alone. A pin goes where its name goes.
    """

    id: str
    manifest_digest: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    layers: tuple[str, ...]  # blob digests, lowest first
    size_bytes: int
    unpacked_bytes: int
    unpacked_inodes: int
    config: ImageConfig
    rootfs: Path
    pins: tuple[str, ...] = ()

    @property
    def pinned(self) -> bool:
        """Whether garbage collection leaves it alone."""
        return bool(self.pins)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is. `stage` is one of resolving, fetching, unpacking, done; totals are 0 while unknown."""

    stage: str
    layers_total: int = 0
    layers_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0


ProgressCallback = Callable[[PullProgress], None]


class ImageStore(ImageService, Protocol):
    """Images on this machine's disk. All verbs may be called concurrently, from one event loop.

    Coroutines raise NotFound (no such image, manifest unknown), InvalidArgument (bad reference, broken or foreign image),
    Unavailable (registry unreachable, or it refuses), Timeout (no progress), ResourceExhausted (disk full); the plain functions
    raise nothing.
    """

    async def start(self) -> None:
        """Load what is there and remove what a kill or a power cut left half made. Call once, before anything else."""
        ...

    def resolve(self, name: str) -> ImageRecord | None:
        """The image of that name, from memory; None when absent or when a short id is not unique."""
        ...

    async def pull(
        self, reference: str, *, auth: cri.AuthConfig | None = None, progress: ProgressCallback | None = None
    ) -> ImageRecord:
        """Fetch and unpack. Concurrent pulls of one reference with one credential are one pull."""
        ...

    async def import_archive(self, path: Path, *, tag: str | None = None, pinned: bool = True) -> list[ImageRecord]:
        """Take in an OCI layout (folder), an OCI archive or a docker archive (tar, plain or compressed).

        `tag` names the image in place of what the archive says; only for archives of one image. Pinned, since nobody can
        pull it again; `pinned` False also takes back the pins of the names that it brings.
        """
        ...

    async def pin(self, name: str) -> ImageRecord:
        """Keep garbage collection off what `name` names: a tag, now and after it moved; else the image. Raises NotFound."""
        ...

    async def unpin(self, name: str) -> ImageRecord:
        """Take back all pins of the image that `name` names. Raises NotFound."""
        ...

    async def prepare_rootfs(self, image_id: str, directory: Path, *, read_only: bool = False) -> Path:
        """Mount a container's root file system and return it: `directory`/merged.

        A writable overlay with `directory`/upper and /work, or with `read_only` a plain read-only view of the image (for
        image volumes: nothing can be created in it, not even mount points). The image is held by `directory` until
        `remove_rootfs`. Repeatable: what is mounted already is returned. `directory` must not lie inside the store.
        """
        ...

    async def remove_rootfs(self, directory: Path) -> None:
        """Unmount and delete upper, work and merged, and let go of the image. Nothing there, or half of it, is fine."""
        ...

    def hold(self, image_id: str, holder: str) -> None:
        """Keep the image's tree for `holder`, whatever is removed. In memory only: after a restart, hold again."""
        ...

    def release(self, image_id: str, holder: str) -> None:
        """Undo `hold`; unknown holders are fine. The tree of a removed image goes with its last holder."""
        ...
