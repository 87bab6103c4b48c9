"""projected volumes: tokens, ConfigMaps, Secrets and the downward API in one directory. Every pod has one for its token."""

from dataclasses import replace

from lightkube.models.core_v1 import ServiceAccountTokenProjection, Volume, VolumeProjection

from nodeagent.api.tokens import TokenKey
from nodeagent.volumes.atomic_writer import FileEntry
from nodeagent.volumes.config_map import fetch_config_map
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest
from nodeagent.volumes.downward_api import aggregate, downward_payload
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.secret import fetch_secret
from nodeagent.volumes.sources import ObjectSource, PodResources, TokenSource

NAME = "kubernetes.io/projected"
_TOKEN_SECONDS = 3600
_PRIVATE_MODE = 0o600


class ProjectedPlugin:
    name = NAME
    capabilities = Capabilities(needs_refresh=True)

    def __init__(self, layout: Layout, resources: PodResources, objects: ObjectSource, tokens: TokenSource) -> None:
        self._volume = PayloadVolume(layout, resources, NAME, Backing.MEMORY)
        self._resources = resources
        self._objects = objects
        self._tokens = tokens

    def supports(self, volume: Volume) -> bool:
        return volume.projected is not None

    async def setup(self, request: VolumeRequest) -> MountedVolume:
        source = request.volume.projected
        assert source is not None
        mode = DEFAULT_MODE if source.defaultMode is None else source.defaultMode
        payload: dict[str, FileEntry] = {}
        errors: list[str] = []
        for projection in source.sources or ():
            try:
                payload.update(await self._project(request, projection, mode, source.defaultUser))
            except VolumeError as error:
                errors.append(str(error))
        if errors:
            raise VolumeError(aggregate(errors))
        return await self._volume.publish(request, payload)

    async def teardown(self, uid: str, directory_name: str) -> None:
        self._tokens.forget(uid)
        await self._volume.remove(uid, directory_name)

    async def _project(
        self, request: VolumeRequest, projection: VolumeProjection, mode: int, uid: int | None
    ) -> Payload:
        if (token := projection.serviceAccountToken) is not None:
            return await self._token(request, token, mode, uid)
        if (config_map := projection.configMap) is not None:
            return await fetch_config_map(
                self._objects,
                request.namespace,
                config_map.name or "",
                items=config_map.items,
                optional=bool(config_map.optional),
                mode=mode,
                uid=uid,
            )
        if (secret := projection.secret) is not None:
            return await fetch_secret(
                self._objects,
                request.namespace,
                secret.name or "",
                items=secret.items,
                optional=bool(secret.optional),
                mode=mode,
                uid=uid,
            )
        if (downward := projection.downwardAPI) is not None:
            files = downward_payload(request.pod, downward.items or (), mode, self._resources.allocatable())
            return {path: entry if entry.uid is not None else replace(entry, uid=uid) for path, entry in files.items()}
        raise VolumeError("this node does not support clusterTrustBundle and podCertificate sources")

    async def _token(
        self, request: VolumeRequest, source: ServiceAccountTokenProjection, mode: int, uid: int | None
    ) -> Payload:
        assert request.pod.spec is not None
        key = TokenKey(
            namespace=request.namespace,
            service_account=request.pod.spec.serviceAccountName or request.pod.spec.serviceAccount or "default",
            pod_name=request.pod_name,
            pod_uid=request.uid,
            audiences=(source.audience,) if source.audience else (),
            expiration_seconds=source.expirationSeconds or _TOKEN_SECONDS,
        )
        try:
            token = await self._tokens.get(key)
        except Exception as error:
            raise VolumeError(f"failed to fetch token: {error}") from error
        # Readable by as few as possible: by the pod's one user where there is one, else by its group (which adds its bits).
        owner = next((user for user in (source.user, request.fs_user, uid) if user is not None), None)
        if request.fs_user is not None or request.fs_group is not None:
            mode = _PRIVATE_MODE
        return {source.path: FileEntry(data=token.value.encode(), mode=mode, uid=owner)}
