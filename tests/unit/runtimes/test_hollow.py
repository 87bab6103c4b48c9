"""The hollow runtime: what it remembers and tells, though nothing runs."""

import asyncio

import msgspec
import pytest

from proto import cri_pb2 as cri
from runtimes import errors
from runtimes.hollow.factory import hollow_runtime
from runtimes.hollow.images import HollowImages
from runtimes.hollow.runtime import EXIT_AFTER, EXIT_CODE, HollowRuntime, HollowSettings

POD = "io.kubernetes.pod.uid"


IMAGE = cri.ImageSpec(image="localhost/any:1")


async def hollow(**options: object) -> HollowRuntime:
    """With one image."""
    images = HollowImages()
    await images.pull_image(cri.PullImageRequest(image=IMAGE))
    return HollowRuntime(msgspec.convert(options, HollowSettings), images)


async def make(runtime: HollowRuntime, uid: str, **annotations: str) -> tuple[str, str]:
    """A sandbox and a started container."""
    metadata = cri.PodSandboxMetadata(name=uid, namespace="n", uid=uid)
    config = cri.PodSandboxConfig(metadata=metadata, labels={POD: uid}, annotations=annotations)
    sandbox_id = (await runtime.run_pod_sandbox(cri.RunPodSandboxRequest(config=config))).pod_sandbox_id
    container = cri.ContainerConfig(metadata=cri.ContainerMetadata(name="c"), image=IMAGE, labels={POD: uid})
    request = cri.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=container)
    container_id = (await runtime.create_container(request)).container_id
    await runtime.start_container(cri.StartContainerRequest(container_id=container_id))
    return sandbox_id, container_id


async def state_of(runtime: HollowRuntime, container_id: str) -> tuple[int, int, str]:
    status = (await runtime.container_status(cri.ContainerStatusRequest(container_id=container_id))).status
    return status.state, status.exit_code, status.reason


async def test_a_pods_life_is_told() -> None:
    """Sandbox up, container created, started, stopped, sandbox stopped and removed: an event each, and nothing is left."""
    runtime = await hollow()
    events = runtime.events()
    sandbox_id, container_id = await make(runtime, "u1")
    assert (await state_of(runtime, container_id))[0] == cri.CONTAINER_RUNNING
    await runtime.stop_container(cri.StopContainerRequest(container_id=container_id, timeout=5))
    assert await state_of(runtime, container_id) == (cri.CONTAINER_EXITED, 137, "Error")
    await runtime.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))
    await runtime.remove_pod_sandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))
    told = [await anext(events) for _ in range(7)]
    assert [(event.container_id, event.container_event_type) for event in told] == [
        (sandbox_id, cri.CONTAINER_CREATED_EVENT),
        (sandbox_id, cri.CONTAINER_STARTED_EVENT),
        (container_id, cri.CONTAINER_CREATED_EVENT),
        (container_id, cri.CONTAINER_STARTED_EVENT),
        (container_id, cri.CONTAINER_STOPPED_EVENT),
        (sandbox_id, cri.CONTAINER_STOPPED_EVENT),
        (sandbox_id, cri.CONTAINER_DELETED_EVENT),
    ]
    assert not (await runtime.list_pod_sandbox(cri.ListPodSandboxRequest())).items
    assert not (await runtime.list_containers(cri.ListContainersRequest())).containers
    with pytest.raises(errors.NotFound):
        await state_of(runtime, container_id)


async def test_pods_are_told_apart() -> None:
    """A label selector finds one pod's; every pod has an address of its own."""
    runtime = await hollow(subnet="198.18.0.0/29")
    made = {uid: await make(runtime, uid) for uid in ("u1", "u2")}
    chosen = cri.PodSandboxFilter(label_selector={POD: "u2"})
    found = (await runtime.list_pod_sandbox(cri.ListPodSandboxRequest(filter=chosen))).items
    assert [item.id for item in found] == [made["u2"][0]]
    containers = cri.ListContainersRequest(filter=cri.ContainerFilter(label_selector={POD: "u1"}))
    assert [item.id for item in (await runtime.list_containers(containers)).containers] == [made["u1"][1]]
    statuses = [
        (await runtime.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))).status
        for sandbox_id, _ in made.values()
    ]
    assert [status.network.ip for status in statuses] == ["198.18.0.2", "198.18.0.3"]


async def test_containers_end_as_annotated() -> None:
    """After the given time, with the given code; an annotation that is no number is refused when the container is started."""
    runtime = await hollow()
    events = runtime.events()
    _, container_id = await make(runtime, "u1", **{EXIT_AFTER: "0.001", EXIT_CODE: "3"})
    async with asyncio.timeout(30):
        while (await anext(events)).container_event_type != cri.CONTAINER_STOPPED_EVENT:
            pass
    assert await state_of(runtime, container_id) == (cri.CONTAINER_EXITED, 3, "Error")
    with pytest.raises(errors.InvalidArgument, match="exit-after"):
        await make(runtime, "u2", **{EXIT_AFTER: "soon"})


def test_options_are_checked() -> None:
    """An unknown or wrong option is named."""
    with pytest.raises(ValueError, match=r"options: .*slow"):
        hollow_runtime("hollow", {"options": {"slow": True}})
    with pytest.raises(ValueError, match="options: "):
        hollow_runtime("hollow", {"options": {"subnet": "nowhere"}})


async def fates(seed: str) -> list[tuple[bool, bool]]:
    """Of ten pods: whether the first try of the sandbox failed, and whether the container crashes."""
    found = []
    for number in range(10):
        runtime = await hollow(seed=seed, failures=0.4, crashes=0.4, crashAfterSeconds=0.0)
        failed = False
        while True:
            try:
                _, container_id = await make(runtime, f"u{number}")
                break
            except errors.Unavailable:
                failed = True
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        found.append((failed, (await state_of(runtime, container_id))[1] == 1))
    return found


async def test_seeds_repeat() -> None:
    """The same seed and names: the same failures and crashes; a failed sandbox leaves its name free, and succeeds in the end."""
    first = await fates("a")
    assert first == await fates("a")
    assert first != await fates("b")
    assert {failed for failed, _ in first} == {crashed for _, crashed in first} == {True, False}


async def test_times_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed and names: as long to come up, and as long to stop."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for seed in ("a", "a", "b"):
        runtime = await hollow(seed=seed, startSeconds=2.0, stopSeconds=1.0, spread=0.5)
        _, container_id = await make(runtime, "u1")
        await runtime.stop_container(cri.StopContainerRequest(container_id=container_id))
    first, again, other = slept[:3], slept[3:6], slept[6:]  # of each the pull of the image, the start, the stop
    assert first == again
    assert [one != two for one, two in zip(first, other, strict=True)] == [False, True, True]


async def test_pulls_fail_by_the_seed_and_succeed_in_the_end() -> None:
    """An image is there after a pull that was none of the failed ones; then it is there at once."""
    made = hollow_runtime("hollow", {"options": {"failures": 0.7, "seed": "3"}})
    request, failed = cri.PullImageRequest(image=IMAGE), 0
    while True:
        try:
            await made.images.pull_image(request)
            break
        except errors.Unavailable:
            failed += 1
    assert failed > 0
    for _ in range(20):
        await made.images.pull_image(request)
