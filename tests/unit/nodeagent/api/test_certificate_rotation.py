"""Renewal of certificates: when, and what happens if it fails."""

import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from certificate_maker import certificate_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lightkube.models.certificates_v1 import CertificateSigningRequestCondition, CertificateSigningRequestStatus

from nodeagent.api.certificate_requests import CLIENT_SIGNER, SERVING_SIGNER, Wanted
from nodeagent.api.certificate_rotation import IdentityExpired, Rotation, deadline, end_when_expired
from nodeagent.api.certificate_store import CLIENT, CertificateStore
from nodeagent.api.errors import Fault, Unavailable

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
IDENTITY = Wanted(signer=CLIENT_SIGNER, node_name="n1")


class Done(BaseException):
    """Ends a loop that never returns."""


class World:
    """An API that signs at once, and a clock that moves by sleeping until the end."""

    def __init__(self, folder: Path, *, lifetime: timedelta, run_for: timedelta) -> None:
        self.store = CertificateStore(folder, CLIENT)
        self.now, self._end, self._lifetime = NOW, NOW + run_for, lifetime
        self.failures: list[Exception] = []
        self.made: list[datetime] = []
        self.asked: list[x509.CertificateSigningRequest] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.without_names = False

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if self.now >= self._end:
            raise Done

    async def create(self, request: Any) -> Any:
        self.made.append(self.now)
        if self.failures:
            raise self.failures.pop(0)
        asked = x509.load_pem_x509_csr(base64.b64decode(request.spec.request))
        self.asked.append(asked)
        builder = (
            x509.CertificateBuilder()
            .subject_name(asked.subject)
            .issuer_name(asked.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now)
            .not_valid_after(self.now + self._lifetime)
        )
        if not self.without_names:
            for extension in asked.extensions:
                builder = builder.add_extension(extension.value, critical=False)
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        approved = CertificateSigningRequestCondition(type="Approved", status="True")
        request.status = CertificateSigningRequestStatus(
            certificate=base64.b64encode(pem).decode(), conditions=[approved]
        )
        return request

    async def run(self, wanted: Callable[[], Wanted | None], chance: float = 0.5) -> None:
        async def current() -> x509.Certificate | None:
            return self.store.certificate()

        client: Any = self
        rotation = Rotation(
            "c", client, self.store, wanted, current, now=lambda: self.now, chance=lambda: chance, sleep=self.sleep
        )
        with pytest.raises(Done):
            await rotation.run()


def hours(world: World) -> list[float]:
    return [round((moment - NOW).total_seconds() / 3600, 1) for moment in world.made]


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.7), (0.5, 0.8), (1.0, 0.9)])
async def test_when(tmp_path: Path, chance: float, share: float) -> None:
    """At once where there is none, and then whenever 70 to 90 % of the time are over: chance spreads a fleet's."""
    world = World(tmp_path, lifetime=timedelta(hours=100), run_for=timedelta(hours=250))
    await world.run(lambda: IDENTITY, chance)
    expected = [0.0, *(each * share * 100 for each in range(1, 4) if each * share * 100 < 250)]
    assert hours(world) == pytest.approx(expected, abs=0.1)
    certificate = world.store.certificate()
    assert certificate is not None and certificate.not_valid_before_utc == world.made[-1]
    assert deadline(certificate, chance) == world.made[-1] + timedelta(hours=share * 100)


async def test_failures(tmp_path: Path) -> None:
    """The old one stays in use; it is tried again, ever more seldom: 2, 4, 8, 16 and then every 32 s, and some more by chance."""
    world = World(tmp_path, lifetime=timedelta(hours=1), run_for=timedelta(minutes=30))
    world.failures = [Unavailable("away", Fault.REFUSED)] * 3
    await world.run(lambda: IDENTITY)
    assert len(world.asked) == 1

    world = World(tmp_path / "b", lifetime=timedelta(hours=1), run_for=timedelta(hours=1))
    world.without_names = True
    serving = Wanted(signer=SERVING_SIGNER, node_name="n1", names=frozenset({"10.0.0.7"}))
    await world.run(lambda: serving)
    assert world.store.certificate() is None  # what was signed was not what was asked for
    gaps = [(after - before).total_seconds() for before, after in zip(world.made, world.made[1:], strict=False)]
    expected = [2.0, 4.0, 8.0, 16.0, *[32.0] * (len(gaps) - 4)]
    assert all(low <= gap <= low * 1.1 for gap, low in zip(gaps, expected, strict=True))


async def test_one_that_is_always_due(tmp_path: Path) -> None:
    """A signer that gives certificates of a second's life is not asked in a hot loop."""
    world = World(tmp_path, lifetime=timedelta(seconds=1), run_for=timedelta(seconds=95))
    await world.run(lambda: IDENTITY)
    assert len(world.made) == 10


async def test_names_that_change(tmp_path: Path) -> None:
    """Nothing is asked before the node has an address; another address is a reason, one less is none."""
    world = World(tmp_path, lifetime=timedelta(days=365), run_for=timedelta(minutes=40))
    plan = [(0, ""), (10, "10.0.0.7"), (20, "10.0.0.7 fd00::7"), (30, "fd00:0:0::7")]

    def wanted() -> Wanted | None:
        names = [text for minute, text in plan if world.now >= NOW + timedelta(minutes=minute)][-1]
        return Wanted(signer=SERVING_SIGNER, node_name="n1", names=frozenset(names.split())) if names else None

    await world.run(wanted)
    found = [
        sorted(map(str, asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value))
        for asked in world.asked
    ]
    assert [len(names) for names in found] == [1, 2]
    assert [round(each * 60) for each in hours(world)] == pytest.approx([10, 20], abs=3)


async def ended(
    good_for: timedelta, reachable: Callable[[datetime], bool], run_for: timedelta = timedelta(hours=2)
) -> float | None:
    """Minutes until the agent ends; None: it does not."""
    moment = NOW
    certificate, _ = certificate_of("n", NOW - timedelta(days=2), NOW + good_for)

    async def current() -> x509.Certificate | None:
        return certificate

    async def reaches() -> bool:
        return reachable(moment)

    async def sleep(seconds: float) -> None:
        nonlocal moment
        moment += timedelta(seconds=seconds)
        if moment >= NOW + run_for:
            raise Done

    sleeping: Callable[[float], Awaitable[None]] = sleep
    try:
        await end_when_expired(current, reaches, now=lambda: moment, sleep=sleeping)
    except IdentityExpired:
        return (moment - NOW).total_seconds() / 60
    except Done:
        return None


async def test_an_identity_that_ends() -> None:
    """Five minutes after its end the agent ends, if the API is there to bootstrap from; else when it is; never before."""
    assert await ended(timedelta(hours=1), lambda moment: True) == 65
    assert await ended(timedelta(days=-1), lambda moment: True) == 5
    assert await ended(timedelta(hours=1), lambda moment: moment >= NOW + timedelta(minutes=90)) == 90
    assert await ended(timedelta(hours=1), lambda moment: False) is None
    assert await ended(timedelta(hours=3), lambda moment: True) is None
