"""The Identity service."""

from google.protobuf.wrappers_pb2 import BoolValue

from csi.driver.settings import Settings
from csi.values import PluginCapability
from proto import csi_pb2 as csi

VERSION = "1.0"
_SERVICES = (
    PluginCapability.CONTROLLER_SERVICE,
    PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS,
    PluginCapability.GROUP_CONTROLLER_SERVICE,
)
_WITH_ALPHA = (PluginCapability.SNAPSHOT_METADATA_SERVICE,)


class IdentityService:
    """Once it listens it is ready: what is needed is looked for before."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def get_plugin_info(self, _request: csi.GetPluginInfoRequest) -> csi.GetPluginInfoResponse:
        return csi.GetPluginInfoResponse(name=self._settings.name, vendor_version=VERSION)

    async def get_plugin_capabilities(
        self, _request: csi.GetPluginCapabilitiesRequest
    ) -> csi.GetPluginCapabilitiesResponse:
        answer = csi.GetPluginCapabilitiesResponse()
        for service in (*_SERVICES, *(_WITH_ALPHA if self._settings.alpha else ())):
            answer.capabilities.add(service=csi.PluginCapability.Service(type=service.value))
        # of a volume that cannot, the machine being as it is (growth.py), it is told when it is asked to
        online = csi.PluginCapability.VolumeExpansion(type=PluginCapability.ONLINE_EXPANSION.value)
        answer.capabilities.add(volume_expansion=online)
        return answer

    async def probe(self, _request: csi.ProbeRequest) -> csi.ProbeResponse:
        return csi.ProbeResponse(ready=BoolValue(value=True))
