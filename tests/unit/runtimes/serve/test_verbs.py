"""Two runtimes behind one socket: who is asked what, and what the client sees."""

import json
from typing import Any

import grpc
import pytest

from proto import cri_pb2 as cri
from runtimes import errors


@pytest.mark.parametrize(("asked", "ran", "named"), [("", "a", "own-a"), ("a", "a", "own-a"), ("b", "b", "own-b")])
async def test_the_handler_chooses(serve: Any, asked: str, ran: str, named: str) -> None:
    """A sandbox runs on the named runtime, under the handler that the runtime itself knows; the empty name is the default."""
    async with serve() as (setup, runtime, _):
        answer = await runtime.RunPodSandbox(cri.RunPodSandboxRequest(runtime_handler=asked))
        assert answer.pod_sandbox_id == f"{ran}-s"
        assert getattr(setup, ran).calls == [("run_pod_sandbox", named)]


async def test_an_unknown_handler(serve: Any, refused: Any) -> None:
    """INVALID_ARGUMENT with the handlers that there are."""
    async with serve() as (_, runtime, _):
        assert await refused(runtime.RunPodSandbox(cri.RunPodSandboxRequest(runtime_handler="kata"))) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            'no runtime for handler "kata" is configured on this node; handlers: a, b',
        )


@pytest.mark.parametrize(
    ("subject", "asked"), [("a-c1", "a"), ("b-c1", "b"), ("b", "b"), ("nobody", "a"), ("", "a")], ids=str
)
async def test_ids_find_their_runtime(serve: Any, subject: str, asked: str) -> None:
    """Whole ids and their beginnings; what nobody knows is the default's to answer."""
    async with serve() as (setup, runtime, _):
        await runtime.StopContainer(cri.StopContainerRequest(container_id=subject, timeout=3))
        request = cri.StopContainerRequest(container_id=subject, timeout=3)
        other = {"a": setup.b, "b": setup.a}[asked]
        assert (getattr(setup, asked).calls, other.calls) == ([("stop_container", request)], [])


async def test_a_beginning_of_two_ids(serve: Any, refused: Any) -> None:
    """Nothing is done, and the client is told why."""
    async with serve() as (setup, runtime, _):
        setup.b.handler = "a"
        code, text = await refused(runtime.RemoveContainer(cri.RemoveContainerRequest(container_id="a-")))
        assert (code, "give more of it" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)
        assert (setup.a.calls, setup.b.calls) == ([], [])


async def test_lists_are_merged(serve: Any, refused: Any) -> None:
    """All containers of all runtimes, streamed in pieces too; one runtime that fails fails the list: absent is not gone."""
    everything = [f"{handler}-c{number}" for handler in "ab" for number in range(120)]
    async with serve() as (setup, runtime, _):
        answer = await runtime.ListContainers(cri.ListContainersRequest())
        assert [item.id for item in answer.containers] == everything
        pieces = [piece async for piece in runtime.StreamContainers(cri.StreamContainersRequest())]
        assert [len(piece.containers) for piece in pieces] == [100, 100, 40]
        assert [item.id for piece in pieces for item in piece.containers] == everything
        setup.b.fault = ValueError("lost")
        assert (await refused(runtime.ListContainers(cri.ListContainersRequest())))[0] is grpc.StatusCode.INTERNAL


async def test_status_of_several_runtimes(serve: Any) -> None:
    """A condition is true when it is for all, else it names the runtime; handlers come by their names here, the default's
    features also under the empty name."""
    async with serve() as (setup, runtime, _):
        setup.b.conditions["RuntimeReady"] = "no such file"
        answer = await runtime.Status(cri.StatusRequest())
    assert list(answer.status.conditions) == [
        cri.RuntimeCondition(type="RuntimeReady", reason="Broken", message="b: no such file"),
        cri.RuntimeCondition(type="NetworkReady", status=True),
    ]
    assert [(item.name, item.features.user_namespaces) for item in answer.runtime_handlers] == [
        ("a", False),
        ("", False),
        ("b", True),
    ]
    assert answer.features.supplemental_groups_policy


