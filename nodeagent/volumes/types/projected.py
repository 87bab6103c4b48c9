"""projected volumes: tokens, certificates, trust anchors, ConfigMaps, Secrets and the downward API in one directory.

Every pod has one for its token.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from lightkube.models.core_v1 import (
    ClusterTrustBundleProjection,
    PodCertificateProjection,
    ServiceAccountTokenProjection,
    VolumeProjection,
)
from typing_extensions import override

from nodeagent.api.errors import NotFound
from nodeagent.api.pod_certificates import CertificateKey
from nodeagent.api.tokens import TokenKey
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.sources import Allocatable, ProjectedSources
from nodeagent.volumes.types import pem
from nodeagent.volumes.types.atomic_writer import FileEntry
from nodeagent.volumes.types.config_map import CONFIG_MAP
from nodeagent.volumes.types.downward_api import Texts, aggregate, downward_payload
from nodeagent.volumes.types.payload_budget import Measure, OverBudget, PayloadBudget
from nodeagent.volumes.types.payload_volume import DEFAULT_MODE, Backing, Payload, PayloadVolume
from nodeagent.volumes.types.publish_only import PublishOnly
from nodeagent.volumes.types.secret import SECRET

NAME = "kubernetes.io/projected"
_TOKEN_SECONDS = 3600
_PRIVATE_MODE = 0o600


class ProjectedPlugin(PublishOnly):
    name = NAME

    def __init__(
        self,
        layout: Layout,
        allocatable: Allocatable,
        sources: ProjectedSources,
        budget: PayloadBudget,
        volume: type[PayloadVolume] = PayloadVolume,
    ) -> None:
        self._volume = volume(layout, allocatable, NAME, Backing.MEMORY, budget)
        self._allocatable = allocatable
        self._from = sources

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
        self._from.forget(uid)
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
        texts: Texts = {}
        for index, projection in enumerate(sources):
            await asyncio.sleep(0)  # there may be ten thousands of them, and what they need be at hand
            downward = projection.downwardAPI is not None
            try:
                if (certificate := projection.podCertificate) is not None:
                    files = await self._certificate(request, index, certificate, mode, uid)
                else:
                    files = await self._project(request, projection, mode, uid, measure, texts)
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
        self,
        request: VolumeRequest,
        projection: VolumeProjection,
        mode: int,
        uid: int | None,
        measure: Measure,
        texts: Texts,
    ) -> Payload:
        if (token := projection.serviceAccountToken) is not None:
            return await self._token(request, token, mode, uid)
        for kind, declared in ((CONFIG_MAP, projection.configMap), (SECRET, projection.secret)):
            if declared is not None:
                return await kind.fetch(
                    self._from.objects,
                    request.pod.namespace,
                    declared.name or "",
                    items=declared.items,
                    optional=bool(declared.optional),
                    mode=mode,
                    uid=uid,
                )
        if (downward := projection.downwardAPI) is not None:
            items = downward.items or ()
            files = await downward_payload(request.pod, items, mode, self._allocatable(), measure, texts)
            return {path: entry if entry.uid is not None else replace(entry, uid=uid) for path, entry in files.items()}
        if (bundle := projection.clusterTrustBundle) is not None:
            return await self._trust_anchors(request, bundle, mode, uid)
        raise VolumeError("a source of the volume names nothing that this node knows")

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
            token = await self._from.tokens.get(key)
        except Exception as error:
            raise VolumeError(f"failed to fetch token: {error}") from error
        return {source.path: _private(request, token.value.encode(), mode, (source.user, uid))}

    async def _certificate(
        self, request: VolumeRequest, index: int, source: PodCertificateProjection, mode: int, uid: int | None
    ) -> Payload:
        key = CertificateKey(pod_uid=request.pod.uid, volume=request.volume.name, index=index)
        try:
            found = await self._from.certificates.get(key, request.pod, source)
            chain = pem.written(pem.certificates(found.chain))
        except Exception as error:
            raise VolumeError(str(error)) from error
        files = (
            (source.credentialBundlePath, found.key_pem + chain),
            (source.keyPath, found.key_pem),
            (source.certificateChainPath, chain),
        )
        return {path: _private(request, data, mode, (source.user, uid)) for path, data in files if path}

    async def _trust_anchors(
        self, request: VolumeRequest, source: ClusterTrustBundleProjection, mode: int, uid: int | None
    ) -> Payload:
        try:
            found = pem.trust_anchors(await self._from.bundles.select(request.pod.uid, source), request.pod.uid)
        except NotFound as error:
            if not source.optional:
                raise VolumeError(str(error)) from error
            found = b""
        except Exception as error:
            raise VolumeError(str(error)) from error
        return {source.path: _private(request, found, mode, (source.user, uid))}


def _private(request: VolumeRequest, data: bytes, mode: int, users: Sequence[int | None]) -> FileEntry:
    """Readable by as few as possible: by the pod's one user where there is one, else by its group (which adds its bits).

    `users`: whose it is to be, as the source and the volume say.
    """
    own, default = users
    owner = next((user for user in (own, request.fs_user, default) if user is not None), None)
    if request.fs_user is not None or request.fs_group is not None:
        mode = _PRIVATE_MODE
    return FileEntry(data=data, mode=mode, uid=owner)
