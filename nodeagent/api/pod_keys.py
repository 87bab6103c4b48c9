"""A pod's private key, and the request that proves that somebody has it. Blocks: an RSA key takes up to a second."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_EXPONENT = 65537
_TYPES: Mapping[str, tuple[Callable[[], PrivateKey], hashes.HashAlgorithm | None]] = {
    "RSA3072": (lambda: rsa.generate_private_key(_EXPONENT, 3072), hashes.SHA256()),
    "RSA4096": (lambda: rsa.generate_private_key(_EXPONENT, 4096), hashes.SHA256()),
    "ECDSAP256": (lambda: ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()),
    "ECDSAP384": (lambda: ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
    "ECDSAP521": (lambda: ec.generate_private_key(ec.SECP521R1()), hashes.SHA512()),
    "ED25519": (ed25519.Ed25519PrivateKey.generate, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodKey:
    """`pem`: PKCS#8, not encrypted. `request_der`: an empty PKCS#10 request, signed by the key."""

    pem: bytes
    request_der: bytes


def make_key(key_type: str) -> PodKey:
    """Raises ValueError for a type that Kubernetes does not name."""
    if key_type not in _TYPES:
        raise ValueError(f"unsupported key type {key_type!r}")
    generate, algorithm = _TYPES[key_type]
    key = generate()
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm)  # type: ignore[arg-type]
    return PodKey(
        pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        request_der=request.public_bytes(serialization.Encoding.DER),
    )
