"""The certificate that a port of this machine shows."""

import socket
import ssl
from pathlib import Path
from typing import Any


def shown_certificate(port: int, ca: Path) -> dict[str, Any] | None:
    """As who trusts that CA alone sees it, for whatever names it is; None: there is none that it could trust."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, context.wrap_socket(plain) as tls:
            found: dict[str, Any] | None = tls.getpeercert()
            return found
    except (ssl.SSLError, ConnectionError):
        return None
