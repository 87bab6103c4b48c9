"""Secrets and tokens that go with calls to drivers. They are read for each call, and kept nowhere."""

import base64
import binascii
from collections.abc import Mapping
from typing import Protocol

from lightkube.models.core_v1 import Secret

from nodeagent.api.errors import ApiError
from nodeagent.api.tokens import Token, TokenKey
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.csi import pod_context
from nodeagent.volumes.csi.driver_specs import DriverSpec
from nodeagent.volumes.csi.volume import SecretName
from nodeagent.volumes.sources import TokenSource

_TOKEN_SECONDS = 3600


class SecretReads(Protocol):
    """Secrets that PersistentVolumes name: of any namespace, so no watch of a pod's has them."""

    async def get(self, kind: type[Secret], name: str, namespace: str | None = None) -> Secret:
        """Raises ApiError."""
        ...


class Credentials:
    def __init__(self, api: SecretReads, tokens: TokenSource) -> None:
        self._api = api
        self._tokens = tokens

    async def secret(self, name: SecretName | None, field: str) -> dict[str, str]:
        """What is in it; `field`: of the volume, which names it. None has nothing in it. Raises VolumeError."""
        if name is None:
            return {}
        where = f"fetching {field} {name.namespace}/{name.name} failed"
        try:
            found = await self._api.get(Secret, name.name, name.namespace)
        except ApiError as error:
            raise VolumeError(f"{where}: {error}") from error
        content: dict[str, str] = {}
        for key, value in (found.data or {}).items():
            try:
                content[key] = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):  # the error would show it
                raise VolumeError(f"{where}: the value of {key} is not text, which CSI needs") from None
        return content

    async def tokens(self, pod: AgentPod, spec: DriverSpec) -> Mapping[str, Token]:
        """By audience, those that the driver asks for. Raises VolumeError."""
        found: dict[str, Token] = {}
        for audience, seconds in spec.tokens:
            key = TokenKey(
                namespace=pod.namespace,
                service_account=pod_context.service_account(pod),
                pod_name=pod.name,
                pod_uid=pod.uid,
                audiences=(audience,) if audience else (),
                expiration_seconds=seconds or _TOKEN_SECONDS,
            )
            try:
                found[audience] = await self._tokens.get(key)
            except ApiError as error:
                text = "mounter.SetUpAt failed to get service account token attributes"
                raise VolumeError(f"kubernetes.io/csi: {text}: {error}") from error
        return found

    def forget(self, uid: str) -> None:
        """The pod's volumes are gone."""
        self._tokens.forget(uid)
