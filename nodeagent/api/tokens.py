"""Service account tokens for pods: minted by the API, kept while they are fresh, dropped with their pod.

Source: the kubelet's token manager (docs/facts/api-client-and-server.md G).
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
from lightkube.models.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from lightkube.models.core_v1 import ServiceAccount
from typing_extensions import override

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError, Fault, Unavailable

log = logging.getLogger(__name__)

MAX_AGE_SECONDS = 24 * 3600.0
MAX_JITTER_SECONDS = 10.0
FRESH_SHARE = 0.8
GC_PERIOD_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """What a token is for. `audiences` empty: the API server's own."""

    namespace: str
    service_account: str
    pod_name: str
    pod_uid: str
    audiences: tuple[str, ...] = ()
    expiration_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`expires_at`: when it stops working. `expiration_seconds`: its whole life, as granted."""

    value: str
    expires_at: datetime
    expiration_seconds: int

    def needs_refresh(self, now: datetime, jitter_seconds: float) -> bool:
        """Over a day old, or more than 80 % of its life gone."""
        issued_at = self.expires_at - timedelta(seconds=self.expiration_seconds)
        jitter = timedelta(seconds=jitter_seconds)
        if now > issued_at + timedelta(seconds=MAX_AGE_SECONDS) - jitter:
            return True
        return now > issued_at + timedelta(seconds=self.expiration_seconds * FRESH_SHARE) - jitter


class Tokens(Protocol):
    """Tokens for projected volumes and CSI drivers."""

    async def get(self, key: TokenKey) -> Token:
        """Return a token that is still fresh. Raises ApiError."""

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""


class NoTokens(Tokens):
    """For an agent without an API."""

    @override
    async def get(self, key: TokenKey) -> Token:
        raise Unavailable("cannot use TokenManager when kubelet is in standalone mode", Fault.CLOSED)

    @override
    def forget(self, pod_uid: str) -> None:
        return None


class TokenManager(Tokens):
    """The real one. Callers that want the same token at the same time share one request."""

    def __init__(
        self,
        client: ApiClient,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._now = now
        self._chance = chance
        self._tokens: dict[TokenKey, Token] = {}
        self._locks: dict[TokenKey, asyncio.Lock] = {}
        self._swept_at = now()

    @override
    async def get(self, key: TokenKey) -> Token:
        self._sweep()
        async with self._locks.setdefault(key, asyncio.Lock()):
            old = self._tokens.get(key)
            if old is not None and not old.needs_refresh(self._now(), self._chance() * MAX_JITTER_SECONDS):
                return old
            try:
                token = await self._request(key)
            except ApiError as error:
                if old is None or old.expires_at <= self._now():
                    raise
                log.warning("token of %s/%s: %s; using the older one", key.namespace, key.service_account, error)
                return old
            if key in self._locks:  # not forgotten meanwhile
                self._tokens[key] = token
            return token

    @override
    def forget(self, pod_uid: str) -> None:
        for key in [key for key in self._locks if key.pod_uid == pod_uid]:
            self._tokens.pop(key, None)
            del self._locks[key]

    def _sweep(self) -> None:
        now = self._now()
        if now - self._swept_at < timedelta(seconds=GC_PERIOD_SECONDS):
            return
        self._swept_at = now
        for key in [key for key, token in self._tokens.items() if token.expires_at <= now]:
            del self._tokens[key]
            if not self._locks[key].locked():
                del self._locks[key]

    async def _request(self, key: TokenKey) -> Token:
        body = TokenRequest(
            spec=TokenRequestSpec(
                audiences=list(key.audiences),
                expirationSeconds=key.expiration_seconds,
                boundObjectRef=BoundObjectReference(kind="Pod", apiVersion="v1", name=key.pod_name, uid=key.pod_uid),
            )
        )
        answer = await self._client.post(ServiceAccount, key.service_account, key.namespace, "token", body)
        try:
            review = msgspec.convert(answer, TokenRequest)
        except msgspec.ValidationError as error:
            raise Unavailable(f"the answer is not a valid TokenRequest: {error}", Fault.MALFORMED) from error
        spec, status = review.spec, review.status
        if status is None or not status.token or status.expirationTimestamp is None:
            raise Unavailable("the answer to a TokenRequest has no token", Fault.MALFORMED)
        return Token(
            value=status.token,
            expires_at=status.expirationTimestamp,
            # the server may have granted another life than asked for
            expiration_seconds=(spec.expirationSeconds if spec else None) or key.expiration_seconds,
        )
