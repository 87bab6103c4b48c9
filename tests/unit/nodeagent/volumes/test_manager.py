"""What the volume manager promises, with plugins that do as they are told and a clock that stands."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nodeagent.volumes.contract import MountedVolume, NodeFull, NotYet, VolumeRequest
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import MountFailed, VolumeManager
from nodeagent.volumes.pod_volumes import pod_wide_user, used_volumes


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manager(tmp_path: Path, plugin: Any, events: Any, clock: Clock) -> VolumeManager:
    return VolumeManager(layout=Layout(tmp_path), plugins=[plugin], events=events, clock=clock, sleep=clock.sleep)


def spec(*names: str, used: tuple[str, ...] | None = None, **volumes: Mapping[str, Any]) -> dict[str, Any]:
    """A pod with an emptyDir for each name and the further volumes, all mounted unless `used` says which."""
    declared = [{"name": name, "emptyDir": {}} for name in names]
    declared += [{"name": name, **source} for name, source in volumes.items()]
    wanted = used if used is not None else tuple(str(volume["name"]) for volume in declared)
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in wanted]
    return {"containers": [{"name": "c", "volumeMounts": mounts}], "volumes": declared}


def mounted(name: str) -> MountedVolume:
    return MountedVolume(host_path=Path("/v") / name, directory_name=name)


async def test_used_volumes_are_mounted_once(manager: VolumeManager, plugin: Any, pod_of: Any) -> None:
    """Unreferenced and image volumes are never set up; a second mount answers without asking the plugin."""
    pod = pod_of(spec("a", "b", "unused", used=("a", "b", "img"), img={"image": {"reference": "x"}}))
    expected = {"a": mounted("a"), "b": mounted("b")}
    assert await manager.mount(pod) == expected
    assert await manager.mount(pod) == expected
    assert sorted(plugin.calls) == ["publish a", "publish b"]
    assert manager.mounted("u") == expected


async def test_failures_are_retried_with_growing_pauses_and_an_event_each(
    manager: VolumeManager, plugin: Any, events: Any, clock: Clock, pod_of: Any
) -> None:
    """Back-off starts at 0.5 s and doubles; each failure is a FailedMount event with the kubelet's words."""
    plugin.script["a"] = ["no", "no", "still no", None]
    assert await manager.mount(pod_of(spec("a"))) == {"a": mounted("a")}
    assert clock.slept == [0.5, 1.0, 2.0]
    assert events.seen == [
        ("Warning", "FailedMount", f'MountVolume.SetUp failed for volume "a" : {text}')
        for text in ("no", "no", "still no")
    ]


async def test_what_was_missing_comes(tmp_path: Path, plugin: Any, events: Any, pod_of: Any) -> None:
    """A volume that waits for something that the node hears of is tried as soon as it is there, and not before."""
    came, failed = asyncio.Event(), asyncio.Event()

    async def for_ever(seconds: float) -> None:
        failed.set()
        await asyncio.Event().wait()

    async def publish(request: VolumeRequest) -> MountedVolume:
        plugin.calls.append("publish a")
        if not came.is_set():
            raise NotYet("no driver", came)
        return mounted("a")

    plugin.publish = publish
    manager = VolumeManager(layout=Layout(tmp_path), plugins=[plugin], events=events, sleep=for_ever)
    mounting = asyncio.create_task(manager.mount(pod_of(spec("a"))))
    await failed.wait()
    came.set()
    assert await mounting == {"a": mounted("a")}
    assert plugin.calls == ["publish a"] * 2


async def test_a_node_that_is_full(tmp_path: Path, plugin: Any, events: Any, pod_of: Any) -> None:
    """A volume that finds no room until its pod has waited long enough: the pod is told, as it will not do here."""

    async def publish(request: VolumeRequest) -> MountedVolume:
        raise NodeFull("too many disks")

    plugin.publish = publish
    manager = VolumeManager(layout=Layout(tmp_path), plugins=[plugin], events=events, wait_seconds=0.05)
    with pytest.raises(MountFailed) as caught:
        await manager.mount(pod_of(spec("a")))
    assert caught.value.node_full == "too many disks"


async def test_back_off_has_a_ceiling(manager: VolumeManager, plugin: Any, clock: Clock, pod_of: Any) -> None:
    """Pauses grow to 122 s and no further."""
    plugin.script["a"] = ["no"] * 11 + [None]
    await manager.mount(pod_of(spec("a")))
    assert clock.slept[-4:] == [64.0, 122.0, 122.0, 122.0]


