"""The volume contract: what a volume type does for one volume of one pod, and what a mounted volume is.

One implementation per volume type, each in its own file; the volume manager is the only caller.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lightkube.models.core_v1 import Volume

from nodeagent.podspec.pod import AgentPod


class VolumeError(Exception):
    """A volume cannot be set up or taken down now; trying again may help. The text is for the pod's owner."""


class UnsupportedVolume(VolumeError):
    """This node can never mount the volume as it is declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedVolume:
    """A volume that is ready to be bound into containers.

    `host_path`: directory, file or device node on the host. `directory_name`: its name under `volume-subpaths`.
    `read_only_forced`: every container sees it read-only, whatever its volumeMount says.
    `relabel`: the runtime may relabel it for SELinux. `block`: it is a device, not a file system.
    `supplemental_groups`: groups that the pod's processes need for it.
    """

    host_path: Path
    directory_name: str
    read_only_forced: bool = False
    relabel: bool = False
    block: bool = False
    supplemental_groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """One volume of one pod, as its plugin needs it.

    `fs_group`: the pod's fsGroup. `fs_user`: the user that every container of the pod runs as, None when they differ or
    do not say. `nested`: relative paths inside the volume on which other volumes of a container are mounted.
    """

    pod: AgentPod
    uid: str
    namespace: str
    pod_name: str
    volume: Volume
    fs_group: int | None = None
    fs_user: int | None = None
    nested: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.volume.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """`needs_refresh`: the content follows API objects; `setup` is to be repeated on the live volume.

    `on_disk`: set-up leaves a directory under `pods/<uid>/volumes`, by which teardown finds it after a restart.
    """

    needs_refresh: bool = False
    on_disk: bool = True


class VolumePlugin(Protocol):
    """One volume type. Verbs run concurrently for different volumes, never for the same volume of the same pod.

    What they leave survives a restart of the agent, which then calls them again from what it finds on disk.
    """

    @property
    def name(self) -> str:
        """The plugin's name, as in `kubernetes.io/empty-dir`; its directory has `~` for `/`."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def supports(self, volume: Volume) -> bool: ...

    async def setup(self, request: VolumeRequest) -> MountedVolume:
        """Make the volume ready. Repeatable on a live volume. A failure leaves a fresh volume not mounted.

        Raises VolumeError.
        """
        ...

    async def teardown(self, uid: str, directory_name: str) -> None:
        """Undo `setup`, or half of it, knowing only what the disk tells. Nothing there is fine. Raises VolumeError."""
        ...
