"""Certificates that were issued to the node, as files: pairs under the names of their times, and a link to the current one.

    kubelet-client-2026-11-28-21-05-00.pem       certificate chain and key, 0600
    kubelet-client-current.pem                   -> the newest of them

The link is replaced as a whole. The pair before the current one is kept, older ones go.
Source: docs/facts/api-client-and-server.md I.2 (Store).
"""

import contextlib
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from nodeagent.api.certificates import file_version, public_der
from runtimes.linux.files import replace_file, sync_folder

CLIENT = "kubelet-client"
SERVING = "kubelet-server"


class CertificateStore:
    """`name`: `CLIENT` or `SERVING`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._seen: tuple[tuple[int, int] | None, x509.Certificate | None] = (None, None)

    @property
    def current(self) -> Path:
        """Certificate and key in one file; it is not there before the first."""
        return self._folder / f"{self._name}-current.pem"

    def certificate(self) -> x509.Certificate | None:
        """The current one; None: there is none that can be read. Cheap while it is the same."""
        version = file_version(self.current)
        if version is None or version != self._seen[0]:
            found = None
            with contextlib.suppress(OSError, ValueError):
                found = x509.load_pem_x509_certificate(self.current.read_bytes())
            self._seen = (version, found)
        return self._seen[1]

    def keep(self, certificate_pem: bytes, key_pem: bytes, now: datetime) -> None:
        """Make it the current one. Raises ValueError for a certificate that cannot be read or is not the key's; OSError."""
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        key = serialization.load_pem_private_key(key_pem, None)
        if public_der(certificate.public_key()) != public_der(key.public_key()):
            raise ValueError("the certificate is not for the key that it was asked for")
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        before = self._target()
        pair = self._folder / f"{self._name}-{now:%Y-%m-%d-%H-%M-%S}.pem"
        replace_file(pair, certificate_pem.rstrip() + b"\n" + key_pem)
        fresh = self.current.with_name(f".{self.current.name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(pair)
        fresh.replace(self.current)
        sync_folder(self._folder)
        for old in self._folder.glob(f"{self._name}-[0-9]*.pem"):
            if old.name not in (pair.name, before):
                old.unlink(missing_ok=True)

    def _target(self) -> str:
        try:
            return self.current.readlink().name
        except OSError:
            return ""
