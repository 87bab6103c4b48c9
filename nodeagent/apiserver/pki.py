"""The certificates and keys of a standalone cluster: made once, kept in one folder (0700, files 0600), renewed in time.

ca.crt, ca.key                  the cluster's CA
apiserver.crt, .key             the server, for 127.0.0.1, localhost and the in-cluster names
admin.crt, .key                 system:masters
node.crt, .key                  system:node:NAME, for the agent
storage.crt, .key               what makes volumes for claims (nodeagent/provisioner)
apiserver-kubelet-client.*      what the server shows to the node's HTTPS endpoint
sa.key                          signs service-account tokens
"""

import contextlib
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    PrivateKeyTypes,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nodeagent.api.certificates import file_version, public_der
from runtimes.linux.files import replace_file

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=90)
_BACKDATE = timedelta(minutes=5)

ADMIN_USER = "kubernetes-admin"
MASTERS = "system:masters"
KUBELET_CLIENT_USER = "kube-apiserver-kubelet-client"
KUBELET_CLIENT_GROUP = "system:kubelet-api-clients"
STORAGE_USER = "system:storage-provisioner"
_SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_USAGES = {
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What a certificate is to say."""

    user: str
    groups: Sequence[str] = ()
    names: Sequence[str] = ()
    usages: Sequence[str] = ()


class PkiError(Exception):
    """A file of the folder cannot be used, and making another by ourselves would lock out whoever trusts it: the file, why, and
    the ways out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A pair that was found good: which files these were, and until when they need no other look."""

    version: tuple[tuple[int, int] | None, ...]
    renew_at: datetime


class Pki:
    """The folder's contents. Constructing it makes whatever is missing, foreign to the CA, or near its end."""

    def __init__(
        self,
        folder: Path,
        node_name: str,
        addresses: Sequence[str],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`addresses`: IPs and names, besides the usual ones, under which the server will be called.

        Raises `PkiError`, `OSError`.
        """
        self._folder = folder
        self._clock = clock
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ca_key, self._ca = self._authority()
        server_names = list(dict.fromkeys(["127.0.0.1", "::1", *_SERVER_NAMES, *addresses]))
        client = ("client auth",)
        self._requests = {
            "apiserver": _Request(user="kube-apiserver", names=server_names, usages=("server auth",)),
            "admin": _Request(user=ADMIN_USER, groups=(MASTERS,), usages=client),
            "node": _Request(user=f"system:node:{node_name}", groups=("system:nodes",), usages=client),
            "apiserver-kubelet-client": _Request(
                user=KUBELET_CLIENT_USER, groups=(KUBELET_CLIENT_GROUP,), usages=client
            ),
            "storage": _Request(user=STORAGE_USER, usages=client),
        }
        self._seen: dict[str, _Seen] = {}
        self.server, self.admin, self.node, self.kubelet_client, self.storage = (
            self._pair(name, request) for name, request in self._requests.items()
        )
        self.service_account_key_pem = self._signing_key()

    def renew(self) -> bool:
        """Make again what is missing, damaged or near its end by now; whether any pair is another than at the last look.

        Cheap while nothing changes: a file that was good is read again only when it is another one. Raises `OSError`.
        """
        before = {name: seen.version for name, seen in self._seen.items()}
        for name, request in self._requests.items():
            self._pair(name, request)
        return before != {name: seen.version for name, seen in self._seen.items()}

    @property
    def ca_file(self) -> Path:
        return self._folder / "ca.crt"

    @property
    def ca_pem(self) -> bytes:
        return self._ca.public_bytes(serialization.Encoding.PEM)

    def sign(self, request_pem: bytes, *, usages: Sequence[str], lifetime_seconds: int) -> bytes:
        """A certificate for a PKCS#10 request, with its subject and names. Raises `ValueError` for a bad request."""
        request = x509.load_pem_x509_csr(request_pem)
        if not request.is_signature_valid:
            raise ValueError("the request is not signed by its key")
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = None
        lifetime = timedelta(seconds=lifetime_seconds)
        builder = self._builder(request.subject, usages, lifetime, names)
        certificate = builder.public_key(request.public_key()).sign(self._ca_key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _authority(self) -> tuple[CertificateIssuerPrivateKeyTypes, x509.Certificate]:
        key_file = self._folder / "ca.key"
        if key_file.exists() and self.ca_file.exists():
            way_out = f"{_RESTORE}, or remove ca.key and ca.crt for a new CA (every kubeconfig has to be made anew)"
            certificate = _read_certificate(self.ca_file, way_out)
            if certificate.not_valid_after_utc > self._clock() + RENEW_BEFORE:
                key = _read_key(key_file, way_out)
                if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
                    raise PkiError(f"{key_file}: a {type(key).__name__} cannot be a CA's key; {way_out}")
                if public_der(key.public_key()) != public_der(certificate.public_key()):
                    raise PkiError(f"{key_file}: this is not the key of {self.ca_file}; {way_out}")
                return key, certificate
        new_key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nodeagent-ca")])
        now = self._clock()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(new_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(new_key.public_key()), critical=False)
            .sign(new_key, hashes.SHA256())
        )
        replace_file(key_file, _key_pem(new_key))
        replace_file(self.ca_file, certificate.public_bytes(serialization.Encoding.PEM))
        return new_key, certificate

    def _pair(self, name: str, request: _Request) -> Pair:
        pair = Pair(certificate=self._folder / f"{name}.crt", key=self._folder / f"{name}.key")
        version, seen = _version(pair), self._seen.get(name)
        if seen is not None and seen.version == version and seen.renew_at > self._clock():
            return pair
        if self._is_good(pair, request):
            self._remember(name, pair)
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in request.groups]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, request.user)])
        names = x509.SubjectAlternativeName([_general_name(n) for n in request.names]) if request.names else None
        builder = self._builder(subject, request.usages, LEAF_LIFETIME, names)
        certificate = builder.public_key(key.public_key()).sign(self._ca_key, hashes.SHA256())
        # never a new certificate beside an old key: a start after a crash between the two finds neither good
        pair.certificate.unlink(missing_ok=True)
        # not durable: a pair that a power cut damages is not good, and made again
        replace_file(pair.key, _key_pem(key), durable=False)
        replace_file(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), durable=False)
        self._remember(name, pair)
        return pair

    def _remember(self, name: str, pair: Pair) -> None:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        self._seen[name] = _Seen(version=_version(pair), renew_at=self._renew_at(certificate))

    def _renew_at(self, certificate: x509.Certificate) -> datetime:
        end = certificate.not_valid_after_utc
        # one that ends with its CA cannot be had any longer
        return end if end >= self._ca.not_valid_after_utc else end - RENEW_BEFORE

    def _is_good(self, pair: Pair, request: _Request) -> bool:
        """Whether the files say what is wanted, are signed by this CA, and last long enough."""
        if not (pair.certificate.exists() and pair.key.exists()):
            return False
        try:
            certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
            key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
            certificate.verify_directly_issued_by(self._ca)
        except Exception:  # any kind of damage has the same cure
            return False
        if self._renew_at(certificate) <= self._clock():
            return False
        if public_der(certificate.public_key()) != public_der(key.public_key()):
            return False
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [a.value for a in common] == [request.user] and _names_of(certificate) >= set(request.names)

    def _builder(
        self,
        subject: x509.Name,
        usages: Sequence[str],
        lifetime: timedelta,
        names: x509.SubjectAlternativeName | None,
    ) -> x509.CertificateBuilder:
        now = self._clock()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._ca.subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(min(now + lifetime, self._ca.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(_authority_key(self._ca), critical=False)
        )
        extended = [_USAGES[usage] for usage in usages if usage in _USAGES]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        return builder.add_extension(names, critical=False) if names is not None else builder

    def _signing_key(self) -> bytes:
        path = self._folder / "sa.key"
        if path.exists():
            way_out = (
                f"{_RESTORE}, or remove it for a new one (tokens that were given out end with it; pods get new ones)"
            )
            if not isinstance(_read_key(path, way_out), rsa.RSAPrivateKey):
                raise PkiError(f"{path}: this is no RSA key; {way_out}")
            return path.read_bytes()
        pem = _key_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        replace_file(path, pem)
        return pem


_RESTORE = "restore it from a copy"


def _read_key(path: Path, way_out: str) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it wants a password
        raise PkiError(f"{path}: cannot be read as a private key: {_first_line(error)}; {way_out}") from error


def _read_certificate(path: Path, way_out: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PkiError(f"{path}: cannot be read as a certificate: {_first_line(error)}; {way_out}") from error


def _first_line(error: Exception) -> str:
    return (str(error).partition("\n")[0].partition(". See http")[0] or type(error).__name__).rstrip(".")


def _version(pair: Pair) -> tuple[tuple[int, int] | None, ...]:
    return file_version(pair.certificate), file_version(pair.key)


def _authority_key(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _names_of(certificate: x509.Certificate) -> set[str]:
    with contextlib.suppress(x509.ExtensionNotFound):
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {str(name.value) for name in found}
    return set()


def _key_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
