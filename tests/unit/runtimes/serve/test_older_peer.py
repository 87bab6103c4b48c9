"""A server as an older peer: what is left out is unknown, or not told."""

from typing import Any

from proto import cri_pb2 as cri
from runtimes.serve.calls import Service
from runtimes.serve.older_peer import Feature, older


async def _status(_request: Any) -> cri.StatusResponse:
    features = cri.RuntimeHandlerFeatures(user_namespaces=True, recursive_read_only_mounts=True)
    return cri.StatusResponse(
        runtime_handlers=[cri.RuntimeHandler(name="runc", features=features)],
        features=cri.RuntimeFeatures(supplemental_groups_policy=True),
    )


async def _told(service: Service) -> tuple[bool, bool, bool]:
    answer = await service.unary["Status"](cri.StatusRequest())
    assert isinstance(answer, cri.StatusResponse)
    own = answer.runtime_handlers[0].features
    return own.user_namespaces, own.recursive_read_only_mounts, answer.features.supplemental_groups_policy


def _whole() -> Service:
    async def unary(_request: Any) -> cri.StatusResponse:
        raise AssertionError

    async def streamed(_request: Any) -> Any:
        yield

    unaries = dict.fromkeys(("RuntimeConfig", "ListMetricDescriptors", "ListPodSandboxMetrics", "Version"), unary)
    streams = dict.fromkeys(("GetContainerEvents", "StreamPodSandboxMetrics", "StreamContainers"), streamed)
    return Service(name="RuntimeService", unary={**unaries, "Status": _status}, streamed=streams)


async def test_each_feature() -> None:
    """Left out alone, the others are as they were."""
    for index, feature in enumerate((Feature.USER_NAMESPACES, Feature.RECURSIVE_READ_ONLY, Feature.STRICT_GROUPS)):
        assert await _told(older(_whole(), [feature])) == tuple(place != index for place in range(3))
    assert "RuntimeConfig" not in older(_whole(), [Feature.RUNTIME_CONFIG]).unary
    assert set(older(_whole(), [Feature.EVENTS]).streamed) == {"StreamPodSandboxMetrics", "StreamContainers"}
    bare = older(_whole(), Feature)
    assert (set(bare.unary), set(bare.streamed)) == ({"Version", "Status"}, {"StreamContainers"})
    assert await _told(bare) == (False, False, False)


async def test_nothing_left_out() -> None:
    """The service as it is."""
    whole = _whole()
    assert older(whole, ()) is whole
