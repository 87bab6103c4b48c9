"""Volumes that pods share: staged once on the node, and for whose sake.

What a pod has of them is a note in its folder, `pods/<uid>/plugins/<plugin>/<volume>/node-volume.json`, written before the volume
is attached and staged, and removed after it is unstaged. So an agent that starts again knows them all; the pod's folder is not
removed while there is one (`pod_folder`).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from nodeagent.volumes.contract import VolumePlugin
from nodeagent.volumes.layout import Layout, make_directories
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file
from runtimes.linux.tasks import run_blocking

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """A pod, and its volume by the place on disk."""

    uid: str
    plugin_directory: str
    name: str


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod has of a node-wide volume. `volume_id`: empty where it cannot be read. `attach`: somebody attaches it."""

    volume_id: str
    attach: bool = False


class NodeVolumes:
    """One for all pods. Verbs on different volumes do not wait for each other. `changed`: called when `in_use` may have."""

    def __init__(self, layout: Layout, changed: Callable[[], None] = lambda: None) -> None:
        self._layout = layout
        self._changed = changed
        self._notes: dict[Holder, Note] | None = None  # None: the disk has not been asked yet
        self._loading = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def exclusive(self, volume_id: str) -> AsyncIterator[None]:
        """One pod at a time: drivers are not asked to stage, publish and unstage a volume at once."""
        lock = self._locks.setdefault(volume_id, asyncio.Lock())
        async with lock:
            yield

    async def hold(self, volume: Holder, note: Note) -> None:
        """From here on the volume is not unstaged, until the pod lets go of it. Repeatable. Raises OSError."""
        notes = await self._known()
        if notes.get(volume) == note:
            return
        path = self._path(volume)
        try:
            await run_blocking(_write, path, msgspec.json.encode(note))
        finally:  # cancelled, it may be written all the same
            if path.exists():
                notes[volume] = note
                self._changed()

    async def release(self, volume: Holder, plugin: VolumePlugin) -> None:
        """A pod has unpublished the volume: it is unstaged where that was the last one. Raises VolumeError, OSError."""
        notes = await self._known()
        if (note := notes.get(volume)) is None:
            return
        async with self.exclusive(note.volume_id):
            others = (each.volume_id for holder, each in notes.items() if holder != volume)
            if note.volume_id and note.volume_id not in others:
                await plugin.unstage(note.volume_id)
            await run_blocking(self._path(volume).unlink, missing_ok=True)
            notes.pop(volume, None)
            self._changed()

    async def held_by_others(self, volume: Holder, note: Note) -> bool:
        """Whether the volume is here for the sake of another pod, too."""
        others = (each for holder, each in (await self._known()).items() if holder.uid != volume.uid)
        return any(each.volume_id == note.volume_id for each in others)

    async def held_by(self, uid: str) -> list[Holder]:
        return [volume for volume in await self._known() if volume.uid == uid]

    def in_use(self) -> list[str] | None:
        """The ids of the volumes that a controller attaches, for node.status.volumesInUse; None: not known yet."""
        if self._notes is None:
            return None
        return sorted({note.volume_id for note in self._notes.values() if note.attach})

    async def _known(self) -> dict[Holder, Note]:
        async with self._loading:
            if self._notes is None:
                self._notes = await run_blocking(_read_all, self._layout)
        return self._notes

    def _path(self, volume: Holder) -> Path:
        return self._layout.node_volume_note(volume.uid, volume.plugin_directory, volume.name)


def _read_all(layout: Layout) -> dict[Holder, Note]:
    found: dict[Holder, Note] = {}
    for path in layout.node_volume_notes():
        uid, _, plugin_directory, name, _ = path.relative_to(layout.pods_dir).parts
        try:
            note = msgspec.json.decode(path.read_bytes(), type=Note)
        except (OSError, *UNREADABLE) as error:
            log.warning("%s cannot be read, the volume may stay staged: %s", path, error)
            note = Note(volume_id="")
        found[Holder(uid, plugin_directory, name)] = note
    return found


def _write(path: Path, data: bytes) -> None:
    make_directories(path.parent)
    replace_file(path, data)
