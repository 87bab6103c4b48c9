"""Requests that cannot be carried out: each is refused, with nothing left of the attempt."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.contract import LocalStreaming, StreamSession
from runtimes.testing.subject import Subject

pytestmark = pytest.mark.asyncio

UNKNOWN = "0" * 64


@pytest.mark.parametrize("identity", [UNKNOWN, "no-such-thing"])
async def test_streams_of_what_is_not_there(runtime: Subject, identity: str) -> None:
    """Exec, attach and port-forward of an unknown id are NotFound, as every other verb is."""
    process: Any = {"container_id": identity, "stdout": True}
    streaming = runtime.streaming
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: streaming.open_exec(cri.ExecRequest(cmd=["true"], **process)),
        lambda: streaming.open_attach(cri.AttachRequest(**process)),
        lambda: streaming.open_port(identity, 80),
    ]
    for call in calls:
        with pytest.raises(errors.NotFound):
            await call()


async def test_empty_ids(runtime: Subject) -> None:
    """No id is nobody's id, however many there are."""
    pod = await runtime.run_sandbox()
    container_id = await runtime.launch(pod, runtime.container_config())
    service = runtime.service
    for call in (
        service.pod_sandbox_status(cri.PodSandboxStatusRequest()),
        service.start_container(cri.StartContainerRequest()),
        service.container_status(cri.ContainerStatusRequest()),
        service.exec_sync(cri.ExecSyncRequest(cmd=["true"])),
        service.create_container(cri.CreateContainerRequest(config=runtime.container_config(name="other"))),
    ):
        with runtime.refusal(errors.NotFound):
            await call
    assert (await runtime.status(container_id)).state == cri.CONTAINER_RUNNING


@pytest.mark.parametrize("missing", ["config", "metadata"])
async def test_a_sandbox_without_a_name(runtime: Subject, missing: str) -> None:
    """A sandbox needs metadata: nothing could be found again without."""
    config = runtime.sandbox_config()
    config.ClearField("metadata")
    request = cri.RunPodSandboxRequest(runtime_handler=runtime.handler)
    if missing == "metadata":
        request.config.CopyFrom(config)
    before = await runtime.service.list_pod_sandbox(cri.ListPodSandboxRequest())
    with runtime.refusal(errors.InvalidArgument):
        await runtime.service.run_pod_sandbox(request)
    assert await runtime.service.list_pod_sandbox(cri.ListPodSandboxRequest()) == before


@pytest.mark.parametrize("missing", ["config", "metadata", "image"])
async def test_a_container_without_what_it_needs(runtime: Subject, missing: str) -> None:
    """A container needs metadata and an image."""
    pod = await runtime.run_sandbox()
    request = cri.CreateContainerRequest(pod_sandbox_id=pod[0], sandbox_config=pod[1])
    if missing != "config":
        request.config.CopyFrom(runtime.container_config())
        request.config.ClearField(missing)
    with runtime.refusal(errors.NotFound if missing == "image" else errors.InvalidArgument):
        await runtime.service.create_container(request)
    listed = await runtime.service.list_containers(cri.ListContainersRequest())
    assert list(listed.containers) == []


async def test_commands_and_streams_that_are_none(runtime: Subject) -> None:
    """An exec without a command, without any stream, or with a terminal and a stderr of its own; an attach likewise; ports that
    are none."""
    pod = await runtime.run_sandbox()
    container_id = await runtime.launch(pod, runtime.container_config())
    streaming = runtime.streaming
    process: Any = {"container_id": container_id, "cmd": ["true"]}
    taken = []
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "exec sync without a command": lambda: runtime.exec(container_id),
        "exec without a command": lambda: _run(
            streaming.open_exec(cri.ExecRequest(container_id=container_id, stdout=True))
        ),
        "exec without a stream": lambda: _run(streaming.open_exec(cri.ExecRequest(**process))),
        "exec with a terminal and stderr": lambda: _run(
            streaming.open_exec(cri.ExecRequest(tty=True, stdout=True, stderr=True, **process))
        ),
        "attach without a stream": lambda: _run(streaming.open_attach(cri.AttachRequest(container_id=container_id))),
        "port 0": lambda: _read_port(streaming, pod[0], 0),
        "port 65536": lambda: _read_port(streaming, pod[0], 65536),
    }
    for name, call in calls.items():
        try:
            await call()
        except errors.RuntimeFault:
            continue
        taken.append(name)
    assert taken == []
    assert (await runtime.exec(container_id, "true")).exit_code == 0


async def _run(opening: Awaitable[StreamSession]) -> None:
    session = await opening
    try:
        async for _ in session.output():
            pass
        await session.wait()
    finally:
        await session.close()


async def _read_port(streaming: LocalStreaming, sandbox_id: str, port: int) -> None:
    connection = await streaming.open_port(sandbox_id, port)
    try:
        await connection.read(1)
    finally:
        await connection.close()


async def test_privileged_needs_a_privileged_sandbox(runtime: Subject) -> None:
    """A container cannot have more than its sandbox was allowed."""
    runtime.needs("privileged by the sandbox", "validation")
    pod, config = await runtime.run_sandbox(), runtime.container_config()
    config.linux.security_context.privileged = True
    with runtime.refusal(errors.InvalidArgument, match="privileged"):
        await runtime.create(pod, config)
