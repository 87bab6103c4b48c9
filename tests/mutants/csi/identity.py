"""Faults of who a driver says it is, and of what it claims."""

import itertools
from typing import Any

from google.protobuf.wrappers_pb2 import BoolValue
from typing_extensions import override

from csi import errors
from csi.values import ControllerCapability, NodeCapability, PluginCapability
from proto import csi_pb2 as csi
from tests.mutants.csi.driver import Mutant


def without(answer: Any, *claims: ControllerCapability | NodeCapability) -> Any:
    """Capabilities of a controller or a node, but for these."""
    left = [each for each in answer.capabilities if each.rpc.type not in {claim.value for claim in claims}]
    del answer.capabilities[:]
    answer.capabilities.extend(left)
    return answer


class NameWithUnderscore(Mutant):
    """Its name is none: it has an underscore."""

    caught_by = "I2"

    async def get_plugin_info(self, _request: Any) -> Any:
        return csi.GetPluginInfoResponse(name="my_driver", vendor_version="1")


class NoVersion(Mutant):
    """It has no vendor_version."""

    caught_by = "I2"

    async def get_plugin_info(self, _request: Any) -> Any:
        return csi.GetPluginInfoResponse(name="driver.example")


class NeverReady(Mutant):
    """Probe says `ready: false` for ever."""

    caught_by = "I5"

    async def probe(self, _request: Any) -> Any:
        return csi.ProbeResponse(ready=BoolValue(value=False))


class ServiceUnknown(Mutant):
    """GetPluginCapabilities has an entry of type UNKNOWN."""

    caught_by = "I4"

    async def get_plugin_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.get_plugin_capabilities(request)
        answer.capabilities.add(service=csi.PluginCapability.Service())
        return answer


class UnclaimedCallCrashes(Mutant):
    """MODIFY_VOLUME is not claimed, and the call is INTERNAL instead of UNIMPLEMENTED."""

    caught_by = "I10"

    async def controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.controller_get_capabilities(request)
        return without(answer, ControllerCapability.MODIFY_VOLUME)

    async def controller_modify_volume(self, _request: Any) -> Any:
        raise errors.DriverFault("nil pointer")


class ExpansionWithoutCalls(Mutant):
    """ONLINE expansion is claimed, and EXPAND_VOLUME neither by controller nor node."""

    caught_by = "I11"

    async def controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.controller_get_capabilities(request)
        return without(answer, ControllerCapability.EXPAND_VOLUME)

    async def node_get_capabilities(self, request: Any) -> Any:
        return without(await self.healthy.node_get_capabilities(request), NodeCapability.EXPAND_VOLUME)


class PublishedNodesWithoutPublishing(Mutant):
    """LIST_VOLUMES_PUBLISHED_NODES is claimed without PUBLISH_UNPUBLISH_VOLUME."""

    caught_by = "I12"
    form = "attach"

    async def controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.controller_get_capabilities(request)
        return without(answer, ControllerCapability.PUBLISH_UNPUBLISH_VOLUME)


class TopologyNotClaimed(Mutant):
    """The node has a topology, and VOLUME_ACCESSIBILITY_CONSTRAINTS is not claimed."""

    caught_by = "I14"

    async def get_plugin_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.get_plugin_capabilities(request)
        constraints = PluginCapability.VOLUME_ACCESSIBILITY_CONSTRAINTS
        kept = [
            each for each in answer.capabilities if each != csi.PluginCapability(service={"type": constraints.value})
        ]
        return csi.GetPluginCapabilitiesResponse(capabilities=kept)


class MultiWriterOnOneSide(Mutant):
    """SINGLE_NODE_MULTI_WRITER is claimed by the node alone."""

    caught_by = "I15"

    async def controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.controller_get_capabilities(request)
        return without(answer, ControllerCapability.SINGLE_NODE_MULTI_WRITER)


class ClaimsChange(Mutant):
    """Every second time the node claims no statistics."""

    caught_by = "I16"

    @override
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.times = itertools.count()

    async def node_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.node_get_capabilities(request)
        return without(answer, *([NodeCapability.GET_VOLUME_STATS] if next(self.times) % 2 else []))


class NameBeginsWithADigit(Mutant):
    """Its name begins with a digit, which a common suite does not take."""

    caught_by = "I3"

    async def get_plugin_info(self, _request: Any) -> Any:
        return csi.GetPluginInfoResponse(name="3par.example", vendor_version="1")


class RefusalWithoutAWord(Mutant):
    """Errors have no message."""

    caught_by = "I8"
    also = ("C1", "C2")

    async def create_volume(self, request: Any) -> Any:
        try:
            return await self.healthy.create_volume(request)
        except errors.InvalidArgument as error:
            raise errors.InvalidArgument("") from error


class ControllerClaimUnknown(Mutant):
    """ControllerGetCapabilities has an entry of type UNKNOWN."""

    caught_by = "I4B"

    async def controller_get_capabilities(self, request: Any) -> Any:
        answer = await self.healthy.controller_get_capabilities(request)
        answer.capabilities.add(rpc={"type": 0})
        return answer
