"""secret volumes: the keys of a Secret as files, in memory only."""

import base64
from collections.abc import Sequence

from lightkube.models.core_v1 import KeyToPath, Secret, Volume

from nodeagent.api.errors import NotFound
from nodeagent.volumes.config_map import select
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.payload_budget import PayloadBudget
from nodeagent.volumes.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.sources import ObjectSource, PodResources

NAME = "kubernetes.io/secret"


class SecretPlugin:
    name = NAME
    capabilities = Capabilities(needs_refresh=True)

    def __init__(self, layout: Layout, resources: PodResources, objects: ObjectSource, budget: PayloadBudget) -> None:
        self._volume = PayloadVolume(layout, resources, NAME, Backing.MEMORY, budget)
        self._objects = objects

    def supports(self, volume: Volume) -> bool:
        return volume.secret is not None

    async def setup(self, request: VolumeRequest) -> MountedVolume:
        source = request.volume.secret
        assert source is not None
        with self._volume.measured(request) as measure:
            payload = await fetch_secret(
                self._objects,
                request.namespace,
                source.secretName or "",
                items=source.items,
                optional=bool(source.optional),
                mode=DEFAULT_MODE if source.defaultMode is None else source.defaultMode,
                uid=source.defaultUser,
            )
            measure.take(payload.items())
            return await self._volume.publish(request, payload)

    async def teardown(self, uid: str, directory_name: str) -> None:
        await self._volume.remove(uid, directory_name)


async def fetch_secret(
    objects: ObjectSource,
    namespace: str,
    name: str,
    *,
    items: Sequence[KeyToPath] | None,
    optional: bool,
    mode: int,
    uid: int | None = None,
) -> Payload:
    """The files of a Secret, now. An optional one that does not exist has none. Raises VolumeError."""
    try:
        found = await objects.get_secret(namespace, name)
    except NotFound:
        if optional:
            return {}
        raise VolumeError(f'secret "{name}" not found') from None
    except Exception as error:
        raise VolumeError(str(error)) from error
    return select(
        secret_data(found),
        items,
        optional=optional,
        mode=mode,
        uid=uid,
        missing=lambda key: f"references non-existent secret key: {key}",
    )


def secret_data(found: Secret) -> dict[str, bytes]:
    """Key -> content; data is base64 in the object."""
    return {key: base64.b64decode(text) for key, text in (found.data or {}).items()}
