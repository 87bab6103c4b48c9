"""What the agent writes for one pod has bounds, over all the volumes that it fills itself."""

import base64
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import ConfigMap, Secret, Volume
from volume_subjects import projected_sources

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeSource
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.pod_volumes import PodRequests
from nodeagent.volumes.types import payload_volume
from nodeagent.volumes.types.config_map import CONFIG_MAP
from nodeagent.volumes.types.downward_api import DownwardAPIPlugin, aggregate
from nodeagent.volumes.types.object_keys import ObjectKeysPlugin
from nodeagent.volumes.types.payload_budget import MAX_BYTES, MAX_ENTRIES, OverBudget, PayloadBudget
from nodeagent.volumes.types.payload_volume import PayloadVolume
from nodeagent.volumes.types.projected import ProjectedPlugin
from nodeagent.volumes.types.secret import SECRET

MIB = 1024 * 1024
FITS = MAX_BYTES // MIB
BYTES = "may have 67108864 bytes in all"
ENTRIES = "may have 50000 files and folders in all"


class World:
    """Objects of a mebibyte; counts how often one was read."""

    def __init__(self) -> None:
        self.read = 0

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        self.read += 1
        return ConfigMap(data={"k": "x" * MIB})

    async def get_secret(self, namespace: str, name: str) -> Secret:
        self.read += 1
        return Secret(data={"k": base64.b64encode(b"x" * MIB).decode()})

    async def get(self, key: Any) -> Any:
        raise AssertionError

    def forget(self, pod_uid: str) -> None: ...


@pytest.fixture
def plugins(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The four of them with one budget; what they would publish, they do not."""

    async def publish(self: Any, request: Any, payload: Any) -> MountedVolume:
        return MountedVolume(host_path=tmp_path, directory_name=f"{len(payload)}")

    monkeypatch.setattr(PayloadVolume, "publish", publish)
    monkeypatch.setattr(payload_volume, "run_blocking", _at_once)
    world, layout, budget = World(), Layout(tmp_path), PayloadBudget()
    anything: Any = world
    return world, (
        ObjectKeysPlugin(CONFIG_MAP, layout, dict, anything, budget),
        ObjectKeysPlugin(SECRET, layout, dict, anything, budget),
        DownwardAPIPlugin(layout, dict, budget),
        ProjectedPlugin(layout, dict, projected_sources(anything), budget),
    )


async def _at_once(function: Any, *arguments: Any) -> Any:
    return None


async def set_up(plugins: Any, pod_of: Any, volume: dict[str, Any], **metadata: Any) -> str:
    """The number of files, or what is wrong."""
    pod = pod_of({"containers": [], "volumes": [{"name": "v", **volume}]}, **metadata)
    source = VolumeSource(volume=msgspec.convert({"name": "v", **volume}, Volume))
    plugin = next(plugin for plugin in plugins if plugin.supports(source))
    try:
        return (await plugin.publish(PodRequests(pod).of(source))).directory_name
    except VolumeError as error:
        return str(error)


def items(count: int, path: str = "p") -> list[dict[str, str]]:
    return [{"key": "k", "path": f"{path}{number}"} for number in range(count)]


def fields(count: int) -> list[dict[str, Any]]:
    return [{"path": f"p{n}", "fieldRef": {"fieldPath": "metadata.annotations"}} for n in range(count)]


def secrets(count: int) -> list[dict[str, Any]]:
    return [{"secret": {"name": f"s{n}", "items": [{"key": "k", "path": f"p{n}"}]}} for n in range(count)]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({"secret": {"secretName": "s", "items": items(FITS)}}, "64"),
        ({"secret": {"secretName": "s", "items": items(FITS + 1)}}, BYTES),
        ({"configMap": {"name": "c", "items": items(FITS + 1)}}, BYTES),
        ({"configMap": {"name": "c", "items": items(30_000)}}, BYTES),
        ({"projected": {"sources": secrets(FITS)}}, "64"),
        ({"projected": {"sources": secrets(1000)}}, BYTES),
        ({"projected": {"sources": [{"configMap": {"name": "c"}}] * 1000}}, BYTES),  # each of them was read
        ({"downwardAPI": {"items": fields(FITS)}}, "64"),
        ({"downwardAPI": {"items": fields(5000)}}, BYTES),
        ({"projected": {"sources": [{"downwardAPI": {"items": fields(1)}}] * 5000}}, BYTES),
    ],
)
async def test_no_volume_is_larger(plugins: Any, pod_of: Any, volume: dict[str, Any], expected: str) -> None:
    """64 MiB are filled, more are refused: one object under many paths, many objects, annotations again and again."""
    annotations = {"a": "\0" * (MIB // 4 - 2)}  # a byte of it is quoted as four
    found = await set_up(plugins[1], pod_of, volume, annotations=annotations)
    assert expected in found
    assert plugins[0].read <= FITS + 1


async def test_no_volume_has_more_files(plugins: Any, pod_of: Any) -> None:
    """Folders on the way to them count."""
    deep = [{"path": "a/" * 500 + f"{n}", "fieldRef": {"fieldPath": "metadata.name"}} for n in range(101)]
    assert await set_up(plugins[1], pod_of, {"downwardAPI": {"items": deep[:99]}}) == "99"
    assert ENTRIES in await set_up(plugins[1], pod_of, {"downwardAPI": {"items": deep}})
    mounts = [
        {"name": "v", "mountPath": "/v"},
        *({"name": "w", "mountPath": "/v" + "/a" * 600 + f"/{n}"} for n in range(100)),
    ]
    pod = pod_of({"containers": [{"name": "c", "volumeMounts": mounts}]})
    source = VolumeSource(volume=msgspec.convert({"name": "v", "downwardAPI": {"items": []}}, Volume))
    with pytest.raises(OverBudget, match=ENTRIES):
        await plugins[1][2].publish(PodRequests(pod).of(source))


async def test_the_budget_is_the_pods(plugins: Any, pod_of: Any) -> None:
    """Volumes share it; what is set up again, or gone, is not counted twice; a failure leaves what was there counted."""
    budget = PayloadBudget()

    def fill(uid: str, name: str, mib: int) -> str:
        from nodeagent.volumes.types.atomic_writer import FileEntry

        entry = FileEntry(data=b"x" * MIB, mode=0o644)
        try:
            with budget.volume(uid, name) as measure:
                measure.take((f"{number}", entry) for number in range(mib))
        except OverBudget:
            return "too much"
        return "taken"

    assert fill("u", "a", 40) == "taken"
    assert fill("u", "b", 25) == "too much"
    assert fill("u", "b", 24) == "taken"
    assert fill("u", "a", 41) == "too much"
    assert fill("u", "b", 25) == "too much"
    assert fill("u", "a", 40) == "taken"
    assert fill("other", "a", 64) == "taken"
    budget.forget("u", "a")
    budget.forget("u", "a")
    assert fill("u", "c", 40) == "taken"
    for name in "bc":
        budget.forget("u", name)
    budget.forget("other", "a")
    assert fill("u", "d", 65) == "too much"
    assert budget == PayloadBudget()


def test_of_many_errors_the_first_are_told() -> None:
    """Each is text of the pod's; together they are an event."""
    assert aggregate([f"e{n % 30}" for n in range(60)]) == f"[{', '.join(f'e{n}' for n in range(10))}, and 20 more]"
    assert MAX_ENTRIES == 50_000
