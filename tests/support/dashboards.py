"""Series and labels that well-known readers of a node's metrics ask for: metrics-server, and the dashboards, recording rules and
alerts of kubernetes-mixin. Facts: docs/facts/node-resources.md 7.2 to 7.4, and what those readers' queries name."""

from collections.abc import Mapping

# page -> series -> labels that are grouped by, joined on or selected by
ASKED_FOR: Mapping[str, Mapping[str, frozenset[str]]] = {
    page: {name: frozenset(labels.split()) for name, labels in series.items()}
    for page, series in {
        "/metrics/resource": {  # metrics-server
            "node_cpu_usage_seconds_total": "",
            "node_memory_working_set_bytes": "",
            "container_cpu_usage_seconds_total": "namespace pod container",
            "container_memory_working_set_bytes": "namespace pod container",
            "container_start_time_seconds": "namespace pod container",
            "pod_cpu_usage_seconds_total": "namespace pod",
            "pod_memory_working_set_bytes": "namespace pod",
            "resource_scrape_error": "",
        },
        "/metrics/cadvisor": {
            "container_cpu_usage_seconds_total": "namespace pod container image id cpu",
            "container_cpu_cfs_throttled_periods_total": "namespace pod container",
            "container_cpu_cfs_periods_total": "namespace pod container",
            "container_memory_working_set_bytes": "namespace pod container image id",
            "container_memory_rss": "namespace pod container image",
            "container_memory_cache": "namespace pod container image",
            "container_memory_swap": "namespace pod container image",
            "container_memory_usage_bytes": "namespace pod container",
            "container_network_receive_bytes_total": "namespace pod interface",
            "container_network_transmit_bytes_total": "namespace pod interface",
            "container_network_receive_packets_total": "namespace pod interface",
            "container_network_transmit_packets_total": "namespace pod interface",
            "container_network_receive_packets_dropped_total": "namespace pod interface",
            "container_network_transmit_packets_dropped_total": "namespace pod interface",
            "container_fs_reads_total": "namespace pod container device",
            "container_fs_writes_total": "namespace pod container device",
            "container_fs_reads_bytes_total": "namespace pod container device",
            "container_fs_writes_bytes_total": "namespace pod container device",
            "machine_memory_bytes": "",
            "machine_cpu_cores": "",
        },
        "/metrics/probes": {"prober_probe_total": "probe_type result container pod namespace"},
        "/metrics": {
            "kubelet_node_name": "node",
            "kubelet_running_pods": "",
            "kubelet_running_containers": "container_state",
            "kubelet_runtime_operations_total": "operation_type",
            "kubelet_runtime_operations_duration_seconds_bucket": "operation_type le",
            "kubelet_pod_start_duration_seconds_bucket": "le",
            "kubelet_pod_start_total_duration_seconds_count": "",
            "kubelet_pod_worker_duration_seconds_bucket": "operation_type le",
            "kubelet_cgroup_manager_duration_seconds_bucket": "operation_type le",
            "kubelet_pod_status_sync_duration_seconds_count": "",
            "kubelet_run_podsandbox_duration_seconds_count": "runtime_handler",
            "kubelet_containers_per_pod_count_bucket": "le",
            "kubelet_http_requests_total": "method path server_type long_running",
            "storage_operation_duration_seconds_bucket": "operation_name volume_plugin le",
            "volume_manager_total_volumes": "plugin_name state",
            "rest_client_requests_total": "code method host",
            "rest_client_request_duration_seconds_bucket": "verb le",
            "kubernetes_build_info": "git_version major minor",
            "process_resident_memory_bytes": "",
            "process_cpu_seconds_total": "",
            "process_start_time_seconds": "",
        },
    }.items()
}
