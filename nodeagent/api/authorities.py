"""Whom the client believes: the authorities that the API server's certificate is to come from.

Source: client-go reads the kubeconfig's CA file again (docs/facts/api-client-and-server.md A.1).
"""

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from nodeagent.api.certificates import file_version

log = logging.getLogger(__name__)

CHECK_SECONDS = 10.0


class AuthorityFile:
    """Authorities in a file that rotation replaces; looked at every 10 s. One that is no longer good leaves those read before:
    a file that is empty for a moment must not make the client believe this machine's own authorities."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads nothing yet."""
        self._path = path
        self._clock = clock
        self._version: tuple[int, int] | None = None
        self._pem: bytes | None = None
        self._checked_at = float("-inf")
        self._trouble = ""

    def current(self) -> bytes:
        """PEM; the same object as long as the file says the same. Raises OSError (ssl.SSLError too) while none has been good."""
        now = self._clock()
        if self._pem is not None and now - self._checked_at < CHECK_SECONDS:
            return self._pem
        self._checked_at = now
        version = file_version(self._path)
        if self._pem is not None and version == self._version:
            return self._pem
        try:
            found = read_authorities(self._path)
        except OSError as error:
            if self._pem is None:
                raise
            if str(error) != self._trouble:  # it is looked at again and again
                self._trouble = str(error)
                log.warning("certificate authorities in %s: %s; keeping the older ones", self._path, error)
            return self._pem
        self._version, self._trouble = version, ""
        if found != self._pem:
            self._pem = found
        return self._pem


def read_authorities(path: Path) -> bytes:
    """The file's PEM. Raises OSError, also (as ssl.SSLError) when there is no certificate in it."""
    pem = path.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates_text(pem))
    except ValueError as error:  # there is nothing in it
        raise ssl.SSLError(f"no certificate: {error}") from None
    return pem


def certificates_text(pem: bytes) -> str:
    """As Python's TLS takes it: remarks between certificates, in whatever language, are left out as far as they are not ASCII."""
    return pem.decode("ascii", "ignore")