async def test_a_volume_that_does_not_come_in_time(
    tmp_path: Path, plugin: Any, events: Any, clock: Clock, pod_of: Any
) -> None:
    """The others stay mounted; the error lists what is missing and is, as a kubelet's time-out, no event of its own."""

    async def never(seconds: float) -> None:
        await asyncio.Event().wait()

    manager = VolumeManager(
        layout=Layout(tmp_path), plugins=[plugin], events=events, wait_seconds=0.001, clock=clock, sleep=never
    )
    plugin.script["a"] = ["no"]
    with pytest.raises(MountFailed) as caught:
        await manager.mount(pod_of(spec("a", "b")))
    assert str(caught.value) == (
        "Unable to attach or mount volumes: unmounted volumes=[a], unattached volumes=[], "
        "failed to process volumes=[]: timed out waiting for the condition"
    )
    assert not caught.value.event_worthy
    assert manager.mounted("u") == {"b": mounted("b")}


async def test_a_volume_of_an_unknown_type_fails_at_once(
    manager: VolumeManager, plugin: Any, events: Any, clock: Clock, pod_of: Any
) -> None:
    """The error names volume and type and is an event; the pod's other volumes get one try, without waiting."""
    plugin.script["a"] = ["no"]
    with pytest.raises(MountFailed) as caught:
        await manager.mount(pod_of(spec("a", claim={"persistentVolumeClaim": {"claimName": "c"}})))
    assert str(caught.value) == (
        "Unable to attach or mount volumes: unmounted volumes=[a claim], unattached volumes=[], failed to process "
        'volumes=[claim]: volume "claim": this node does not support volumes of type persistentVolumeClaim'
    )
    assert caught.value.event_worthy
    assert clock.slept == []
    assert len(events.seen) == 1


