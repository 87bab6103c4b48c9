"""Counters of single subjects: names, labels, and what counts as what."""

from datetime import UTC, datetime, timedelta

import pytest
from agent_pods import agent_pod
from prometheus_client import CollectorRegistry

from nodeagent.metrics.admission import AdmissionMetrics
from nodeagent.metrics.api_requests import ApiRequestMetrics
from nodeagent.metrics.build import BuildInfo
from nodeagent.metrics.csi import CSIMetrics
from nodeagent.metrics.dra import ClaimsInUse, DRAMetrics
from nodeagent.metrics.eviction import EvictionMetrics
from nodeagent.metrics.exec_plugin import ExecPluginMetrics
from nodeagent.metrics.images import ImageMetrics, size_name
from nodeagent.metrics.requests import RequestMetrics, told_path
from nodeagent.metrics.volumes import VolumeMetrics, VolumesMounted
from nodeagent.pods.rules.model import StartFailure
from nodeagent.volumes.operations import Operation, timed

MB, GB = 1 << 20, 1 << 30


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_admission(registry: CollectorRegistry) -> None:
    """Every pod with its containers; a refusal by its reason; who went for another by what was short."""
    metrics = AdmissionMetrics(registry)
    spec = {"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    pod = agent_pod({"metadata": {"name": "p", "uid": "u"}, "spec": spec})
    metrics.judged(pod, None)
    metrics.judged(pod, StartFailure(reason="OutOfcpu", message=""))
    metrics.preempted("memory")
    value = registry.get_sample_value
    assert value("kubelet_admission_rejections_total", {"reason": "OutOfcpu"}) == 1
    assert value("kubelet_preemptions_total", {"preemption_signal": "memory"}) == 1
    assert [value("kubelet_containers_per_pod_count_bucket", {"le": le}) for le in ("2.0", "4.0")] == [0, 2]


def test_evictions(registry: CollectorRegistry) -> None:
    """The age of figures is told of those that were chosen by them, not of pods over a limit of their own."""
    metrics = EvictionMetrics(registry)
    metrics.evicted("memory.available", 0.25)
    metrics.evicted("emptydirfs.limit")
    value, name = registry.get_sample_value, "kubelet_eviction_stats_age_seconds_sum"
    assert value("kubelet_evictions_total", {"eviction_signal": "emptydirfs.limit"}) == 1
    assert value(name, {"eviction_signal": "memory.available"}) == 0.25
    assert value(name, {"eviction_signal": "emptydirfs.limit"}) is None


@pytest.mark.parametrize(
    ("size_bytes", "name"),
    [(0, "N/A"), (1, "0-10MB"), (10 * MB, "10MB-100MB"), (100 * GB - 1, "60GB-100GB"), (100 * GB, "GT100GB")],
)
def test_sizes_of_images(size_bytes: int, name: str) -> None:
    """A size is in the range that begins with it; one that nobody knows is in none."""
    assert size_name(size_bytes) == name


def test_images(registry: CollectorRegistry) -> None:
    """What was asked for, and how long it took to come."""
    metrics = ImageMetrics(registry)
    metrics.ensured("Always", present=None, pull=True)
    metrics.ensured("IfNotPresent", present=True, pull=False)
    metrics.pulled(2.0, 5 * MB)
    value, name = registry.get_sample_value, "kubelet_image_manager_ensure_image_requests_total"
    assert value(name, {"pull_policy": "always", "present_locally": "unknown", "pull_required": "true"}) == 1
    assert value(name, {"pull_policy": "ifnotpresent", "present_locally": "true", "pull_required": "false"}) == 1
    assert value("kubelet_image_pull_duration_seconds_sum", {"image_size_in_bytes": "0-10MB"}) == 2


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/metrics/cadvisor", "metrics/cadvisor"),
        ("/exec/{namespace}/{pod}/{uid}/{container}", "exec"),
        ("/logs/{path}", "logs"),
        ("/pods/", "pods"),
        ("/", "/"),
    ],
)
def test_paths_of_requests(template: str, path: str) -> None:
    """What is asked for, without the objects that it is asked of: their names would make a series each."""
    assert told_path(template) == path


def test_requests(registry: CollectorRegistry) -> None:
    """One that is under way is told as such, and one that fails counts."""
    metrics, value = RequestMetrics(registry), registry.get_sample_value
    labels = {"method": "GET", "path": "exec", "server_type": "readwrite", "long_running": "true"}
    with pytest.raises(OSError), metrics.under_way("GET", "/exec/{pod}", secure=True):
        assert value("kubelet_http_inflight_requests", labels) == 1
        raise OSError
    assert value("kubelet_http_inflight_requests", labels) == 0
    assert value("kubelet_http_requests_total", labels) == 1
    assert value("kubelet_http_requests_duration_seconds_count", labels) == 1


