"""Whether a certificate and a private key belong together, in the words of Go's TLS library."""

import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_MARK = re.compile(rb"-----(BEGIN|END) ([^-\n]{1,64})-----")
_KEY = "PRIVATE KEY"


def problem(certificate_pem: bytes, key_pem: bytes) -> str:
    """Why a server could not use the pair; empty: it could."""
    types, chain = _blocks(certificate_pem), _of_type(certificate_pem, "CERTIFICATE")
    if chain is None:
        return _no_certificate(types)
    types, key = _blocks(key_pem), _of_type(key_pem, _KEY)
    if key is None:
        return _no_key(types)
    try:
        certificate = x509.load_pem_x509_certificate(chain)
    except ValueError:
        return "x509: malformed certificate"
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    shown, own = certificate.public_key(), private.public_key()
    if type(shown) is not type(own):
        return "tls: private key type does not match public key type"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    same = shown.public_bytes(*form) == own.public_bytes(*form)
    return "" if same else "tls: private key does not match public key"


def _blocks(pem: bytes) -> list[str]:
    """The types of the PEM blocks, in order."""
    return [kind for kind, _ in _each(pem)]


def _of_type(pem: bytes, ending: str) -> bytes | None:
    return next((block for kind, block in _each(pem) if kind.endswith(ending)), None)


def _each(pem: bytes) -> Iterator[tuple[str, bytes]]:
    """Type and text of each block: a beginning whose next mark is its end. Linear, whatever has no end."""
    begun: re.Match[bytes] | None = None
    for mark in _MARK.finditer(pem):
        if mark[1] == b"BEGIN":
            begun = mark
        elif begun is not None:
            if begun[2] == mark[2] and pem[begun.end() : begun.end() + 1].isspace():
                yield mark[2].decode("latin-1"), pem[begun.start() : mark.end()]
            begun = None


def _no_certificate(types: list[str]) -> str:
    if not types:
        return "tls: failed to find any PEM data in certificate input"
    if len(types) == 1 and types[0].endswith(_KEY):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
            "PEM inputs may have been switched"
        )
    skipped = " ".join(types)
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following '
        f"types: [{skipped}]"
    )


def _no_key(types: list[str]) -> str:
    if not types:
        return "tls: failed to find any PEM data in key input"
    if types == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    skipped = " ".join(types)
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: [{skipped}]"
    )
