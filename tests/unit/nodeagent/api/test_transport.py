"""The TLS settings towards an API server."""

import ssl

from nodeagent.api.kubeconfig import Connection
from nodeagent.api.transport import ssl_context


def test_certificates_are_checked_as_by_the_kubelet() -> None:
    """Name and chain; but key identifiers may be missing, whatever this Python asks for by default."""
    context = ssl_context(Connection(server="https://example.org"), None)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
