"""JSON Web Tokens signed with RS256, nothing more: no other algorithm is ever accepted."""

import base64
import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from runtimes.kube.json_object import JsonObject

ALGORITHM = "RS256"


class BadToken(ValueError):
    """Not a token of this key."""


class Signer:
    """One RSA key, its id and its public half."""

    def __init__(self, private_key_pem: bytes) -> None:
        # whoever made or read the file has looked at it; the look takes 40 ms
        key = serialization.load_pem_private_key(private_key_pem, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("service account tokens are signed with an RSA key")
        self._key = key
        self._public = key.public_key()
        der = self._public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = encode(hashlib.sha256(der).digest())

    def sign(self, claims: JsonObject) -> str:
        header = {"alg": ALGORITHM, "kid": self.key_id}
        signed = f"{_part(header)}.{_part(claims)}"
        signature = self._key.sign(signed.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encode(signature)}"

    def verify(self, token: str) -> JsonObject:
        """Return the claims of a token that this key signed. Raises BadToken. Times are not looked at."""
        parts = token.split(".")
        if len(parts) != 3:
            raise BadToken("a token has three parts")
        header = _decoded(parts[0])
        if header.get("alg") != ALGORITHM or header.get("kid", self.key_id) != self.key_id:
            raise BadToken("signed in another way or by another key")
        try:
            signed = f"{parts[0]}.{parts[1]}".encode("ascii")
            self._public.verify(decode(parts[2]), signed, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError) as error:
            raise BadToken("the signature does not match") from error
        return _decoded(parts[1])

    def jwk(self) -> JsonObject:
        """The public key as a JSON Web Key."""
        numbers = self._public.public_numbers()
        return {
            "use": "sig",
            "kty": "RSA",
            "kid": self.key_id,
            "alg": ALGORITHM,
            "n": encode(_big_endian(numbers.n)),
            "e": encode(_big_endian(numbers.e)),
        }


def encode(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The reverse of `encode`. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _part(value: JsonObject) -> str:
    return encode(json.dumps(value, separators=(",", ":")).encode())


def _decoded(text: str) -> JsonObject:
    try:
        value = json.loads(decode(text))
    except ValueError as error:
        raise BadToken("a part is no base64url JSON") from error
    if not isinstance(value, dict):
        raise BadToken("a part is no JSON object")
    return value


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
