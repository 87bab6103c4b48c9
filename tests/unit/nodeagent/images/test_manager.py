import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from lightkube.models.core_v1 import Secret

from nodeagent.images.manager import EnsuredImage, ImageFailure, ImageManager, ImageRequest, ImageTarget, default_policy
from nodeagent.images.pulling import PullLimits
from proto import cri_pb2 as cri
from runtimes.errors import Internal, NotFound, RuntimeFault, Unavailable

NORMAL, WARNING = "Normal", "Warning"
PULLING = (NORMAL, "Pulling", 'Pulling image "app:1"')
PULLED = (
    NORMAL,
    "Pulled",
    'Successfully pulled image "app:1" in 1.25s (1.25s including waiting). Image size: 42 bytes.',
)


@pytest.fixture
def manager(events: Any, clock: Any) -> ImageManager:
    return ImageManager(events, clock=clock)


async def failure(
    manager: ImageManager, pod: Any, wanted: ImageRequest, service: Any, *secrets: Secret
) -> ImageFailure:
    with pytest.raises(ImageFailure) as raised:
        await manager.ensure_image(pod, wanted, ImageTarget(service=service), secrets)
    return raised.value


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("r.example/a", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@sha256:" + "0" * 64, "IfNotPresent"),
        ("a:latest@sha256:" + "0" * 64, "IfNotPresent"),
        ("!", "IfNotPresent"),
    ],
)
def test_default_policy(image: str, policy: str) -> None:
    """The API's default for an empty policy."""
    assert default_policy(image) == policy


async def test_absent_is_pulled(manager: ImageManager, make_pod: Any, service: Any, events: Any) -> None:
    """IfNotPresent pulls what is absent, with the pod's annotations, and says what it is; then it is there."""
    pod = make_pod(annotations={"a": "b"})
    wanted = ImageRequest(image="app:1", pull_policy="IfNotPresent", field_path="spec.containers{c}")
    sandbox = cri.PodSandboxConfig(hostname="h")
    place = ImageTarget(service=service, runtime_handler="kata", sandbox_config=sandbox)
    expected = EnsuredImage(image_ref="sha256:app:1", image=cri.Image(id="sha256:app:1", size=42))
    assert await manager.ensure_image(pod, wanted, place) == expected
    assert {event[3] for event in events.seen} == {"spec.containers{c}"}
    assert events.take() == [PULLING, PULLED]
    spec = cri.ImageSpec(image="app:1", annotations={"a": "b"}, runtime_handler="kata")
    assert service.requests == [cri.PullImageRequest(image=spec, sandbox_config=sandbox)]
    assert await manager.ensure_image(pod, wanted, place) == expected
    assert events.take() == [(NORMAL, "Pulled", 'Container image "app:1" already present on machine')]
    assert len(service.requests) == 1


async def test_always(manager: ImageManager, make_pod: Any, service: Any, events: Any) -> None:
    """Always asks the registry each time, and a missing tag is written out."""
    for _ in range(2):
        await manager.ensure_image(make_pod(), ImageRequest(image="app"), ImageTarget(service=service))
    assert [r.image.image for r in service.requests] == ["app:latest", "app:latest"]
    assert events.take()[0] == (NORMAL, "Pulling", 'Pulling image "app:latest"')


async def test_never(manager: ImageManager, make_pod: Any, service: Any, events: Any) -> None:
    """Never takes what is there and pulls nothing."""
    wanted = ImageRequest(image="app:1", pull_policy="Never")
    message = 'Container image "app:1" is not present with pull policy of Never'
    error = await failure(manager, make_pod(), wanted, service)
    assert (error.reason, error.message, error.retry_after_seconds) == ("ErrImageNeverPull", message, None)
    assert events.take() == [(WARNING, "ErrImageNeverPull", message)]
    service.images["app:1"] = cri.Image(id="sha256:x")
    assert (await manager.ensure_image(make_pod(), wanted, ImageTarget(service=service))).image_ref == "sha256:x"
    assert service.requests == []


async def test_bad_name(manager: ImageManager, make_pod: Any, service: Any, events: Any) -> None:
    """A name that is none is told in full and reaches no runtime."""
    error = await failure(manager, make_pod(), ImageRequest(image="a b"), service)
    message = 'Failed to apply default image tag "a b": couldn\'t parse image name "a b": invalid reference format'
    assert (error.reason, error.message) == ("InvalidImageName", message)
    assert events.take() == [(WARNING, "InspectFailed", message)]


