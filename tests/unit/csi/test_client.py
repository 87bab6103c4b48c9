"""Calls over a real socket, with a driver that answers what the test tells it to."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from csi import errors
from csi.client import Client
from csi.endpoint import Endpoint, shown
from csi.values import ControllerCapability, NodeCapability, PluginCapability, Usage
from proto import csi_pb2 as csi

Answer = Callable[[Any, Any], Awaitable[Any]]


@contextlib.asynccontextmanager
async def driver(path: Path, **answers: Answer) -> AsyncIterator[Client]:
    """A driver with those methods; bytes are sent as they are."""
    server = grpc.aio.server()
    for service in csi.DESCRIPTOR.services_by_name.values():
        methods = {
            method.name: (
                grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
            )(
                answers[method.name],
                request_deserializer=getattr(csi, method.input_type.name).FromString,
                response_serializer=lambda each: each if isinstance(each, bytes) else each.SerializeToString(),
            )
            for method in service.methods
            if method.name in answers
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, methods),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield Client.at(f"unix://{path}", deadline_seconds=30)
    finally:
        await server.stop(None)


def giving(answer: Any) -> Answer:
    async def give(_request: Any, _context: Any) -> Any:
        return answer

    return give


def refusing(code: grpc.StatusCode, text: str) -> Answer:
    async def refuse(_request: Any, context: Any) -> Any:
        await context.abort(code, text)

    return refuse


async def test_what_a_driver_says_of_itself(tmp_path: Path) -> None:
    """Values of Python; what is newer than this client is left out, and who does not say is ready."""
    plugin = csi.GetPluginCapabilitiesResponse()
    plugin.capabilities.add().service.type = csi.PluginCapability.Service.CONTROLLER_SERVICE
    plugin.capabilities.add().volume_expansion.type = csi.PluginCapability.VolumeExpansion.ONLINE
    plugin.capabilities.add().service.type = 99  # type: ignore[assignment]
    node = csi.NodeGetCapabilitiesResponse()
    node.capabilities.add().rpc.type = csi.NodeServiceCapability.RPC.GET_VOLUME_STATS
    node.capabilities.add().rpc.type = 99  # type: ignore[assignment]
    controller = csi.ControllerGetCapabilitiesResponse()
    controller.capabilities.add().rpc.type = csi.ControllerServiceCapability.RPC.LIST_VOLUMES
    answers = {
        "GetPluginInfo": giving(csi.GetPluginInfoResponse(name="a.example.org", vendor_version="1")),
        "GetPluginCapabilities": giving(plugin),
        "Probe": giving(csi.ProbeResponse()),
        "NodeGetCapabilities": giving(node),
        "ControllerGetCapabilities": giving(controller),
        "NodeGetInfo": giving(csi.NodeGetInfoResponse(node_id="n", max_volumes_per_node=3)),
    }
    async with driver(tmp_path / "s", **answers) as client:
        assert (await client.identity.plugin()).name == "a.example.org"
        assert await client.identity.capabilities() == {
            PluginCapability.CONTROLLER_SERVICE,
            PluginCapability.ONLINE_EXPANSION,
        }
        assert await client.identity.ready()
        assert await client.node.capabilities() == {NodeCapability.GET_VOLUME_STATS}
        assert await client.controller.capabilities() == {ControllerCapability.LIST_VOLUMES}
        info = await client.node.info()
        assert (info.node_id, info.max_volumes, info.topology) == ("n", 3, {})


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GetPluginInfo", csi.GetPluginInfoResponse()),
        ("GetPluginInfo", csi.GetPluginInfoResponse(name="no name")),
        ("GetPluginInfo", csi.GetPluginInfoResponse(name="x" * 64)),
        ("GetPluginInfo", b"\xff\xff\xff"),
        ("NodeGetInfo", csi.NodeGetInfoResponse()),
        ("NodeGetInfo", csi.NodeGetInfoResponse(node_id="n" * 257)),
        ("NodeGetInfo", csi.NodeGetInfoResponse(node_id="n", max_volumes_per_node=-1)),
    ],
)
async def test_answers_that_are_none(tmp_path: Path, method: str, answer: Any) -> None:
    """What cannot be used is said where it came from, not where it would have been used."""
    async with driver(tmp_path / "s", **{method: giving(answer)}) as client:
        with pytest.raises(errors.BadAnswer, match=f"^{method}: "):
            await (client.identity.plugin() if method == "GetPluginInfo" else client.node.info())


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_code_has_its_class(tmp_path: Path, code: grpc.StatusCode) -> None:
    """Uncertain are those of docs/facts/storage.md 10.4, final all others; the code itself stays to be seen."""
    uncertain = {"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"}
    async with driver(tmp_path / "s", NodeUnstageVolume=refusing(code, "why")) as client:
        with pytest.raises(errors.CSIError) as caught:
            await client.node.unstage_volume(csi.NodeUnstageVolumeRequest())
    found = caught.value
    assert isinstance(found, errors.Uncertain if code.name in uncertain else errors.Final)
    assert (found.code, str(found)) == (code.name, "NodeUnstageVolume: why")


async def test_nobody_there(tmp_path: Path) -> None:
    """No socket, one that nobody reads, and one of something else: the request was not sent."""
    asked = csi.ProbeRequest()
    with pytest.raises(errors.Unreachable, match="nobody listens on"):
        await Client.at(f"unix://{tmp_path}/none").identity.probe(asked)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        deaf.listen()
        with pytest.raises(errors.Unreachable, match="does not speak gRPC"):
            await Client.at(str(tmp_path / "deaf")).identity.probe(asked, deadline_seconds=0.2)


async def test_a_deadline_is_uncertain(tmp_path: Path) -> None:
    """The driver may be at work all the same."""

    async def hang(_request: Any, _context: Any) -> Any:
        await asyncio.Event().wait()

    async with driver(tmp_path / "s", Probe=hang) as client:
        with pytest.raises(errors.Timeout):
            await client.identity.probe(csi.ProbeRequest(), deadline_seconds=0.2)


async def test_a_driver_that_goes_away(tmp_path: Path) -> None:
    """Cut off within a call is uncertain; the next call meets whoever listens then, whatever the path's characters are."""
    path = tmp_path / "a b%20#?.sock"
    asked = asyncio.Event()

    async def hang(_request: Any, _context: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    async def serve(answer: Answer) -> grpc.aio.Server:
        server = grpc.aio.server()
        methods = {"Probe": grpc.unary_unary_rpc_method_handler(answer)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("csi.v1.Identity", methods),))
        link = tmp_path / "link"
        link.unlink(missing_ok=True)
        server.add_insecure_port(f"unix:{link}")
        await server.start()
        link.rename(path)
        return server

    client = Client.at(f"unix://{path}")
    first = await serve(hang)
    call = asyncio.create_task(client.identity.ready())
    await asked.wait()
    await first.stop(None)
    with pytest.raises(errors.Unavailable):
        await call
    second = await serve(giving(b""))
    assert await client.identity.ready()
    await second.stop(None)


