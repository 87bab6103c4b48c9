"""The API's own Service, `kubernetes` in `default`: how clients in pods find it. With its Endpoints and EndpointSlice."""

import ipaddress
import logging

from nodeagent.apiserver.contract import LocalApi, ServiceNetwork
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.kinds.controllers.endpoints import ENDPOINTS, SLICES
from nodeagent.apiserver.kinds.controllers.follow import Watch, follow, forever
from nodeagent.apiserver.kinds.endpoints import SERVICE_LABEL
from runtimes.kube.json_object import JsonObject

log = logging.getLogger(__name__)

NAME = "kubernetes"
NAMESPACE = "default"
PORT = 443
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


class OwnService:
    """Puts them there, and back when somebody has taken them away or changed them."""

    def __init__(self, api: LocalApi, address: str, port: int) -> None:
        """`address`, `port`: where pods reach the API."""
        self._api = api
        self._wanted = own_objects(api.service_network, address, port)

    async def run(self) -> None:
        await forever(self._session)

    async def _session(self) -> None:
        watches = [
            Watch(resource=resource, namespace=NAMESPACE, field_selector=f"metadata.name={NAME}")
            for resource in ("services", ENDPOINTS, SLICES)
        ]
        watches.append(Watch(resource="namespaces", field_selector=f"metadata.name={NAMESPACE}"))
        async with follow(self._api, watches) as feed:
            while True:
                await feed.batch()
                for resource, wanted in self._wanted.items():
                    await self._keep(resource, wanted)

    async def _keep(self, resource: str, wanted: JsonObject) -> None:
        try:
            stored = await self._api.get(resource, NAMESPACE, NAME)
            if not _has(stored, wanted):
                if resource == "services" and stored["spec"].get("clusterIP") != wanted["spec"]["clusterIP"]:
                    await self._api.delete(resource, NAMESPACE, NAME)  # the range has changed; an address cannot
                    return  # its end comes as a change
                await self._api.patch(resource, NAMESPACE, NAME, wanted, patch_type="merge")
        except ApiError as error:
            if error.code != 404:
                log.warning("%s %s/%s cannot be kept: %s", resource, NAMESPACE, NAME, error.message)
                return
            await self._create(resource, wanted)

    async def _create(self, resource: str, wanted: JsonObject) -> None:
        try:
            await self._api.create(resource, wanted)
        except ApiError as error:
            if error.code not in (403, 404, 409):  # the namespace comes, and with it another look
                log.warning("%s %s/%s cannot be made: %s", resource, NAMESPACE, NAME, error.message)


def own_objects(network: ServiceNetwork, address: str, port: int) -> dict[str, JsonObject]:
    """The three objects, by resource."""
    version = ipaddress.ip_address(address).version
    metadata = {"name": NAME, "namespace": NAMESPACE}
    cluster_ip = next((one for one in network.api_addresses if ipaddress.ip_address(one).version == version), "")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**metadata, "labels": _LABELS},
        "spec": {
            "clusterIP": cluster_ip,
            "ipFamilies": [f"IPv{version}"],
            "ports": [{"name": "https", "port": PORT, "protocol": "TCP", "targetPort": port}],
        },
    }
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {**metadata, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [
            {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]},
        ],
    }
    piece = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {SERVICE_LABEL: NAME}},
        "addressType": f"IPv{version}",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
    return {"services": service, ENDPOINTS: endpoints, SLICES: piece}


def _has(stored: object, wanted: object) -> bool:
    """Whether everything that is wanted is stored so; lists whole, but for what their items have beside it."""
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(_has(stored.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(stored, list) or len(stored) != len(wanted):
            return False
        return all(_has(one, other) for one, other in zip(stored, wanted, strict=True))
    return stored == wanted
