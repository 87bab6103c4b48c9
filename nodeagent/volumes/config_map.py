"""configMap volumes: the keys of a ConfigMap as files."""

import base64
from collections.abc import Callable, Mapping, Sequence

from lightkube.models.core_v1 import ConfigMap, KeyToPath, Volume

from nodeagent.api.errors import NotFound
from nodeagent.volumes.atomic_writer import FileEntry
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.payload_budget import PayloadBudget
from nodeagent.volumes.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.sources import ObjectSource, PodResources

NAME = "kubernetes.io/configmap"


class ConfigMapPlugin:
    """On disk: what is in a ConfigMap is no secret."""

    name = NAME
    capabilities = Capabilities(needs_refresh=True)

    def __init__(self, layout: Layout, resources: PodResources, objects: ObjectSource, budget: PayloadBudget) -> None:
        self._volume = PayloadVolume(layout, resources, NAME, Backing.DISK, budget)
        self._objects = objects

    def supports(self, volume: Volume) -> bool:
        return volume.configMap is not None

    async def setup(self, request: VolumeRequest) -> MountedVolume:
        source = request.volume.configMap
        assert source is not None
        with self._volume.measured(request) as measure:
            payload = await fetch_config_map(
                self._objects,
                request.namespace,
                source.name or "",
                items=source.items,
                optional=bool(source.optional),
                mode=DEFAULT_MODE if source.defaultMode is None else source.defaultMode,
                uid=source.defaultUser,
            )
            measure.take(payload.items())
            return await self._volume.publish(request, payload)

    async def teardown(self, uid: str, directory_name: str) -> None:
        await self._volume.remove(uid, directory_name)


async def fetch_config_map(
    objects: ObjectSource,
    namespace: str,
    name: str,
    *,
    items: Sequence[KeyToPath] | None,
    optional: bool,
    mode: int,
    uid: int | None = None,
) -> Payload:
    """The files of a ConfigMap, now. An optional one that does not exist has none. Raises VolumeError."""
    try:
        found = await objects.get_config_map(namespace, name)
    except NotFound:
        if optional:
            return {}
        raise VolumeError(f'configmap "{name}" not found') from None
    except Exception as error:
        raise VolumeError(str(error)) from error
    return select(
        config_map_data(found),
        items,
        optional=optional,
        mode=mode,
        uid=uid,
        missing=lambda key: f"configmap references non-existent config key: {key}",
    )


def config_map_data(found: ConfigMap) -> dict[str, bytes]:
    """Key -> content; binaryData is base64 in the object."""
    data = {key: text.encode() for key, text in (found.data or {}).items()}
    data.update((key, base64.b64decode(text)) for key, text in (found.binaryData or {}).items())
    return data


def select(
    data: Mapping[str, bytes],
    items: Sequence[KeyToPath] | None,
    *,
    optional: bool,
    mode: int,
    uid: int | None,
    missing: Callable[[str], str],
) -> Payload:
    """Every key as a file, or those that `items` name at their paths. Raises VolumeError with `missing(key)`."""
    if not items:
        return {key: FileEntry(data=content, mode=mode, uid=uid) for key, content in data.items()}
    payload: dict[str, FileEntry] = {}
    for item in items:
        content = data.get(item.key)
        if content is None:
            if optional:
                continue
            raise VolumeError(missing(item.key))
        payload[item.path] = FileEntry(
            data=content,
            mode=mode if item.mode is None else item.mode,
            uid=uid if item.user is None else item.user,
        )
    return payload