async def test_secrets_stay_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In no error, whatever the driver repeats, in no log line, and struck out of a request that is shown."""
    caplog.set_level(logging.DEBUG)
    tokens = "csi.storage.k8s.io/serviceAccount.tokens"
    request = csi.NodePublishVolumeRequest(
        volume_id="v", secrets={"password": "hunter2"}, volume_context={tokens: "ey.J", "size": "big"}
    )
    text = "mount -o password=hunter2,token=ey.J,big\nfailed\x1b[31m" + "x" * 5000
    async with driver(tmp_path / "s", NodePublishVolume=refusing(grpc.StatusCode.INTERNAL, text)) as client:
        with pytest.raises(errors.DriverFault) as caught:
            await client.node.publish_volume(request)
    assert str(caught.value).startswith("NodePublishVolume: mount -o password=***,token=***,big failed [31mxxx")
    assert len(str(caught.value)) < 1100
    assert caught.value.__cause__ is None
    seen = caplog.text + repr(caught.value) + shown(request)
    assert "hunter2" not in seen
    assert "ey.J" not in seen
    assert 'volume_id: "v"' in shown(request)
    assert request.secrets["password"] == "hunter2"


async def test_pages_that_have_no_end(tmp_path: Path) -> None:
    """All entries in order; a token that was there before ends it."""

    async def pages(request: csi.ListVolumesRequest, _context: Any) -> csi.ListVolumesResponse:
        answer = csi.ListVolumesResponse(next_token={"": "2", "2": "3"}.get(request.starting_token, "2"))
        answer.entries.add().volume.volume_id = request.starting_token or "1"
        return answer

    async with driver(tmp_path / "s", ListVolumes=pages) as client:
        seen = []
        with pytest.raises(errors.BadAnswer, match="pages lead back"):
            async for entry in client.controller.volumes(page=1):
                seen.append(entry.volume.volume_id)  # noqa: PERF401 - an error comes in between
    assert seen == ["1", "2", "3"]


async def test_statistics(tmp_path: Path) -> None:
    """The last entry of a unit counts, one of no unit does not; what is not said is None."""
    answer = csi.NodeGetVolumeStatsResponse()
    for unit, total in ((csi.VolumeUsage.BYTES, 1), (csi.VolumeUsage.UNKNOWN, 2), (csi.VolumeUsage.BYTES, 3)):
        answer.usage.add(unit=unit, total=total)
    async with driver(tmp_path / "s", NodeGetVolumeStats=giving(answer)) as client:
        found = await client.node.stats(csi.NodeGetVolumeStatsRequest())
    assert (found.usage_bytes, found.usage_inodes, found.condition) == (Usage(total=3, used=0, available=0), None, None)


@pytest.mark.parametrize(
    "address", ["", "tcp://127.0.0.1:1", "csi.sock", "unix://csi.sock", "unix:///", f"/{'x' * 107}"]
)
def test_only_unix_sockets(address: str) -> None:
    """Absolute paths that a socket can have, with or without the scheme."""
    with pytest.raises(ValueError, match="unix socket"):
        Endpoint(address)


async def test_a_call_of_many_answers(tmp_path: Path) -> None:
    """Each as it comes; an error after some of them has its class, and no secret; who stops listening is told as CANCELLED."""
    told = []

    async def allocated(request: csi.GetMetadataAllocatedRequest, context: Any) -> AsyncIterator[Any]:
        for number in range(2):
            yield csi.GetMetadataAllocatedResponse(volume_capacity_bytes=number)
        if request.snapshot_id == "gone":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no snapshot for hunter2")

    async with driver(tmp_path / "s", GetMetadataAllocated=allocated) as client:  # type: ignore[arg-type]
        endpoint = Endpoint(f"{client.endpoint.path}", ended=lambda method, code, _: told.append((method, code)))
        listen = Client(endpoint).snapshot_metadata.allocated
        request = csi.GetMetadataAllocatedRequest(snapshot_id="s", secrets={"a": "hunter2"})
        assert [each.volume_capacity_bytes async for each in listen(request)] == [0, 1]
        request.snapshot_id = "gone"
        answers = listen(request)
        assert [(await anext(answers)).volume_capacity_bytes for _ in range(2)] == [0, 1]
        with pytest.raises(errors.NotFound, match=r"no snapshot for \*\*\*"):
            await anext(answers)
        async with contextlib.aclosing(listen(request)) as answers:
            await anext(answers)
    path = "/csi.v1.SnapshotMetadata/GetMetadataAllocated"
    assert told == [(path, "OK"), (path, "NOT_FOUND"), (path, "CANCELLED")]