async def test_errors_of_the_system_are_failures_too(
    manager: VolumeManager, plugin: Any, events: Any, pod_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError that a volume type did not foresee is retried and shown like any other."""
    publish, failures = plugin.publish, [OSError(28, "No space left on device", "/v/a")]

    async def failing(request: Any) -> MountedVolume:
        if failures:
            raise failures.pop()
        return await publish(request)

    monkeypatch.setattr(plugin, "publish", failing)
    assert await manager.mount(pod_of(spec("a"))) == {"a": mounted("a")}
    assert [message for _, _, message in events.seen] == [
        "MountVolume.SetUp failed for volume \"a\" : [Errno 28] No space left on device: '/v/a'"
    ]


async def test_cancelled_mount_stops_trying(manager: VolumeManager, plugin: Any, pod_of: Any) -> None:
    """When the pod is to end, nothing of its mounts goes on in the background."""
    plugin.script["a"] = ["no"] * 1_000_000
    task = asyncio.create_task(manager.mount(pod_of(spec("a"))))
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(plugin.calls) > 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    tries = len(plugin.calls)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(plugin.calls) == tries


async def test_refresh_sets_live_volumes_up_again(
    manager: VolumeManager, plugin: Any, events: Any, clock: Clock, pod_of: Any
) -> None:
    """Only for types that follow objects; a failure is an event, backs off, and leaves the volume mounted."""
    pod = pod_of(spec("a"))
    await manager.mount(pod)
    await manager.refresh(pod)
    assert plugin.calls == ["publish a"]
    plugin.republish = True
    plugin.script["a"] = ["gone"]
    await manager.refresh(pod)
    await manager.refresh(pod)
    assert plugin.calls == ["publish a"] * 2
    assert events.seen == [("Warning", "FailedMount", 'MountVolume.SetUp failed for volume "a" : gone')]
    assert manager.mounted("u") == {"a": mounted("a")}
    clock.now += 0.5
    await manager.refresh(pod)
    assert plugin.calls == ["publish a"] * 3


async def test_a_changed_source_is_not_left_to_a_back_off(manager: VolumeManager, plugin: Any, pod_of: Any) -> None:
    """What failed may work with what is there now."""
    pod = pod_of(spec("a"))
    plugin.republish = True
    await manager.mount(pod)
    plugin.script["a"] = ["gone", "gone"]
    await manager.refresh(pod)
    await manager.refresh(pod)
    assert plugin.calls == ["publish a"] * 2
    await manager.refresh(pod, anew=True)
    await manager.refresh(pod, anew=True)
    assert plugin.calls == ["publish a"] * 4


async def test_a_refresh_that_comes_too_late_mounts_nothing(
    manager: VolumeManager, plugin: Any, pod_of: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where it has to wait for the teardown, it finds nothing of the pod any more."""
    (tmp_path / "pods/u/volumes/test~scripted/a").mkdir(parents=True)
    pod = pod_of(spec("a"))
    plugin.republish = True
    await manager.mount(pod)
    begun, gate, unpublish = asyncio.Event(), asyncio.Event(), plugin.unpublish

    async def slow(uid: str, directory_name: str) -> None:
        begun.set()
        await gate.wait()
        await unpublish(uid, directory_name)

    monkeypatch.setattr(plugin, "unpublish", slow)
    ending = asyncio.create_task(manager.unmount("u"))
    await begun.wait()
    late = asyncio.create_task(manager.refresh(pod))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(ending, late)
    assert plugin.calls == ["publish a", "unpublish a"]


async def test_refresh_of_a_pod_that_is_not_mounted_does_nothing(
    manager: VolumeManager, plugin: Any, pod_of: Any
) -> None:
    """There is nothing to bring up to date."""
    await manager.refresh(pod_of(spec("a")))
    assert plugin.calls == []


async def test_unmount_takes_down_what_the_disk_shows(manager: VolumeManager, plugin: Any, tmp_path: Path) -> None:
    """After a restart nothing is remembered; the directories name plugin and volume. Unknown types are unmounted too."""
    for directory in ("test~scripted/a", "test~scripted/b", "gone~plugin/c"):
        (tmp_path / "pods/u/volumes" / directory).mkdir(parents=True)
    await manager.unmount("u")
    assert sorted(plugin.calls) == ["unpublish a", "unpublish b"]
    assert not (tmp_path / "pods/u/volumes/gone~plugin/c").exists()


async def test_unmount_of_nothing_is_fine(manager: VolumeManager, plugin: Any) -> None:
    """A pod that never had volumes, or has none any more."""
    await manager.unmount("u")
    assert plugin.calls == []


async def test_all_failed_unmounts_are_reported(manager: VolumeManager, plugin: Any, tmp_path: Path) -> None:
    """One failing volume does not keep the others up, and every error is told."""
    for name in ("a", "b", "c"):
        (tmp_path / "pods/u/volumes/test~scripted" / name).mkdir(parents=True)
    plugin.script = {"a": ["busy a"], "c": ["busy c"]}
    with pytest.raises(ExceptionGroup) as caught:
        await manager.unmount("u")
    assert [str(error) for error in caught.value.exceptions] == ["busy a", "busy c"]
    assert "unpublish b" in plugin.calls


async def test_a_pod_mounts_again_after_unmount(manager: VolumeManager, plugin: Any, pod_of: Any) -> None:
    """Unmount forgets what was set up."""
    pod = pod_of(spec("a"))
    await manager.mount(pod)
    await manager.unmount("u")
    await manager.mount(pod)
    assert plugin.calls == ["publish a", "publish a"]


def test_volumes_of_every_kind_of_container_count(pod_of: Any) -> None:
    """Init, regular and ephemeral containers, mounts and devices."""
    pod = pod_of(
        {
            "volumes": [{"name": name} for name in "abcde"],
            "initContainers": [{"name": "i", "volumeMounts": [{"name": "a", "mountPath": "/a"}]}],
            "containers": [{"name": "c", "volumeDevices": [{"name": "b", "devicePath": "/dev/b"}]}],
            "ephemeralContainers": [{"name": "e", "volumeMounts": [{"name": "d", "mountPath": "/d"}]}],
        }
    )
    assert [volume.name for volume in used_volumes(pod)] == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("pod_user", "users", "expected"),
    [
        (None, [None], None),
        (1, [None, None], 1),
        (1, [None, 2], None),
        (None, [2, 2], 2),
        (None, [2, None], None),
        (1, [0, 0], 0),
    ],
)
def test_the_pod_wide_user(pod_of: Any, pod_user: int | None, users: list[int | None], expected: int | None) -> None:
    """Known only when every container runs as the same explicit user."""
    containers = [
        {"name": f"c{index}", **({"securityContext": {"runAsUser": user}} if user is not None else {})}
        for index, user in enumerate(users)
    ]
    pod = pod_of({"containers": containers, "securityContext": {"runAsUser": pod_user} if pod_user else {}})
    assert pod_wide_user(pod.spec) == expected
