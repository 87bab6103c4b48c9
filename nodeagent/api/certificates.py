"""The agent's serving certificate when nobody gives it one: self-signed, kept in the certificate folder, made again in time.

Source: docs/facts/api-client-and-server.md I.1 (the row "When").
"""

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from runtimes.linux.files import replace_file

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]

LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=90)
CHECK_SECONDS = 10.0
CLOCK_SKEW = timedelta(hours=1)
CERTIFICATE_NAME = "kubelet.crt"
KEY_NAME = "kubelet.key"


class CertificateError(Exception):
    """A certificate or key on disk cannot be used, or cannot be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFiles:
    """Where a server finds its certificate chain and key, both PEM."""

    certificate: Path
    key: Path


def serving_certificate(
    directory: Path, host: str, addresses: Sequence[str] = (), *, now: datetime | None = None
) -> ServingFiles:
    """Return the self-signed pair in `directory`, made again when it is missing, broken or near its end.

    `addresses`: further DNS names and IPs it is valid for. Raises CertificateError.
    """
    files = ServingFiles(certificate=directory / CERTIFICATE_NAME, key=directory / KEY_NAME)
    now = now or datetime.now(UTC)
    if _usable(files, now):
        return files
    certificate_pem, key_pem = self_signed(host, addresses, now)
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(files.key, key_pem)
        replace_file(files.certificate, certificate_pem, mode=0o644)
    except OSError as error:
        raise CertificateError(f"cannot write the serving certificate to {directory}: {error}") from error
    log.info("made a self-signed serving certificate in %s", directory)
    return files


async def keep_serving_certificate(
    directory: Path, host: str, addresses: Callable[[], Sequence[str]], *, sleep: Sleep = asyncio.sleep
) -> None:
    """Hold the pair of `serving_certificate` in force for as long as the agent runs. Never returns.

    Whoever serves it reads changed files itself. Files that were good are read again when they are others, or near their end.
    """

    def version() -> tuple[tuple[int, int] | None, ...]:
        return file_version(files.certificate), file_version(files.key)

    files = ServingFiles(certificate=directory / CERTIFICATE_NAME, key=directory / KEY_NAME)
    seen: tuple[tuple[int, int] | None, ...] = ()
    look_again = datetime.min.replace(tzinfo=UTC)
    trouble = ""
    while True:
        now = datetime.now(UTC)
        if version() != seen or now >= look_again:
            try:
                await asyncio.to_thread(serving_certificate, directory, host, addresses(), now=now)
                end = x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_after_utc
                seen, look_again, trouble = version(), end - RENEW_BEFORE, ""
            except (CertificateError, OSError, ValueError) as error:
                if str(error) != trouble:
                    trouble = str(error)
                    log.error("the serving certificate cannot be kept: %s", error)
        await sleep(CHECK_SECONDS)


def file_version(path: Path) -> tuple[int, int] | None:
    """What tells whether a file is another one than at the last look; None: it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def self_signed(host: str, addresses: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """Return (certificate chain, key) as PEM: subject `<host>@<unix time>`, signed by a CA of its own."""
    stamp = int(now.timestamp())
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name, name = _common_name(f"{host}-ca@{stamp}"), _common_name(f"{host}@{stamp}")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    certificate = (
        _builder(name, ca_name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName(subject_names([host, *addresses])), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    chain = b"".join(item.public_bytes(serialization.Encoding.PEM) for item in (certificate, ca))
    return chain, private_key_pem(key)


def subject_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """Return the alternative names, each once: IPs as IPs, the rest as DNS names."""
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def public_der(key: PublicKeyTypes) -> bytes:
    """The one form in which public keys are compared, and digests made of them."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def common_names(certificate: x509.Certificate) -> list[str]:
    """Of its subject."""
    return [str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _usable(files: ServingFiles, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        log.warning("the serving certificate in %s cannot be used, making a new one: %s", files.certificate, error)
        return False
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - RENEW_BEFORE


def _common_name(name: str) -> x509.Name:
    # the field holds 64 characters, a host name may have more
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[-64:])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
