"""From API objects to files: ConfigMaps, Secrets, the downward API; and what is wrong with the references."""

import base64
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import (
    ConfigMap,
    DownwardAPIVolumeFile,
    KeyToPath,
    Secret,
)

from nodeagent.api import errors
from nodeagent.volumes.contract import VolumeError
from nodeagent.volumes.types.atomic_writer import FileEntry
from nodeagent.volumes.types.config_map import CONFIG_MAP
from nodeagent.volumes.types.downward_api import downward_payload
from nodeagent.volumes.types.payload_budget import Measure, PayloadBudget
from nodeagent.volumes.types.payload_volume import nested_mount_points
from nodeagent.volumes.types.secret import SECRET


class Objects:
    """Has `name: cm` and `name: s`; everything else is not found, but `broken`, which nobody knows."""

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        if name == "broken":
            raise RuntimeError('object "ns"/"broken" not registered')
        if name != "cm":
            raise errors.not_found("configmaps", name)
        return ConfigMap(data={"a": "1", "b": "2"}, binaryData={"c": base64.b64encode(b"\xff").decode()})

    async def get_secret(self, namespace: str, name: str) -> Secret:
        if name != "s":
            raise errors.not_found("secrets", name)
        return Secret(data={"k": base64.b64encode(b"v").decode()})


def measure() -> Measure:
    return PayloadBudget().volume("u", "v").__enter__()


def entry(data: bytes, mode: int = 0o644, uid: int | None = None) -> FileEntry:
    return FileEntry(data=data, mode=mode, uid=uid)


async def test_every_key_of_a_config_map_is_a_file() -> None:
    """data and binaryData, at the default mode."""
    payload = await CONFIG_MAP.fetch(Objects(), "ns", "cm", items=None, optional=False, mode=0o644)
    assert payload == {"a": entry(b"1"), "b": entry(b"2"), "c": entry(b"\xff")}


async def test_items_choose_keys_paths_and_modes() -> None:
    """Only the chosen keys are there, at their paths."""
    items = [KeyToPath(key="a", path="x/y", mode=0o400), KeyToPath(key="b", path="z")]
    payload = await CONFIG_MAP.fetch(Objects(), "ns", "cm", items=items, optional=False, mode=0o640, uid=5)
    assert payload == {"x/y": entry(b"1", 0o400, 5), "z": entry(b"2", 0o640, 5)}


@pytest.mark.parametrize(
    ("kind", "name", "key", "message"),
    [
        ("config_map", "none", "", 'configmap "none" not found'),
        ("config_map", "cm", "no", "configmap references non-existent config key: no"),
        ("secret", "none", "", 'secret "none" not found'),
        ("secret", "s", "no", "references non-existent secret key: no"),
    ],
)
async def test_missing_objects_and_keys(kind: str, name: str, key: str, message: str) -> None:
    """They are errors in the kubelet's words, unless the source is optional: then what is missing is left out."""
    fetch: Any = (CONFIG_MAP if kind == "config_map" else SECRET).fetch
    items = [KeyToPath(key=key, path="p")] if key else None
    with pytest.raises(VolumeError) as caught:
        await fetch(Objects(), "ns", name, items=items, optional=False, mode=0o644)
    assert str(caught.value) == message
    assert await fetch(Objects(), "ns", name, items=items, optional=True, mode=0o644) == {}


async def test_optional_only_forgives_absence() -> None:
    """An object whose state is not known fails the volume, optional or not."""
    with pytest.raises(VolumeError, match='object "ns"/"broken" not registered'):
        await CONFIG_MAP.fetch(Objects(), "ns", "broken", items=None, optional=True, mode=0o644)


async def test_downward_errors_are_told_all_at_once(pod_of: Any) -> None:
    """Each wrong item is named."""
    items = msgspec.convert(
        [
            {"path": "a", "fieldRef": {"fieldPath": "status.podIP"}},
            {"path": "b", "resourceFieldRef": {"containerName": "none", "resource": "limits.cpu"}},
            {"path": "c", "fieldRef": {"fieldPath": "metadata.name"}},
        ],
        list[DownwardAPIVolumeFile],
    )
    with pytest.raises(VolumeError) as caught:
        await downward_payload(pod_of({"containers": []}), items, 0o644, {}, measure(), {})
    assert str(caught.value) == "[unsupported fieldPath: status.podIP, container none not found]"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/etc", "/etc/app"], ("app",)),
        (["/etc", "/etc/app/x", "/etc/app"], ("app",)),
        (["/etc", "/etcetera"], ()),
        (["/", "/a/b", "/c"], ("a/b", "c")),
        (["/etc", "/etc"], ()),
        (["/etc", "/etc/../x"], ()),
        (["/etc", "/etc/a/..b"], ("a/..b",)),
        (["/etc", "/etc/..b"], ()),
        (["/etc", *(f"/etc/{n}/x" for n in range(20_000))], tuple(sorted(f"{n}/x" for n in range(20_000)))),
    ],
)
def test_mount_points_inside_a_volume(pod_of: Any, paths: list[str], expected: tuple[str, ...]) -> None:
    """Paths below the volume's own, the outermost only: what is deeper is made inside the other volume."""
    mounts = [{"name": "outer" if index == 0 else "other", "mountPath": path} for index, path in enumerate(paths)]
    pod = pod_of({"containers": [{"name": "c", "volumeMounts": mounts}]})
    assert nested_mount_points(pod).get("outer", ()) == expected


def test_mount_points_inside_a_part_of_a_volume(pod_of: Any) -> None:
    """What is mounted below a subPath mount is made in that part; below another volume, in that one."""
    mounts = [
        {"name": "outer", "mountPath": "/o"},
        {"name": "outer", "mountPath": "/o/part", "subPath": "s"},
        {"name": "other", "mountPath": "/o/part/x"},
        {"name": "other", "mountPath": "/o/other"},
        {"name": "outer", "mountPath": "/o/other/again"},
    ]
    pod = pod_of({"containers": [{"name": "c", "volumeMounts": mounts}]})
    assert nested_mount_points(pod) == {"outer": ("other", "part"), "other": ("again",)}
