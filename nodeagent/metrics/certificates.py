"""How long the node's certificates last, and renewals that failed. Source: docs/facts/node-resources.md 7.4."""

from collections.abc import Callable
from datetime import UTC, datetime

from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Gauge


class CertificateMetrics:
    """Of one certificate. `current`: what is in use; None: nothing, which is told as infinity, as upstream."""

    def __init__(
        self, ttl: str, errors: str, current: Callable[[], x509.Certificate | None], registry: CollectorRegistry
    ) -> None:
        self._current = current
        gauge = Gauge(ttl, "Seconds until the certificate ends; negative: since it has ended.", registry=registry)
        gauge.set_function(self._left)
        self._errors = Counter(errors, "Attempts to renew the certificate that have failed.", registry=registry)

    def failed(self) -> None:
        self._errors.inc()

    def _left(self) -> float:
        found = self._current()
        if found is None:
            return float("inf")
        return (found.not_valid_after_utc - datetime.now(UTC)).total_seconds()


def of_client(current: Callable[[], x509.Certificate | None], registry: CollectorRegistry) -> CertificateMetrics:
    names = (
        "kubelet_certificate_manager_client_ttl_seconds",
        "kubelet_certificate_manager_client_expiration_renew_errors",
    )
    return CertificateMetrics(*names, current, registry)


def of_serving(current: Callable[[], x509.Certificate | None], registry: CollectorRegistry) -> CertificateMetrics:
    names = "kubelet_certificate_manager_server_ttl_seconds", "kubelet_server_expiration_renew_errors"
    return CertificateMetrics(*names, current, registry)
