"""What the nfs type runs on the host, and what it makes of the answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lightkube.models.core_v1 import PersistentVolume, Volume

from nodeagent.volumes.contract import MountedVolume, VolumeError, VolumeSource, VolumeUsage
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.pod_volumes import PodRequests
from nodeagent.volumes.types import nfs
from nodeagent.volumes.types.nfs import Export, NfsPlugin, export_of
from runtimes.linux.process import Completed, ProcessTimeout

INLINE = {"name": "v", "nfs": {"server": "srv", "path": "/export"}}
CLAIM = {"name": "v", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}}


def source_of(volume: dict[str, Any], **spec: Any) -> VolumeSource:
    persistent = msgspec.convert({"metadata": {"name": "pv"}, "spec": spec}, PersistentVolume) if spec else None
    return VolumeSource(volume=msgspec.convert(volume, Volume), persistent_volume=persistent)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (source_of(INLINE), Export(source="srv:/export", options=(), read_only=False)),
        (
            source_of({"name": "v", "nfs": {"server": "fd00::1", "path": "/", "readOnly": True}}),
            Export(source="[fd00::1]:/", options=("ro",), read_only=True),
        ),
        (
            source_of(CLAIM, nfs={"server": "srv", "path": "/x"}, mountOptions=["nfsvers=4.1", "soft"]),
            Export(source="srv:/x", options=("ro", "nfsvers=4.1", "soft"), read_only=True),
        ),
        (source_of({"name": "v", "emptyDir": {}}), None),
        (source_of(CLAIM, hostPath={"path": "/x"}), None),
    ],
)
def test_what_a_volume_declares(source: VolumeSource, expected: Export | None) -> None:
    """In a pod or behind a claim, whose mount options it has."""
    assert export_of(source) == expected


class Host:
    """Programs that are only written down. `table`: what is mounted; `script`: by program, what each of its next runs does."""

    def __init__(self) -> None:
        self.table: list[str] = []
        self.ran: list[tuple[str, ...]] = []
        self.script: dict[str, list[str]] = {}

    async def run(self, argv: Sequence[str], *, timeout_seconds: float) -> Completed:
        self.ran.append(tuple(argv))
        step = (self.script.get(argv[0]) or ["ok"]).pop(0)
        if step == "hangs":
            raise ProcessTimeout(argv, timeout_seconds)
        if argv[0] == "mount" and step in ("ok", "half"):
            self.table.append(argv[-1])
        if argv[0] == "umount" and step == "ok":
            self.table.remove(argv[-1])
        if step.isdigit():
            return Completed(argv=tuple(argv), returncode=0, stdout=b"4096 100 40 30 50 20", stderr=b"")
        return Completed(argv=tuple(argv), returncode=0 if step == "ok" else 32, stdout=b"", stderr=step.encode())


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host()
    monkeypatch.setattr(nfs.mountinfo, "mount_points", lambda: host.table)
    return host


@pytest.fixture
def plugin(host: Host, tmp_path: Path) -> NfsPlugin:
    return NfsPlugin(Layout(tmp_path), host.run)


async def publish(plugin: NfsPlugin, pod_of: Any, source: VolumeSource) -> MountedVolume:
    return await plugin.publish(PodRequests(pod_of({"containers": [{"name": "c"}]})).of(source))


async def test_it_is_mounted_and_unmounted_by_the_hosts_programs(
    plugin: NfsPlugin, host: Host, tmp_path: Path, pod_of: Any
) -> None:
    """Once, with its options, into the pod's directory; a mounted one is only looked at."""
    source = source_of(CLAIM, nfs={"server": "srv", "path": "/x"}, mountOptions=["soft"])
    path = tmp_path / "pods/u/volumes/kubernetes.io~nfs/pv"
    expected = MountedVolume(host_path=path, directory_name="pv", read_only_forced=True)
    assert await publish(plugin, pod_of, source) == expected
    assert await publish(plugin, pod_of, source) == expected
    await plugin.unpublish("u", "pv")
    await plugin.unpublish("u", "pv")
    assert host.ran == [
        ("mount", "-t", "nfs", "-o", "ro,soft", "--", "srv:/x", str(path)),
        ("stat", "--file-system", "--", str(path)),
        ("umount", "--", str(path)),
    ]
    assert not path.exists()


@pytest.mark.parametrize("how", ["no such export", "half", "hangs"])
async def test_a_mount_that_fails_leaves_nothing(plugin: NfsPlugin, host: Host, pod_of: Any, how: str) -> None:
    """Whatever is there of it goes, and the error says of what, and why."""
    host.script["mount"] = [how]
    with pytest.raises(VolumeError) as caught:
        await publish(plugin, pod_of, source_of(INLINE))
    expected = "did not finish within 120s" if how == "hangs" else f"mount of srv:/export failed: {how}"
    assert expected in str(caught.value)
    assert host.table == []


async def test_what_the_server_has_forgotten_is_mounted_anew(plugin: NfsPlugin, host: Host, pod_of: Any) -> None:
    """A stale mount is taken down first; one whose server does not answer is not touched."""
    await publish(plugin, pod_of, source_of(INLINE))
    host.script["stat"] = ["Stale file handle", "hangs"]
    await publish(plugin, pod_of, source_of(INLINE))
    await publish(plugin, pod_of, source_of(INLINE))
    assert [argv[0] for argv in host.ran] == ["mount", "stat", "umount", "mount", "stat"]


async def test_force_is_for_a_server_that_does_not_answer(plugin: NfsPlugin, host: Host, pod_of: Any) -> None:
    """What is in use stays mounted, and nothing that others ask of the server is ended."""
    path = (await publish(plugin, pod_of, source_of(INLINE))).host_path
    host.script["umount"] = ["target is busy"]
    with pytest.raises(VolumeError, match="target is busy"):
        await plugin.unpublish("u", "v")
    assert path.is_dir()
    host.script["umount"] = ["hangs", "ok"]
    await plugin.unpublish("u", "v")
    assert host.ran[-1] == ("umount", "--internal-only", "--force", "--", str(path))
    assert not path.exists()


async def test_its_usage_is_asked_with_a_deadline(plugin: NfsPlugin, host: Host, pod_of: Any) -> None:
    """Of the server, by a program; one that fails is told."""
    mounted = await publish(plugin, pod_of, source_of(INLINE))
    host.script["stat"] = ["1", "Stale file handle"]
    assert await plugin.usage(mounted) == VolumeUsage(
        capacity_bytes=409600,
        available_bytes=122880,
        used_bytes=245760,
        inodes=50,
        inodes_free=20,
        inodes_used=30,
    )
    with pytest.raises(VolumeError, match="Stale file handle"):
        await plugin.usage(mounted)