async def test_runtime_does_not_answer(manager: ImageManager, make_pod: Any, service: Any, events: Any) -> None:
    """A runtime that cannot say whether the image is there is an ImageInspectError."""
    service.status_error = Unavailable("no connection")
    error = await failure(manager, make_pod(), ImageRequest(image="app:1"), service)
    message = 'Failed to inspect image "": rpc error: code = Unavailable desc = no connection'
    assert (error.reason, error.message) == ("ImageInspectError", message)
    assert events.take() == [(WARNING, "InspectFailed", message)]


class Unknown(RuntimeFault):
    """An error without a better code."""


@pytest.mark.parametrize(
    ("fault", "event", "reason", "message"),
    [
        (NotFound("no a"), "rpc error: code = NotFound desc = no a", "ErrImagePull", None),
        (Internal("x"), "rpc error: code = Internal desc = x", "ErrImagePull", None),
        (Unknown("plain"), "plain", "ErrImagePull", None),
        (
            Unknown("RegistryUnavailable: 503"),
            "RegistryUnavailable: 503",
            "RegistryUnavailable",
            "image pull failed for app:1 because the registry is unavailable: 503",
        ),
        (
            Unknown("SignatureValidationFailed: bad key"),
            "SignatureValidationFailed: bad key",
            "SignatureValidationFailed",
            "image pull failed for app:1 because the signature validation failed: bad key",
        ),
    ],
)
async def test_failed_pull(
    manager: ImageManager,
    make_pod: Any,
    service: Any,
    events: Any,
    fault: RuntimeFault,
    event: str,
    reason: str,
    message: str | None,
) -> None:
    """The runtime's words are in the event and in the message, then repeated while the back-off lasts."""
    service.answers = [fault]
    error = await failure(manager, make_pod(), ImageRequest(image="app:1"), service)
    message = message or event
    assert (error.reason, error.message, error.retry_after_seconds) == (reason, message, 10.0)
    assert events.take() == [PULLING, (WARNING, "Failed", f'Failed to pull image "app:1": {event}')]
    error = await failure(manager, make_pod(), ImageRequest(image="app:1"), service)
    assert (error.reason, error.message) == (
        "ImagePullBackOff",
        f'Back-off pulling image "app:1": {reason}: {message}',
    )
    assert events.take() == [(NORMAL, "BackOff", 'Back-off pulling image "app:1"')]


async def test_backoff_sequence(manager: ImageManager, make_pod: Any, service: Any, clock: Any) -> None:
    """10 s doubling to 300 s after each failure; a success in between does not reset it; 600 s of quiet do."""
    service.answers = [NotFound("x")] * 100
    delays = []
    for _ in range(7):
        error = await failure(manager, make_pod(), ImageRequest(image="app:1", pull_policy="Always"), service)
        delays.append(error.retry_after_seconds)
        clock.now += (error.retry_after_seconds or 0) - 0.5
        held = await failure(manager, make_pod(), ImageRequest(image="app:1", pull_policy="Always"), service)
        assert (held.reason, held.retry_after_seconds) == ("ImagePullBackOff", 0.5)
        clock.now += 0.5
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    service.answers = [None, NotFound("x"), NotFound("x")]
    await manager.ensure_image(
        make_pod(), ImageRequest(image="app:1", pull_policy="Always"), ImageTarget(service=service)
    )
    error = await failure(manager, make_pod(), ImageRequest(image="app:1", pull_policy="Always"), service)
    assert error.retry_after_seconds == 300
    clock.now += 601
    error = await failure(manager, make_pod(), ImageRequest(image="app:1", pull_policy="Always"), service)
    assert error.retry_after_seconds == 10


async def test_backoff_is_per_pod_and_image(manager: ImageManager, make_pod: Any, service: Any) -> None:
    """Another pod, or another image, is not held back; a present image is used whatever happened before."""
    service.answers = [NotFound("x")]
    await failure(manager, make_pod("one"), ImageRequest(image="app:1"), service)
    await manager.ensure_image(make_pod("two"), ImageRequest(image="app:1"), ImageTarget(service=service))
    await manager.ensure_image(make_pod("one"), ImageRequest(image="app:2"), ImageTarget(service=service))
    await manager.ensure_image(make_pod("one"), ImageRequest(image="app:1"), ImageTarget(service=service))


async def run_five(manager: ImageManager, make_pod: Any, service: Any) -> None:
    service.gate.clear()
    places = [ImageTarget(service=service)] * 5
    calls = [
        asyncio.create_task(manager.ensure_image(make_pod(), ImageRequest(image=f"app:{n}"), place))
        for n, place in enumerate(places)
    ]
    for _ in range(50):
        await asyncio.sleep(0)
    service.gate.set()
    await asyncio.gather(*calls)


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (3, 3), (None, 5)])
async def test_parallel_pulls(
    events: Any, clock: Any, make_pod: Any, service: Any, limit: int | None, most: int
) -> None:
    """No more pulls at once than configured, in the order of asking."""
    manager = ImageManager(events, limits=PullLimits(max_parallel=limit), clock=clock)
    await run_five(manager, make_pod, service)
    assert service.most_running == most
    assert [r.image.image for r in service.requests] == [f"app:{n}" for n in range(5)]


