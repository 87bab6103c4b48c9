"""Keeps a certificate of the node in force: asks for the next one in time, and for another when its names have changed.

Nothing is interrupted by it: who uses the files of the store sees that they are others. Source:
docs/facts/api-client-and-server.md I.2.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from nodeagent.api.certificate_requests import NotIssued, Wanted, fits, issued, signing_request
from nodeagent.api.certificate_store import CertificateStore
from nodeagent.api.certificates import private_key_pem
from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.errors import AgentStartError
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

CHECK_SECONDS = 10.0
UNKNOWN_SECONDS = 1.0  # as long as it is not known what to ask for
ISSUE_SECONDS = 15 * 60.0
EXPIRED_SECONDS = 5 * 60.0
BACKOFF = RetryPolicy(first_seconds=2.0, factor=2.0, cap_seconds=32.0, jitter=0.1)

Sleep = Callable[[float], Awaitable[None]]
Current = Callable[[], Awaitable[x509.Certificate | None]]


class IdentityExpired(AgentStartError):
    """The client certificate has ended and no other was to be had, though the API can be reached."""


def deadline(certificate: x509.Certificate, chance: float) -> datetime:
    """When the next one is to be asked for: after 70 to 90 % of its time, picked by `chance` in [0, 1)."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * (0.7 + 0.2 * chance)


class Rotation:
    """Of one certificate. `wanted`: what is needed now; None: nothing yet. `current`: what is in use; None: nothing.

    `failed` hears of each attempt that was in vain.
    """

    def __init__(
        self,
        what: str,
        client: ApiClient,
        store: CertificateStore,
        wanted: Callable[[], Wanted | None],
        current: Current,
        *,
        failed: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._what = what
        self._client = client
        self._store = store
        self._wanted = wanted
        self._current = current
        self._failed = failed
        self._now = now
        self._chance = chance
        self._sleep = sleep
        self._due: tuple[x509.Certificate | None, datetime] = (None, datetime.max.replace(tzinfo=UTC))

    async def run(self) -> None:
        """Never returns. Failed attempts are logged and made again, ever more seldom. Raises nothing."""
        backoff = Backoff(BACKOFF)
        while True:
            wanted = self._wanted()
            if wanted is None or not self._is_due(wanted, await self._current()):
                await self._sleep(CHECK_SECONDS if wanted is not None else UNKNOWN_SECONDS)
                continue
            try:
                async with asyncio.timeout(ISSUE_SECONDS):
                    await self._renew(wanted)
            except TimeoutError:
                log.warning("%s: not approved and issued within %g s; is asked for again", self._what, ISSUE_SECONDS)
            except (ApiError, NotIssued, OSError, ValueError) as error:
                log.warning("%s: cannot be renewed: %s", self._what, error)
            else:
                backoff.reset()
                await self._sleep(CHECK_SECONDS)  # however short its life is
                continue
            self._failed()
            await self._sleep(backoff.next_delay())

    def _is_due(self, wanted: Wanted, current: x509.Certificate | None) -> bool:
        if current is None or not fits(current, wanted):
            return True
        if current != self._due[0]:
            self._due = (current, deadline(current, self._chance()))
            log.info("%s: ends at %s, is renewed at %s", self._what, current.not_valid_after_utc, self._due[1])
        return self._now() >= self._due[1]

    async def _renew(self, wanted: Wanted) -> None:
        """Raises ApiError, NotIssued, OSError, ValueError; the one in use stays then."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = await issued(self._client, signing_request(wanted, key, named=False), sleep=self._sleep)
        certificate = x509.load_pem_x509_certificate(pem)
        if not fits(certificate, wanted):
            raise NotIssued(
                f"the certificate is not for {wanted.common_name} {' '.join(sorted(wanted.names))}".rstrip()
            )
        await asyncio.to_thread(self._store.keep, pem, private_key_pem(key), self._now())
        log.info("%s: there is a new one, until %s", self._what, certificate.not_valid_after_utc)


async def end_when_expired(
    current: Current,
    reachable: Callable[[], Awaitable[bool]],
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Watch over the identity. Raises IdentityExpired when it has been over for 5 minutes, and the API can be reached: the
    agent's next start may bootstrap."""
    good_until = now()
    while True:
        certificate = await current()
        moment = now()
        if certificate is not None:
            good_until = max(good_until, min(moment, certificate.not_valid_after_utc))
        if moment - good_until >= timedelta(seconds=EXPIRED_SECONDS) and await reachable():
            raise IdentityExpired(
                "the client certificate has expired and could not be renewed; the agent ends so that it can bootstrap again"
            )
        await sleep(CHECK_SECONDS)