def test_calls_of_the_api(registry: CollectorRegistry) -> None:
    """By answer and by verb, each of them as upstream has it."""
    host = "127.0.0.1:6443"
    metrics = ApiRequestMetrics(registry, host)
    metrics.waited("GET", 0.25)
    metrics.answered("GET", "429")
    metrics.answered("GET", "<error>")
    metrics.retried("GET", "<error>")
    metrics.received("GET", 300)
    metrics.ended("GET", 0.5, 0)
    metrics.resolved("api.example", 0.125)
    counted = {"code": "<error>", "host": host}
    assert value_of(registry, "rest_client_requests_total", method="GET", **counted) == 1
    assert value_of(registry, "rest_client_request_retries_total", verb="GET", **counted) == 1
    sums = {
        name: value_of(registry, f"rest_client_{name}_sum", verb="GET", host=host)
        for name in (
            *("rate_limiter_duration_seconds", "request_duration_seconds"),
            *("request_size_bytes", "response_size_bytes"),
        )
    }
    assert list(sums.values()) == [0.25, 0.5, 0, 300]
    assert value_of(registry, "rest_client_dns_resolution_duration_seconds_sum", host="api.example") == 0.125


def test_credential_plugins(registry: CollectorRegistry) -> None:
    """Without a certificate there is no end; with one it is counted down."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    metrics = ExecPluginMetrics(registry, lambda: now)
    assert value_of(registry, "rest_client_exec_plugin_ttl_seconds") == float("inf")
    metrics.called(3, "plugin_execution_error")
    metrics.has_certificate(now + timedelta(seconds=60))
    metrics.replaced_certificate(7200.0)
    called = {"code": "3", "call_status": "plugin_execution_error"}
    assert value_of(registry, "rest_client_exec_plugin_call_total", **called) == 1
    assert value_of(registry, "rest_client_exec_plugin_ttl_seconds") == 60
    ages = "rest_client_exec_plugin_certificate_rotation_age_bucket"
    assert [value_of(registry, ages, le=each) for each in ("3600.0", "14400.0")] == [0, 1]


def value_of(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_volumes(registry: CollectorRegistry) -> None:
    """Mounts that fail are told apart; what is up is told as of the scrape."""
    up = {"kubernetes.io/empty-dir": 3}
    registry.register(VolumesMounted(lambda: up))
    metrics = VolumeMetrics(registry)
    with timed(metrics.ended, "kubernetes.io/nfs", Operation.UNMOUNT):
        pass
    with pytest.raises(OSError), timed(metrics.ended, "kubernetes.io/nfs", Operation.MOUNT):
        raise OSError
    value = registry.get_sample_value
    ended = {
        (operation, status): value(
            "storage_operation_duration_seconds_count",
            {"volume_plugin": "kubernetes.io/nfs", "operation_name": operation, "status": status, "migrated": "false"},
        )
        for operation in ("volume_mount", "volume_unmount")
        for status in ("success", "fail-unknown")
    }
    assert {key for key, count in ended.items() if count == 1} == {
        ("volume_mount", "fail-unknown"),
        ("volume_unmount", "success"),
    }
    labels = {"plugin_name": "kubernetes.io/empty-dir", "state": "actual_state_of_world"}
    assert value("volume_manager_total_volumes", labels) == 3


@pytest.mark.parametrize(
    ("code", "shown"), [("OK", "OK"), ("DEADLINE_EXCEEDED", "DeadlineExceeded"), ("CANCELLED", "Canceled")]
)
def test_calls_of_drivers(registry: CollectorRegistry, code: str, shown: str) -> None:
    """With the code of their answer, as Go writes it."""
    CSIMetrics(registry).ended("d", "/csi.v1.Node/NodePublishVolume", code, 0.5)
    DRAMetrics(registry).called("d", "NodePrepareResources", code, 0.25)
    of_csi = {"method_name": "/csi.v1.Node/NodePublishVolume", "grpc_status_code": shown, "migrated": "false"}
    of_dra = {"method_name": "NodePrepareResources", "grpc_status_code": shown}
    value = registry.get_sample_value
    assert value("csi_operations_seconds_sum", {"driver_name": "d"} | of_csi) == 0.5
    assert value("dra_grpc_operations_duration_seconds_sum", {"driver_name": "d"} | of_dra) == 0.25


def test_claims(registry: CollectorRegistry) -> None:
    """Failures are told apart; what is in use is told as of the scrape, of all drivers and of each."""
    registry.register(ClaimsInUse(lambda: (2, {"a": 2, "b": 1})))
    DRAMetrics(registry).operated("PrepareResources", failed=True, seconds=0.5)
    value = registry.get_sample_value
    labels = {"operation_name": "PrepareResources", "is_error": "true"}
    assert value("dra_operations_duration_seconds_sum", labels) == 0.5
    in_use = {name: value("dra_resource_claims_in_use", {"driver_name": name}) for name in ("<any>", "a", "b")}
    assert in_use == {"<any>": 2, "a": 2, "b": 1}


def test_build(registry: CollectorRegistry) -> None:
    """Which kubelet it stands for, and which gates are open."""
    registry.register(BuildInfo([("A", "BETA", True), ("B", "ALPHA", False)], "amd64"))
    (build,) = (family for family in registry.collect() if family.name == "kubernetes_build_info")
    labels = build.samples[0].labels
    assert (labels["major"], labels["platform"], labels["go_version"]) == ("1", "linux/amd64", "")
    value = registry.get_sample_value
    assert value("kubernetes_feature_enabled", {"name": "A", "stage": "BETA"}) == 1
    assert value("kubernetes_feature_enabled", {"name": "B", "stage": "ALPHA"}) == 0
