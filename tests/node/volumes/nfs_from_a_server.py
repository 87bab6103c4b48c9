"""What a real NFS server and client do to volumes. Run by test_nfs.py, inside a kernel that has both."""

import os
from pathlib import Path
from typing import Any

import msgspec
import nfs_server
import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import PersistentVolume, Volume

from nodeagent.volumes.contract import VolumeError, VolumeSource
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.pod_volumes import PodRequests
from nodeagent.volumes.types.nfs import NfsPlugin
from runtimes.linux.mounts import mounts_below

pytestmark = pytest.mark.node


def request_of(declared: dict[str, Any], *, read_only: bool = False) -> Any:
    claim = {"claimName": "c", "readOnly": read_only}
    volume = msgspec.convert({"name": "v", "persistentVolumeClaim": claim}, Volume)
    bound = msgspec.convert({"metadata": {"name": "pv"}, "spec": declared}, PersistentVolume)
    pod = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": [{"name": "c"}]}}
    return PodRequests(agent_pod(pod)).of(VolumeSource(volume=volume, persistent_volume=bound))


async def test_what_is_mounted_from_a_server(root: Path) -> None:
    """With the volume's options, and read-only where it is to be; what is in use stays mounted."""
    plugin = NfsPlugin(Layout(root))
    with nfs_server.exported() as declared:
        path = (await plugin.publish(request_of(declared))).host_path
        (path / "file").write_text("kept")
        descriptor = os.open(path / "file", os.O_RDONLY)
        with pytest.raises(VolumeError, match="busy"):
            await plugin.unpublish("u", "pv")
        os.close(descriptor)
        await plugin.unpublish("u", "pv")
        declared["mountOptions"] = [*declared["mountOptions"], "noatime"]
        mounted = await plugin.publish(request_of(declared, read_only=True))
        (line,) = [line for line in Path("/proc/mounts").read_text().splitlines() if str(path) in line]
        assert {"ro", "noatime", "vers=4.2"} <= set(line.split()[3].split(","))
        assert (mounted.read_only_forced, (path / "file").read_text()) == (True, "kept")
        with pytest.raises(OSError, match="Read-only file system"):
            (path / "new").write_text("x")
        await plugin.unpublish("u", "pv")


async def test_what_cannot_be_mounted_from_a_server(root: Path) -> None:
    """What it does not export: the error is the server's, and nothing is left."""
    plugin = NfsPlugin(Layout(root))
    with nfs_server.exported() as declared:
        declared["nfs"]["path"] = "/none"
        with pytest.raises(VolumeError, match=r"^mount of 127\.0\.0\.1:/none failed: mount: "):
            await plugin.publish(request_of(declared))
    assert mounts_below(root) == []
