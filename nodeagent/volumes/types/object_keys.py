"""The keys of an API object as files: what configMap and secret volumes, and these sources of projected volumes, are."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from lightkube.models.core_v1 import KeyToPath, Volume
from typing_extensions import override

from nodeagent.api.errors import NotFound
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.sources import Allocatable, ObjectSource
from nodeagent.volumes.types.atomic_writer import FileEntry
from nodeagent.volumes.types.payload_budget import PayloadBudget
from nodeagent.volumes.types.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.types.publish_only import PublishOnly


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What a volume says of its object. `items` empty: every key. `mode` None: the default. `uid` None: the agent's user."""

    name: str | None
    items: Sequence[KeyToPath] | None
    optional: bool | None
    mode: int | None
    uid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """One kind of object. `noun`, `missing_key`: of its messages. `read`: (objects, namespace, name) -> key -> content."""

    plugin: str
    backing: Backing
    noun: str
    missing_key: str
    declared: Callable[[Volume], Declaration | None]
    read: Callable[[ObjectSource, str, str], Awaitable[Mapping[str, bytes]]]

    async def fetch(
        self,
        objects: ObjectSource,
        namespace: str,
        name: str,
        *,
        items: Sequence[KeyToPath] | None,
        optional: bool,
        mode: int,
        uid: int | None = None,
    ) -> Payload:
        """The files of an object, now. An optional one that does not exist has none. Raises VolumeError."""
        try:
            data = await self.read(objects, namespace, name)
        except NotFound:
            if optional:
                return {}
            raise VolumeError(f'{self.noun} "{name}" not found') from None
        except Exception as error:
            raise VolumeError(str(error)) from error
        if not items:
            return {key: FileEntry(data=content, mode=mode, uid=uid) for key, content in data.items()}
        payload: dict[str, FileEntry] = {}
        for item in items:
            content = data.get(item.key)
            if content is None:
                if optional:
                    continue
                raise VolumeError(f"{self.missing_key}: {item.key}")
            payload[item.path] = FileEntry(
                data=content,
                mode=mode if item.mode is None else item.mode,
                uid=uid if item.user is None else item.user,
            )
        return payload


class ObjectKeysPlugin(PublishOnly):
    """Volumes of one kind of object. `volume`: who puts the files where they are to be."""

    def __init__(
        self,
        kind: ObjectKind,
        layout: Layout,
        allocatable: Allocatable,
        objects: ObjectSource,
        budget: PayloadBudget,
        volume: type[PayloadVolume] = PayloadVolume,
    ) -> None:
        self._kind = kind
        self._objects = objects
        self._volume = volume(layout, allocatable, kind.plugin, kind.backing, budget)

    @property
    @override
    def name(self) -> str:
        return self._kind.plugin

    def supports(self, source: VolumeSource) -> bool:
        return self._kind.declared(source.volume) is not None

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities(republish=True)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        declared = self._kind.declared(request.volume)
        assert declared is not None
        with self._volume.measured(request) as measure:
            payload = await self._kind.fetch(
                self._objects,
                request.pod.namespace,
                declared.name or "",
                items=declared.items,
                optional=bool(declared.optional),
                mode=DEFAULT_MODE if declared.mode is None else declared.mode,
                uid=declared.uid,
            )
            measure.take(payload.items())
            return await self._volume.publish(request, payload)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        await self._volume.remove(uid, directory_name)
