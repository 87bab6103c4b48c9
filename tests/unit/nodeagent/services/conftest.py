"""Services and slices as the API tells them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import Service
from lightkube.models.discovery_v1 import EndpointSlice


def _service(name: str = "web", **spec: Any) -> Service:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    whole = {"type": "ClusterIP", "clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"], "ports": ports, **spec}
    return msgspec.convert({"metadata": {"name": name, "namespace": "default"}, "spec": whole}, Service)


def _slice(*endpoints: dict[str, Any] | str, kind: str = "IPv4", name: str = "web-1", **port: Any) -> EndpointSlice:
    """Endpoints are written whole, or as an address on this node, ready."""
    usual = {"nodeName": "here", "conditions": {"ready": True}}
    listed = [usual | ({"addresses": [one]} if isinstance(one, str) else one) for one in endpoints]
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": kind,
            "endpoints": listed,
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP", **port}],
        },
        EndpointSlice,
    )


@pytest.fixture
def service() -> Callable[..., Service]:
    """Makes a Service `web` at 10.96.0.20:80; keywords are fields of its spec."""
    return _service


@pytest.fixture
def piece() -> Callable[..., EndpointSlice]:
    """Makes an EndpointSlice of it."""
    return _slice
