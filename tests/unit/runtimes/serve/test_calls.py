"""Every method of the CRI, its errors, and the read-only socket."""

from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.cri.factory import cri_runtime
from runtimes.serve.calls import LOOKING, PermissionDenied, status_code

FAULTS = [
    errors.InvalidArgument,
    errors.NotSupported,
    errors.NotFound,
    errors.AlreadyExists,
    errors.WrongState,
    errors.Unavailable,
    errors.Timeout,
    errors.ResourceExhausted,
    errors.Internal,
    errors.RuntimeFault,
]


def methods() -> list[tuple[str, bool]]:
    services = cri.DESCRIPTOR.services_by_name
    return [
        (method.name, method.server_streaming)
        for name in ("RuntimeService", "ImageService")
        for method in services[name].methods
    ]


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_fault_comes_through(serve: Any, tmp_path: Path, kind: type[errors.RuntimeFault]) -> None:
    """What a runtime raises is raised again by runtimes/cri at the other end: the class, and the words."""
    async with serve() as (setup, _, _):
        setup.a.fault = kind("its words")
        made = cri_runtime("x", {"endpoint": f"unix://{tmp_path}/cri.sock"})
        with pytest.raises(errors.RuntimeFault) as caught:
            await made.service.start_container(cri.StartContainerRequest(container_id="a-c1"))
        await made.lifecycle.stop()
    assert (type(caught.value), caught.value.message) == (kind, "its words")


async def test_a_bug_is_internal_and_a_long_story_is_cut(serve: Any, refused: Any) -> None:
    """Any other exception is INTERNAL, with its text; a text longer than clients take is cut, not lost."""
    async with serve() as (setup, runtime, _):
        start = cri.StartContainerRequest(container_id="a-c1")
        setup.a.fault = RuntimeError("surprise")
        assert await refused(runtime.StartContainer(start)) == (
            grpc.StatusCode.INTERNAL,
            "StartContainer: surprise",
        )
        setup.a.fault = errors.Internal("ü" * 100_000)
        code, text = await refused(runtime.StartContainer(start))
        assert (code, text[:10], len(text) < 2000) == (grpc.StatusCode.INTERNAL, "ü" * 10, True)


async def test_every_method_is_there(serve: Any) -> None:
    """No method of either service is unknown to the server: what one cannot do, its runtime says."""
    lacking = []
    async with serve() as (_, runtime, images):
        for name, streaming in methods():
            stub = getattr(runtime, name, None) or getattr(images, name)
            if name == "GetContainerEvents":
                continue
            try:
                call = stub(getattr(cri, f"{name}Request")())
                _ = [found async for found in call] if streaming else await call
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    lacking.append((name, error.details()))
    assert lacking == []


async def test_a_read_only_socket_changes_nothing(serve: Any) -> None:
    """Every method that does more than look is PERMISSION_DENIED, and says what to switch; no runtime hears of it."""
    denied = set()
    async with serve(denial="flip the switch") as (setup, runtime, images):
        for name, streaming in methods():
            stub = getattr(runtime, name, None) or getattr(images, name)
            if name == "GetContainerEvents":
                continue
            try:
                call = stub(getattr(cri, f"{name}Request")())
                _ = [found async for found in call] if streaming else await call
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                    assert error.details() == f"{name}: flip the switch"
                    denied.add(name)
        changes = {verb for verb, _ in (*setup.a.calls, *setup.b.calls)}
        assert (setup.images_a.calls, setup.images_b.calls) == ([], [])
    assert denied == {
        *("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "UpdatePodSandboxResources"),
        *("CreateContainer", "StartContainer", "StopContainer", "RemoveContainer", "UpdateContainerResources"),
        *("ReopenContainerLog", "ExecSync", "Exec", "Attach", "PortForward", "CheckpointContainer"),
        *("UpdateRuntimeConfig", "PullImage", "RemoveImage"),
    }
    assert all(verb.startswith(("list_", "container_stats", "pod_sandbox_stats", "runtime_config")) for verb in changes)


def test_codes() -> None:
    """Every fault has a code that gRPC knows; what looks is what its name says."""
    assert {kind: status_code(kind("")) for kind in (errors.NotFound, errors.StateInUse, PermissionDenied)} == {
        errors.NotFound: grpc.StatusCode.NOT_FOUND,
        errors.StateInUse: grpc.StatusCode.UNAVAILABLE,
        PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    }
    assert LOOKING.fullmatch("ContainerStatus") and LOOKING.fullmatch("Status")
    assert not LOOKING.fullmatch("UpdateRuntimeConfig")
