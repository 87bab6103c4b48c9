"""projected volumes: tokens, ConfigMaps, Secrets and the downward API in one directory. Every pod has one for its token."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from lightkube.models.core_v1 import ServiceAccountTokenProjection, VolumeProjection
from typing_extensions import override

from nodeagent.api.tokens import TokenKey
from nodeagent.volumes.atomic_writer import FileEntry
from nodeagent.volumes.config_map import CONFIG_MAP
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.downward_api import aggregate, downward_payload
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.payload_budget import Measure, OverBudget, PayloadBudget
from nodeagent.volumes.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.publish_only import PublishOnly
from nodeagent.volumes.secret import SECRET
from nodeagent.volumes.sources import Allocatable, ObjectSource, TokenSource

NAME = "kubernetes.io/projected"
_TOKEN_SECONDS = 3600
_PRIVATE_MODE = 0o600


class ProjectedPlugin(PublishOnly):
    name = NAME

    def __init__(
        self,
        layout: Layout,
        allocatable: Allocatable,
        objects: ObjectSource,
        tokens: TokenSource,
        budget: PayloadBudget,
    ) -> None:
        self._volume = PayloadVolume(layout, allocatable, NAME, Backing.MEMORY, budget)
        self._allocatable = allocatable
        self._objects = objects
        self._tokens = tokens

    def supports(self, source: VolumeSource) -> bool:
        return source.volume.projected is not None

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities(republish=True)

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        source = request.volume.projected
        assert source is not None
        mode = DEFAULT_MODE if source.defaultMode is None else source.defaultMode
        with self._volume.measured(request) as measure:
            payload = await self._collect(request, source.sources or (), mode, source.defaultUser, measure)
            return await self._volume.publish(request, payload)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        self._tokens.forget(uid)
        await self._volume.remove(uid, directory_name)

    async def _collect(
        self,
        request: VolumeRequest,
        sources: Sequence[VolumeProjection],
        mode: int,
        uid: int | None,
        measure: Measure,
    ) -> Payload:
        """Raises VolumeError with what is wrong with every source at once, or as soon as it is too much."""
        payload: dict[str, FileEntry] = {}
        errors: list[str] = []
        for projection in sources:
            await asyncio.sleep(0)  # there may be ten thousands of them, and what they need be at hand
            downward = projection.downwardAPI is not None
            try:
                files = await self._project(request, projection, mode, uid, measure)
            except OverBudget:
                raise
            except VolumeError as error:
                errors.append(str(error))
                continue
            if not downward:
                measure.take(files.items())
            payload.update(files)
        if errors:
            raise VolumeError(aggregate(errors))
        return payload

    async def _project(
        self, request: VolumeRequest, projection: VolumeProjection, mode: int, uid: int | None, measure: Measure
    ) -> Payload:
        if (token := projection.serviceAccountToken) is not None:
            return await self._token(request, token, mode, uid)
        if (config_map := projection.configMap) is not None:
            return await CONFIG_MAP.fetch(
                self._objects,
                request.pod.namespace,
                config_map.name or "",
                items=config_map.items,
                optional=bool(config_map.optional),
                mode=mode,
                uid=uid,
            )
        if (secret := projection.secret) is not None:
            return await SECRET.fetch(
                self._objects,
                request.pod.namespace,
                secret.name or "",
                items=secret.items,
                optional=bool(secret.optional),
                mode=mode,
                uid=uid,
            )
        if (downward := projection.downwardAPI) is not None:
            files = await downward_payload(request.pod, downward.items or (), mode, self._allocatable(), measure)
            return {path: entry if entry.uid is not None else replace(entry, uid=uid) for path, entry in files.items()}
        raise VolumeError("this node does not support clusterTrustBundle and podCertificate sources")

    async def _token(
        self, request: VolumeRequest, source: ServiceAccountTokenProjection, mode: int, uid: int | None
    ) -> Payload:
        key = TokenKey(
            namespace=request.pod.namespace,
            service_account=request.pod.spec.serviceAccountName or request.pod.spec.serviceAccount or "default",
            pod_name=request.pod.name,
            pod_uid=request.pod.uid,
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
