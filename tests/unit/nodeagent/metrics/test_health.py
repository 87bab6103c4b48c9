"""How health checks came out."""

from nodeagent.metrics.health import HealthMetrics


def test_each_check_by_name() -> None:
    """The last result, and how many of each there were."""
    metrics = HealthMetrics()
    for passed in (True, True, False):
        metrics.checked("syncloop", passed)
    metrics.checked("ping", True)
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    assert sorted(lines) == sorted(
        [
            'kubernetes_healthcheck{name="ping",type="healthz"} 1.0',
            'kubernetes_healthcheck{name="syncloop",type="healthz"} 0.0',
            'kubernetes_healthchecks_total{name="ping",status="success",type="healthz"} 1.0',
            'kubernetes_healthchecks_total{name="syncloop",status="error",type="healthz"} 1.0',
            'kubernetes_healthchecks_total{name="syncloop",status="success",type="healthz"} 2.0',
        ]
    )
