"""Logins that programs know: every provider whose patterns fit an image is asked, and its answer kept as long as it says.

A provider that fails is the operator's to see, in the log; the pull goes on without it, as upstream.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nodeagent.images.keyring import Credential, StaticKeyring, matches
from nodeagent.images.providers.accounts import Identities, Identity
from nodeagent.images.providers.config import ProviderSettings
from nodeagent.images.providers.program import Answer, ProviderError, Question, ask
from nodeagent.podspec.pod import AgentPod
from runtimes.linux.tasks import SingleFlight

log = logging.getLogger(__name__)

_GLOBAL = "global"
_PURGE_SECONDS = 900.0

_CacheKey = tuple[str, str]  # image, registry or "global"; and as whom it was asked
_Entries = tuple[tuple[str, Credential], ...]


class PodKeyring(Protocol):
    """Logins that may depend on the pod that wants them."""

    async def lookup(self, repository: str, pod: AgentPod) -> Sequence[Credential]:
        """Credentials to try, best first; may be empty. Never fails."""
        ...


class NoProviders:
    """A node without credential providers."""

    async def lookup(self, repository: str, pod: AgentPod) -> Sequence[Credential]:
        return ()


class ProviderKeyring:
    """All providers of the node, side by side."""

    def __init__(self, providers: Sequence["Provider"]) -> None:
        self._providers = providers

    async def lookup(self, repository: str, pod: AgentPod) -> Sequence[Credential]:
        answers = await asyncio.gather(*(provider.entries(repository, pod) for provider in self._providers))
        return StaticKeyring([entry for answer in answers for entry in answer]).lookup(repository)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    entries: _Entries
    until: float


class Provider:
    """One provider and what it answered lately. One run of the program for all who ask the same at the same time."""

    def __init__(
        self,
        settings: ProviderSettings,
        program: Path,
        identities: Identities,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._program = program
        self._identities = identities
        self._clock = clock
        self._cache: dict[_CacheKey, _Kept] = {}
        self._purged_at = clock()
        self._flights: SingleFlight[tuple[str, str], Answer] = SingleFlight()

    async def entries(self, repository: str, pod: AgentPod) -> _Entries:
        """Keys and logins for a repository that one of the patterns fits; empty when the provider fails."""
        if not any(matches(pattern, repository) for pattern in self._settings.match_images):
            return ()
        try:
            return await self._entries(repository, pod)
        except ProviderError as error:
            log.error("failed getting credential from external registry credential provider: %s", error)
            return ()

    async def _entries(self, repository: str, pod: AgentPod) -> _Entries:
        token = self._settings.token
        identity = Identity() if token is None else await self._identities.of(pod, token)
        if identity is None:
            return ()
        whom = self._whom(identity)
        known = self._known(repository, whom)
        if known is not None:
            return known
        question = Question(
            image=repository,
            service_account_token=identity.token,
            service_account_annotations=identity.annotations,
        )
        # Who waits for one run must have the same token: another pod's account may be gone a moment later.
        flight = (repository, f"{whom}{_digest(identity.token)}")
        answer = await self._flights.join(flight, lambda: ask(self._settings, self._program, question))
        entries = tuple(
            (key, Credential(username=username, password=password, service_account=identity.account))
            for key, username, password in answer.logins
        )
        self._keep(repository, whom, answer, entries)
        return entries

    def _whom(self, identity: Identity) -> str:
        account, token = identity.account, self._settings.token
        if account is None or token is None:
            return ""
        parts = [account.namespace, account.name, account.uid, *(f"{k}={v}" for k, v in identity.annotations.items())]
        return _digest(repr(parts) + (identity.token if token.cache_by_token else ""))

    def _known(self, repository: str, whom: str) -> _Entries | None:
        now = self._clock()
        if now - self._purged_at > _PURGE_SECONDS:
            self._cache = {key: kept for key, kept in self._cache.items() if kept.until >= now}
            self._purged_at = now
        for scope in (repository, _registry(repository), _GLOBAL):
            kept = self._cache.get((scope, whom))
            if kept is not None and kept.until >= now:
                return kept.entries
        return None

    def _keep(self, repository: str, whom: str, answer: Answer, entries: _Entries) -> None:
        lifetime = self._settings.default_cache_seconds if answer.cache_seconds is None else answer.cache_seconds
        if lifetime <= 0:
            return
        scope = {"Image": repository, "Registry": _registry(repository)}.get(answer.cache_key, _GLOBAL)
        self._cache[scope, whom] = _Kept(entries=entries, until=self._clock() + lifetime)


def _registry(repository: str) -> str:
    return repository.partition("/")[0]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""
