"""secret volumes. In memory only."""

import base64
from collections.abc import Mapping

from lightkube.models.core_v1 import Secret, Volume

from nodeagent.volumes.sources import ObjectSource
from nodeagent.volumes.types.object_keys import Declaration, ObjectKind
from nodeagent.volumes.types.payload_volume import Backing


def secret_data(found: Secret) -> dict[str, bytes]:
    """Key -> content; data is base64 in the object."""
    return {key: base64.b64decode(text) for key, text in (found.data or {}).items()}


def _declared(volume: Volume) -> Declaration | None:
    if (source := volume.secret) is None:
        return None
    return Declaration(
        name=source.secretName,
        items=source.items,
        optional=source.optional,
        mode=source.defaultMode,
        uid=source.defaultUser,
    )


async def _read(objects: ObjectSource, namespace: str, name: str) -> Mapping[str, bytes]:
    return secret_data(await objects.get_secret(namespace, name))


SECRET = ObjectKind(
    plugin="kubernetes.io/secret",
    backing=Backing.MEMORY,
    noun="secret",
    missing_key="references non-existent secret key",
    declared=_declared,
    read=_read,
)
