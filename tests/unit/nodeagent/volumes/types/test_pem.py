"""Certificates of PEM texts."""

import base64

import pytest

from nodeagent.volumes.types.pem import certificates, trust_anchors, written


def block(data: bytes, headers: str = "", label: str = "CERTIFICATE") -> str:
    body = base64.b64encode(data).decode()
    return f"-----BEGIN {label}-----\n{headers}{body}\n-----END {label}-----\n"


def test_what_stands_around_and_above_certificates_goes() -> None:
    """Comments, headers and other kinds of blocks; the order is the text's."""
    others = f"junk\n{block(b'key', label='PRIVATE KEY')}"
    text = f"Subject: x\n{block(b'one' * 40)}{others}{block(b'two', headers='A: b' + chr(10) * 2)}"
    assert certificates(text) == [b"one" * 40, b"two"]
    assert certificates(written(certificates(text)).decode()) == [b"one" * 40, b"two"]
    assert max(map(len, written(certificates(text)).splitlines())) <= 64


def test_trust_anchors_are_a_set() -> None:
    """Each is there once, in an order that is a pod's own, and stays as long as they do."""
    texts = [block(b"a") + block(b"b"), block(b"b") + block(b"c") + block(b"d")]
    orders = {tuple(certificates(trust_anchors(texts, str(seed)).decode())) for seed in range(20)}
    assert {frozenset(order) for order in orders} == {frozenset((b"a", b"b", b"c", b"d"))}
    assert len(orders) > 1
    assert trust_anchors(texts, "u") == trust_anchors(reversed(texts), "u")


def test_what_is_no_base64_is_an_error() -> None:
    """Rather than a shorter list."""
    with pytest.raises(ValueError):
        certificates("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----")
