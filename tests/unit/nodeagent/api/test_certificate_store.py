"""Issued certificates as files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nodeagent.api.certificate_store import CLIENT, CertificateStore
from nodeagent.api.certificates import self_signed

NOW = datetime(2026, 11, 28, 21, 5, tzinfo=UTC)


def test_what_is_kept(tmp_path: Path) -> None:
    """Pairs that only their owner reads, under their times; the link leads to the newest; the one before stays, older ones go."""
    store = CertificateStore(tmp_path / "pki", CLIENT)
    assert store.certificate() is None
    pairs = [self_signed("n", (), NOW + timedelta(minutes=each)) for each in range(3)]
    for number, (chain, key) in enumerate(pairs):
        store.keep(chain, key, NOW + timedelta(minutes=number))
        assert store.current.read_bytes() == chain.rstrip() + b"\n" + key
    found = store.certificate()
    assert found is not None and found.subject.rfc4514_string() == f"CN=n@{int(NOW.timestamp()) + 120}"
    assert sorted(path.name for path in (tmp_path / "pki").iterdir()) == [
        "kubelet-client-2026-11-28-21-06-00.pem",
        "kubelet-client-2026-11-28-21-07-00.pem",
        "kubelet-client-current.pem",
    ]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}


def test_a_clock_that_went_back(tmp_path: Path) -> None:
    """The current pair is the one that was kept last, whatever its name."""
    store = CertificateStore(tmp_path, CLIENT)
    for minutes in (5, 1):
        chain, key = self_signed("n", (), NOW)
        store.keep(chain, key, NOW + timedelta(minutes=minutes))
    assert store.current.read_bytes() == chain.rstrip() + b"\n" + key


def test_what_is_not_kept(tmp_path: Path) -> None:
    """A certificate of another key, or none at all: what is there stays."""
    store = CertificateStore(tmp_path, CLIENT)
    chain, key = self_signed("n", (), NOW)
    store.keep(chain, key, NOW)
    other, _ = self_signed("n", (), NOW)
    for wrong in (other, b"rubbish", b""):
        with pytest.raises(ValueError):
            store.keep(wrong, key, NOW + timedelta(hours=1))
    assert store.current.read_bytes() == chain.rstrip() + b"\n" + key