async def test_time_with_waiting(manager: ImageManager, make_pod: Any, service: Any, events: Any) -> None:
    """The event tells the pull alone and the pull with its wait for a turn."""
    await run_five(manager, make_pod, service)
    pulled = [message for _, reason, message in events.take() if reason == "Pulled"]
    assert pulled[4] == ('Successfully pulled image "app:4" in 1.25s (6.25s including waiting). Image size: 42 bytes.')


async def test_rate(events: Any, clock: Any, make_pod: Any, service: Any) -> None:
    """Over the rate a pull fails at once and is held back like any failure; 0 is no limit."""
    manager = ImageManager(events, limits=PullLimits(qps=0.1, burst=2), clock=clock)
    for n in range(2):
        await manager.ensure_image(make_pod(), ImageRequest(image=f"app:{n}"), ImageTarget(service=service))
    error = await failure(manager, make_pod(), ImageRequest(image="app:9"), service)
    assert (error.reason, error.message) == ("ErrImagePull", "pull QPS exceeded")
    clock.now += 20
    await manager.ensure_image(make_pod(), ImageRequest(image="app:9"), ImageTarget(service=service))
    unlimited = ImageManager(events, limits=PullLimits(qps=0, burst=1), clock=clock)
    for n in range(20):
        await unlimited.ensure_image(make_pod(), ImageRequest(image=f"other:{n}"), ImageTarget(service=service))


async def test_credentials_in_turn(
    manager: ImageManager,
    make_pod: Any,
    make_secret: Callable[..., Secret],
    service: Any,
    logins: Any,
) -> None:
    """All fitting logins are tried, the most specific first; only without any the pull is anonymous."""
    secrets = [
        make_secret({"r.example": "a:1", "r.example/team": "b:2", "other.example": "c:3"}),
        make_secret({"r.example": "d:4"}, name="t"),
    ]
    service.answers = [Unknown("no b"), Unknown("no a"), None]
    wanted = ImageRequest(image="r.example/team/app:1")
    await manager.ensure_image(make_pod(), wanted, ImageTarget(service=service), secrets)
    assert logins(service.requests) == ["b:2", "a:1", "d:4"]
    service.requests.clear()
    await manager.ensure_image(
        make_pod(), ImageRequest(image="free.example/app:1"), ImageTarget(service=service), secrets
    )
    assert logins(service.requests) == [""]


async def test_errors_of_all_credentials(
    manager: ImageManager, make_pod: Any, make_secret: Callable[..., Secret], service: Any
) -> None:
    """Several errors are told together, equal ones once; there is no anonymous attempt after them."""
    secret = make_secret({"r.example": "a:1", "r.example/app": "b:2", "*.example": "c:3"})
    service.answers = [Unknown("no"), Unknown("nope"), Unknown("no")]
    error = await failure(manager, make_pod(), ImageRequest(image="r.example/app:1"), service, secret)
    assert error.message == "[no, nope]"
    assert len(service.requests) == 3


async def test_broken_secret(
    manager: ImageManager, make_pod: Any, make_secret: Callable[..., Secret], service: Any
) -> None:
    """A secret that cannot be read fails the pull with the reason; a present image needs no secret."""
    secret = Secret(type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": "bm90IGpzb24="})
    error = await failure(manager, make_pod(), ImageRequest(image="app:1"), service, secret)
    assert (error.reason, error.message[:36]) == ("ErrImagePull", "docker configuration is not JSON: Ex")
    service.images["app:1"] = cri.Image(id="sha256:x")
    await manager.ensure_image(make_pod(), ImageRequest(image="app:1"), ImageTarget(service=service), [secret])


async def test_cancelled(manager: ImageManager, make_pod: Any, service: Any) -> None:
    """A pod that goes away while its image is pulled leaves its turn to the next and no back-off."""
    service.gate.clear()
    first = asyncio.create_task(
        manager.ensure_image(make_pod(), ImageRequest(image="app:1"), ImageTarget(service=service))
    )
    second = asyncio.create_task(
        manager.ensure_image(make_pod(), ImageRequest(image="app:2"), ImageTarget(service=service))
    )
    for _ in range(20):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    service.gate.set()
    await second
    await manager.ensure_image(make_pod(), ImageRequest(image="app:1"), ImageTarget(service=service))
