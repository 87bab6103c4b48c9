"""configMap volumes. On disk: what is in a ConfigMap is no secret."""

import base64
from collections.abc import Mapping

from lightkube.models.core_v1 import ConfigMap, Volume

from nodeagent.volumes.sources import ObjectSource
from nodeagent.volumes.types.object_keys import Declaration, ObjectKind
from nodeagent.volumes.types.payload_volume import Backing


def config_map_data(found: ConfigMap) -> dict[str, bytes]:
    """Key -> content; binaryData is base64 in the object."""
    data = {key: text.encode() for key, text in (found.data or {}).items()}
    data.update((key, base64.b64decode(text)) for key, text in (found.binaryData or {}).items())
    return data


def _declared(volume: Volume) -> Declaration | None:
    if (source := volume.configMap) is None:
        return None
    return Declaration(
        name=source.name,
        items=source.items,
        optional=source.optional,
        mode=source.defaultMode,
        uid=source.defaultUser,
    )


async def _read(objects: ObjectSource, namespace: str, name: str) -> Mapping[str, bytes]:
    return config_map_data(await objects.get_config_map(namespace, name))


CONFIG_MAP = ObjectKind(
    plugin="kubernetes.io/configmap",
    backing=Backing.DISK,
    noun="configmap",
    missing_key="configmap references non-existent config key",
    declared=_declared,
    read=_read,
)
