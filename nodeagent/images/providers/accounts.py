"""What a provider may learn of a pod's service account: chosen annotations, and a token for the provider's audience."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lightkube.models.core_v1 import ServiceAccount

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.tokens import TokenKey, Tokens
from nodeagent.images.keyring import ServiceAccountCoordinates
from nodeagent.images.providers.config import TokenAttributes
from nodeagent.images.providers.program import ProviderError
from nodeagent.podspec.pod import AgentPod


class AccountReader(Protocol):
    async def service_account(self, namespace: str, name: str) -> ServiceAccount:
        """Raises ApiError."""
        ...


class ApiAccounts:
    """Service accounts, read from the API each time: a node may get those of its pods, and watch none."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def service_account(self, namespace: str, name: str) -> ServiceAccount:
        return await self._client.get(ServiceAccount, name, namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom a provider is asked. Empty: as nobody, where the provider allows that."""

    account: ServiceAccountCoordinates | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)


class Identities:
    """Service accounts as providers want them. Without an API there are none."""

    def __init__(self, accounts: AccountReader | None, tokens: Tokens) -> None:
        self._accounts = accounts
        self._tokens = tokens

    async def of(self, pod: AgentPod, wanted: TokenAttributes) -> Identity | None:
        """None: the provider is not to be asked for this pod. Raises ProviderError."""
        name = pod.spec.serviceAccountName or ""
        if not name or self._accounts is None:
            return None if wanted.require_service_account else Identity()
        namespace = pod.namespace
        try:
            account = await self._accounts.service_account(namespace, name)
            annotations = (account.metadata and account.metadata.annotations) or {}
            if not annotations.keys() >= set(wanted.required_annotations):
                return None  # the annotation is how a workload asks for it
            key = TokenKey(
                namespace=namespace,
                service_account=name,
                pod_name=pod.name,
                pod_uid=pod.uid,
                audiences=(wanted.audience,),
            )
            token = await self._tokens.get(key)
        except ApiError as error:
            raise ProviderError(f"service account {namespace}/{name}: {error}") from error
        told = (*wanted.required_annotations, *wanted.optional_annotations)
        uid = (account.metadata and account.metadata.uid) or ""
        return Identity(
            account=ServiceAccountCoordinates(uid=uid, namespace=namespace, name=name),
            annotations={key: annotations[key] for key in told if key in annotations},
            token=token.value,
        )
