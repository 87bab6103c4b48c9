"""Which client certificate is used when there are two."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from certificate_maker import certificate_of
from cryptography.hazmat.primitives import serialization

from nodeagent.api.credentials import Anonymous, Certificate, CertificateFiles, Combined, FixedCertificate, StaticToken
from nodeagent.api.renewed_credentials import RenewedCredentials

NOW = datetime(2026, 11, 28, tzinfo=UTC)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def certificate(name: str, days: int) -> bytes:
    """Of one identity, begun after so many days."""
    begin = NOW + timedelta(days=days)
    made, _ = certificate_of(name, begin, begin + timedelta(days=365))
    return made.public_bytes(serialization.Encoding.PEM)


def credentials(path: Path, configured: bytes | None, clock: Clock) -> RenewedCredentials:
    fixed = FixedCertificate(Certificate(configured, b"k")) if configured is not None else Anonymous()
    renewed = CertificateFiles(str(path), str(path), clock=clock)
    return RenewedCredentials(Combined(StaticToken("t"), fixed), renewed)


async def test_the_newer_one(tmp_path: Path) -> None:
    """The kubeconfig's until there is a newer one, and then that, the same object until it changes; the token is the
    kubeconfig's in any case."""
    path, clock = tmp_path / "current.pem", Clock()
    first = certificate("n", 0)
    found = credentials(path, first, clock)
    given = await found.certificate()
    assert given is not None and given.certificate_pem == first
    path.write_bytes(certificate("n", 10))
    clock.now += 11
    renewed = await found.certificate()
    assert renewed is not None and renewed.certificate_pem == path.read_bytes()
    clock.now += 11
    assert await found.certificate() is renewed
    shown = await found.in_use()
    assert shown is not None and shown.not_valid_before_utc == NOW + timedelta(days=10)
    assert await found.authorization() == "Bearer t"


async def test_what_is_left_of_another_time(tmp_path: Path) -> None:
    """A file that is older than the kubeconfig's certificate, of another identity or broken is not used."""
    path = tmp_path / "current.pem"
    for text in (certificate("n", -10), certificate("other", 10), b"rubbish"):
        path.write_bytes(text)
        given = await credentials(path, certificate("n", 0), Clock()).certificate()
        assert given is not None and given.certificate_pem != text


async def test_a_kubeconfig_without_a_certificate(tmp_path: Path) -> None:
    """Has another way to say who it is: nothing is added to it."""
    path = tmp_path / "current.pem"
    path.write_bytes(certificate("n", 0))
    found = credentials(path, None, Clock())
    assert (await found.certificate(), await found.in_use()) == (None, None)
