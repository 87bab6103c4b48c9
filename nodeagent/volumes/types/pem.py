"""Certificates as PEM texts: taken apart, and written without what stands between and above them. Pure."""

import base64
import hashlib
import re
import textwrap
from collections.abc import Iterable

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_LINE_CHARS = 64


def certificates(text: str) -> list[bytes]:
    """The DER bytes of every certificate, in the order of the text. Raises ValueError for one that is no base64."""
    return [base64.b64decode("".join(_without_headers(block).split()), validate=True) for block in _BLOCK.findall(text)]


def written(found: Iterable[bytes]) -> bytes:
    lines = (textwrap.fill(base64.b64encode(der).decode(), _LINE_CHARS) for der in found)
    return "".join(f"-----BEGIN CERTIFICATE-----\n{each}\n-----END CERTIFICATE-----\n" for each in lines).encode()


def trust_anchors(texts: Iterable[str], seed: str) -> bytes:
    """Each certificate once. Their order means nothing, and is another for each `seed`, so that nobody comes to rely on it."""
    found = {der for text in texts for der in certificates(text)}
    return written(sorted(found, key=lambda der: hashlib.blake2b(seed.encode() + der).digest()))


def _without_headers(block: str) -> str:
    """`Name: value` lines, and the empty one after them (RFC 1421)."""
    return block.replace("\r\n", "\n").partition("\n\n")[2] if ":" in block else block
