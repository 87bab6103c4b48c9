"""Rows of config maps, secrets, service accounts, services, endpoints and endpoint slices."""

from datetime import datetime

from nodeagent.apiserver.registry.table import AGE, NAME, Cell, TableView, age_of, column, name_of
from runtimes.kube.json_object import JsonObject

NONE = "<none>"
MAX_ENDPOINTS = 3


CONFIG_MAPS = TableView(
    columns=(NAME, column("Data"), AGE),
    cells=lambda obj, now: [
        name_of(obj),
        len(obj.get("data") or ()) + len(obj.get("binaryData") or ()),
        age_of(obj, now),
    ],
)

SECRETS = TableView(
    columns=(NAME, column("Type"), column("Data"), AGE),
    cells=lambda obj, now: [name_of(obj), obj.get("type") or "", len(obj.get("data") or ()), age_of(obj, now)],
)

SERVICE_ACCOUNTS = TableView(
    columns=(NAME, AGE),
    cells=lambda obj, now: [name_of(obj), age_of(obj, now)],
)


def _service(service: JsonObject, now: datetime) -> list[Cell]:
    spec = service.get("spec") or {}
    selector = spec.get("selector") or {}
    return [
        name_of(service),
        spec.get("type") or "",
        spec.get("clusterIP") or NONE,
        _external_ip(service),
        ",".join(_port(port) for port in spec.get("ports") or ()) or NONE,
        age_of(service, now),
        ",".join(f"{key}={selector[key]}" for key in sorted(selector)) or NONE,
    ]


def _external_ip(service: JsonObject) -> str:
    spec = service.get("spec") or {}
    fixed = list(spec.get("externalIPs") or ())
    if spec.get("type") == "ExternalName":
        return spec.get("externalName") or NONE
    if spec.get("type") == "LoadBalancer":
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        fixed = [i.get("ip") or i.get("hostname") or "" for i in ingress] + fixed
        return ",".join(fixed) or "<pending>"
    return ",".join(fixed) or NONE


def _port(port: JsonObject) -> str:
    node_port = port.get("nodePort")
    return f"{port.get('port')}{f':{node_port}' if node_port else ''}/{port.get('protocol') or 'TCP'}"


SERVICES = TableView(
    columns=(
        NAME,
        column("Type"),
        column("Cluster-IP"),
        column("External-IP"),
        column("Port(s)"),
        AGE,
        column("Selector", wide=True),
    ),
    cells=_service,
)


def _few(items: list[str]) -> str:
    if not items:
        return NONE
    more = len(items) - MAX_ENDPOINTS
    return ",".join(items[:MAX_ENDPOINTS]) + (f" + {more} more..." if more > 0 else "")


def _endpoints(obj: JsonObject, now: datetime) -> list[Cell]:
    addresses: list[str] = []
    for subset in obj.get("subsets") or ():
        ips = [a.get("ip", "") for a in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        addresses += [f"{ip}:{port.get('port')}" for port in ports for ip in ips] if ports else ips
    return [name_of(obj), _few(addresses), age_of(obj, now)]


ENDPOINTS = TableView(columns=(NAME, column("Endpoints"), AGE), cells=_endpoints)


def _slice(obj: JsonObject, now: datetime) -> list[Cell]:
    ports = [str(port.get("port") or "*") for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [
        name_of(obj),
        obj.get("addressType") or "",
        _few(ports) if ports else "<unset>",
        _few(addresses) if addresses else "<unset>",
        age_of(obj, now),
    ]


ENDPOINT_SLICES = TableView(
    columns=(NAME, column("AddressType"), column("Ports"), column("Endpoints"), AGE),
    cells=_slice,
)
