"""What monitors and network plugins ask an agent: the PodResources API, by its socket."""

from pathlib import Path
from typing import Any

import grpc.aio

from proto import podresources_pb2 as api


async def asked(root: Path, method: str, request: Any, answer: Any) -> Any:
    """A method's answer, of that type. `root`: the agent's. Raises grpc's own errors."""
    async with grpc.aio.insecure_channel(f"unix:{root}/pod-resources/kubelet.sock") as channel:
        call: Any = channel.unary_unary(
            f"/v1.PodResourcesLister/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return await call(request, timeout=10)


async def pods_with_resources(root: Path) -> list[Any]:
    """All pods, with what they hold."""
    answer = await asked(root, "List", api.ListPodResourcesRequest(), api.ListPodResourcesResponse)
    return list(answer.pod_resources)