async def test_a_runtime_that_could_not_be_started(serve: Any, refused: Any) -> None:
    """Lists, status and ids do without it as long as it has never answered; once it has, its silence is a failure."""
    async with serve() as (setup, runtime, _):
        setup.b.fault = errors.Unavailable("b is not started")
        answer = await runtime.ListContainers(cri.ListContainersRequest())
        assert {item.id[0] for item in answer.containers} == {"a"}
        status = await runtime.Status(cri.StatusRequest(verbose=True))
        assert [item.name for item in status.runtime_handlers] == ["a", ""]
        assert json.loads(status.info["handlers"])["b"] == "not started"
        await runtime.StopContainer(cri.StopContainerRequest(container_id="a-c1"))
        setup.b.fault = None
        assert len((await runtime.ListContainers(cri.ListContainersRequest())).containers) == 240
        setup.b.fault = errors.Unavailable("b went away")
        lists = runtime.ListContainers(cri.ListContainersRequest())
        assert await refused(lists) == (grpc.StatusCode.UNAVAILABLE, "b went away")
        stop = runtime.StopContainer(cri.StopContainerRequest(container_id="nobody"))
        assert (await refused(stop))[0] is grpc.StatusCode.UNAVAILABLE


async def test_version(serve: Any) -> None:
    """Of this program, not of one of its runtimes."""
    async with serve() as (_, runtime, _):
        assert await runtime.Version(cri.VersionRequest()) == cri.VersionResponse(
            version="0.1.0", runtime_name="nodeagent", runtime_version="1.2.3", runtime_api_version="v1"
        )


async def test_streams_by_url(serve: Any, refused: Any) -> None:
    """URLs of this process's streams, or of a runtime that has its own; what cannot work is refused before there is a URL."""
    async with serve() as (setup, runtime, _):
        found = await runtime.Exec(cri.ExecRequest(container_id="a-c1", cmd=["ls"], stdout=True))
        assert found.url == "http://exec/a/a-c1"
        assert (await runtime.Attach(cri.AttachRequest(container_id="a-c1", stdin=True))).url == "http://attach/a/a-c1"
        found = await runtime.PortForward(cri.PortForwardRequest(pod_sandbox_id="a-s", port=[80]))
        assert found.url == "http://ports/a/a-s"
        await runtime.Exec(cri.ExecRequest(container_id="b-c1", cmd=["ls"], stdout=True))
        assert [verb for verb, _ in setup.b.calls] == ["exec"]
        invalid, missing = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
        for expected, call in (
            (invalid, runtime.Exec(cri.ExecRequest(container_id="a-c1", cmd=["ls"]))),
            (invalid, runtime.Exec(cri.ExecRequest(container_id="a-c1", stdout=True))),
            (invalid, runtime.Exec(cri.ExecRequest(container_id="a-c1", cmd=["ls"], tty=True, stderr=True))),
            (invalid, runtime.Attach(cri.AttachRequest(container_id="a-c1"))),
            (invalid, runtime.PortForward(cri.PortForwardRequest(pod_sandbox_id="a-s", port=[0]))),
            (missing, runtime.Attach(cri.AttachRequest(container_id="nobody", stdin=True))),
            (missing, runtime.PortForward(cri.PortForwardRequest(pod_sandbox_id="nobody"))),
        ):
            assert (await refused(call))[0] is expected
        setup.a.container_state = cri.CONTAINER_EXITED
        code, _ = await refused(runtime.Exec(cri.ExecRequest(container_id="a-c1", cmd=["ls"], stdout=True)))
        assert code is grpc.StatusCode.FAILED_PRECONDITION


async def test_images_of_two_stores(serve: Any, refused: Any) -> None:
    """Listed once; found wherever it is; pulled into the default's store, or that of the handler which the image names;
    removed from all."""
    async with serve() as (setup, _, images):
        assert [item.id for item in (await images.ListImages(cri.ListImagesRequest())).images] == ["both", "one", "two"]
        spec = cri.ImageSpec(image="two")
        assert (await images.ImageStatus(cri.ImageStatusRequest(image=spec))).image.id == "two"
        absent = cri.ImageStatusRequest(image=cri.ImageSpec(image="none"))
        assert not (await images.ImageStatus(absent)).HasField("image")
        await images.PullImage(cri.PullImageRequest(image=cri.ImageSpec(image="x")))
        await images.PullImage(cri.PullImageRequest(image=cri.ImageSpec(image="y", runtime_handler="b")))
        await images.RemoveImage(cri.RemoveImageRequest(image=spec))
        assert setup.images_a.calls == [("pull", "x"), ("remove", "two")]
        assert setup.images_b.calls == [("pull", "y"), ("remove", "two")]
        usage = (await images.ImageFsInfo(cri.ImageFsInfoRequest())).image_filesystems
        assert [item.timestamp for item in usage] == [2, 2]
        unknown = cri.PullImageRequest(image=cri.ImageSpec(image="z", runtime_handler="kata"))
        assert (await refused(images.PullImage(unknown)))[0] is grpc.StatusCode.INVALID_ARGUMENT
