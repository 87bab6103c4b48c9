"""Of the node's certificates."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from nodeagent.api.certificates import LIFETIME, self_signed
from nodeagent.metrics.certificates import of_client, of_serving
from nodeagent.metrics.registry import agent_registry, registered


def test_what_is_told() -> None:
    """How long each lasts, infinity for one that is not there, less than nothing for one that has ended; and failures."""
    registry = agent_registry()
    ended = x509.load_pem_x509_certificate(self_signed("n", (), datetime.now(UTC) - LIFETIME - timedelta(hours=1))[0])
    client, _ = of_client(lambda: ended, registry), of_serving(lambda: None, registry)
    client.failed()
    lines = dict(line.split() for line in registered(registry).decode().splitlines() if line.startswith("kubelet_"))
    assert float(lines.pop("kubelet_certificate_manager_client_ttl_seconds")) == pytest.approx(-3600, abs=60)
    assert lines == {
        "kubelet_certificate_manager_client_expiration_renew_errors": "1.0",
        "kubelet_certificate_manager_server_ttl_seconds": "+Inf",
        "kubelet_server_expiration_renew_errors": "0.0",
    }
