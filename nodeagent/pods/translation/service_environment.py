"""The variables by which containers find services: `NAME_SERVICE_HOST` and the forms that Docker links had.

Source: docs/facts/pod-lifecycle.md 10.4.
"""

from collections.abc import Iterable, Iterator

from lightkube.models.core_v1 import Service

_MASTER = ("default", "kubernetes")


def service_variables(services: Iterable[Service], namespace: str, *, links: bool) -> dict[str, str]:
    """Variables of `kubernetes` in `default` and, with `links`, of every service in the pod's namespace.

    Headless and external services have none. A service of the pod's namespace wins over one of the same name.
    """
    chosen: dict[str, Service] = {}
    for service in services:
        metadata = service.metadata
        if metadata is None or service.spec is None or service.spec.clusterIP in (None, "", "None"):
            continue
        key = (metadata.namespace or "", metadata.name or "")
        is_own = links and key[0] == namespace
        if is_own or (key == _MASTER and key[1] not in chosen):
            chosen[key[1]] = service
    return {name: value for service in chosen.values() for name, value in _variables(service)}


def _variables(service: Service) -> Iterator[tuple[str, str]]:
    assert service.metadata is not None
    assert service.spec is not None
    name = (service.metadata.name or "").upper().replace("-", "_")
    host = service.spec.clusterIP or ""
    ports = service.spec.ports or []
    yield f"{name}_SERVICE_HOST", host
    if not ports:
        return
    yield f"{name}_SERVICE_PORT", str(ports[0].port)
    for port in ports:
        if port.name:
            yield f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}", str(port.port)
    address = f"[{host}]" if ":" in host else host
    for index, port in enumerate(ports):
        protocol = port.protocol or "TCP"
        url = f"{protocol.lower()}://{address}:{port.port}"
        if index == 0:
            yield f"{name}_PORT", url
        prefix = f"{name}_PORT_{port.port}_{protocol.upper()}"
        yield prefix, url
        yield f"{prefix}_PROTO", protocol.lower()
        yield f"{prefix}_PORT", str(port.port)
        yield f"{prefix}_ADDR", host
