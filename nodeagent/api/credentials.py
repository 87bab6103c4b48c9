"""Who the client says it is: bearer tokens (fixed, from a file, from a plugin), basic auth and client certificates.

Each source is asked before a request and is cheap to ask; it caches and re-reads by itself.
Source: client-go behaviour (docs/facts/api-client-and-server.md A.2, A.4).
"""

import base64
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from typing_extensions import override

log = logging.getLogger(__name__)

TOKEN_FILE_PERIOD_SECONDS = 60.0
TOKEN_FILE_LEEWAY_SECONDS = 10.0
CERTIFICATE_CHECK_SECONDS = 10.0


class CredentialsError(Exception):
    """No credentials could be had from their source; nothing was asked of the API."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate (chain) and its key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes


class Credentials(Protocol):
    """Asked before each request, from one event loop, possibly by several requests at once."""

    async def authorization(self) -> str | None:
        """Value of the Authorization header, or None. Raises CredentialsError."""

    async def certificate(self) -> Certificate | None:
        """The client certificate; a new one makes the client close its connections. Raises CredentialsError."""

    def rejected(self, authorization: str | None) -> None:
        """The API answered 401 to a request with this Authorization header, which may be an older one by now."""


class Anonymous(Credentials):
    """Says nothing. Base of the others."""

    @override
    async def authorization(self) -> str | None:
        return None

    @override
    async def certificate(self) -> Certificate | None:
        return None

    @override
    def rejected(self, authorization: str | None) -> None:
        return None


class StaticToken(Anonymous):
    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    @override
    async def authorization(self) -> str | None:
        return self._header


class BasicAuth(Anonymous):
    def __init__(self, username: str, password: str) -> None:
        self._header = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    @override
    async def authorization(self) -> str | None:
        return self._header


class TokenFile(Anonymous):
    """A token that somebody else keeps fresh in a file. `initial` serves until the file can be read."""

    def __init__(self, path: str, initial: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._token = initial
        self._fresh_until = float("-inf")
        self._trouble = ""

    @override
    async def authorization(self) -> str | None:
        now = self._clock()
        if now >= self._fresh_until:
            self._read(now)
        return f"Bearer {self._token}"

    def _read(self, now: float) -> None:
        try:
            # a few bytes from a memory file system, once a minute: not worth a thread
            token = Path(self._path).read_text(encoding="utf-8").strip()
            if not token:
                raise CredentialsError(f'read empty token from file "{self._path}"')
        except (OSError, UnicodeDecodeError, CredentialsError) as error:
            if not self._token:
                raise CredentialsError(f'failed to read token file "{self._path}": {error}') from error
            if str(error) != self._trouble:  # it is looked at again with every request
                self._trouble = str(error)
                log.warning("token file %s: %s; keeping the older token", self._path, error)
            return
        self._token, self._trouble = token, ""
        self._fresh_until = now + TOKEN_FILE_PERIOD_SECONDS - TOKEN_FILE_LEEWAY_SECONDS

    @override
    def rejected(self, authorization: str | None) -> None:
        self._fresh_until = float("-inf")


class FixedCertificate(Anonymous):
    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate

    @override
    async def certificate(self) -> Certificate | None:
        return self._certificate


class CertificateFiles(Anonymous):
    """A certificate and key in files that rotation replaces; looked at every 10 s."""

    def __init__(self, certificate_path: str, key_path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = (Path(certificate_path), Path(key_path))
        self._clock = clock
        self._current: Certificate | None = None
        self._checked_at = float("-inf")

    @override
    async def certificate(self) -> Certificate | None:
        now = self._clock()
        if self._current is None or now - self._checked_at >= CERTIFICATE_CHECK_SECONDS:
            self._checked_at = now
            self._read()
        return self._current

    def _read(self) -> None:
        try:
            certificate, key = (path.read_bytes() for path in self._paths)
            if self._paths[0].read_bytes() != certificate:
                raise OSError(f"{self._paths[0]} is just being replaced")
            found = Certificate(certificate, key)
        except OSError as error:
            if self._current is None:
                raise CredentialsError(f"cannot read client certificate: {error}") from error
            log.warning("client certificate: %s; keeping the older one", error)
            return
        if found != self._current:
            self._current = found


class Combined(Credentials):
    """Takes the Authorization header from one source and the certificate from another."""

    def __init__(self, bearer: Credentials, certificates: Credentials) -> None:
        self._bearer = bearer
        self._certificates = certificates

    @override
    async def authorization(self) -> str | None:
        return await self._bearer.authorization()

    @override
    async def certificate(self) -> Certificate | None:
        return await self._certificates.certificate()

    @override
    def rejected(self, authorization: str | None) -> None:
        self._bearer.rejected(authorization)
        if self._certificates is not self._bearer:
            self._certificates.rejected(authorization)
