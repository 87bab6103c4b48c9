"""The endpoint's TLS: its own certificate, and whose client certificates count. Changed files are read again."""

import logging
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from nodeagent.api.certificates import file_version
from nodeagent.tls_policy import TLSPolicy

log = logging.getLogger(__name__)


class ServerTLS:
    """`client_ca` None: no client certificate is asked for. Client certificates are asked for, not required.

    A change of the files is seen at the next handshake; files that cannot be read leave what was read before. `awaited`: the
    certificate may not be there yet; until it is, every handshake fails.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        client_ca: Path | None,
        policy: TLSPolicy | None = None,
        *,
        awaited: bool = False,
    ) -> None:
        """Raises OSError (ssl.SSLError too) when the files cannot be used."""
        self._files = (certificate, key, client_ca)
        self._policy = policy or TLSPolicy()
        self._awaited = awaited
        self._seen = self._versions()
        self._current = self._load()
        # connections start with this context, and go on with the current one
        self.context = self._load()
        self.context.sni_callback = self._choose
        for remark in self._policy.remarks(key_is_ecdsa(certificate)):
            log.warning("%s", remark)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, server_name: str | None, _: ssl.SSLContext) -> None:
        versions = self._versions()
        if versions != self._seen:
            self._seen = versions
            try:
                self._current = self._load()
                log.info("read the endpoint's certificate files again")
            except OSError as error:
                log.error("the endpoint's certificate files have changed and cannot be used: %s", error)
        connection.context = self._current

    def _versions(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(file_version(path) for path in self._files if path is not None)

    def _load(self) -> ssl.SSLContext:
        certificate, key, client_ca = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._policy.apply(context)
        context.set_alpn_protocols(["http/1.1"])
        # Who resumes a session is not verified again: a certificate whose authority was taken away meanwhile would still count.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        if not self._awaited or certificate.exists():
            context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context


def key_is_ecdsa(certificate: Path) -> bool | None:
    """Which of the cipher suites of TLS 1.2 go with it; None: it cannot be read."""
    try:
        return isinstance(
            x509.load_pem_x509_certificate(certificate.read_bytes()).public_key(), ec.EllipticCurvePublicKey
        )
    except (OSError, ValueError):
        return None
