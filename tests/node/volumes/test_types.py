"""Every built-in volume type on the real kernel, from set-up to nothing being left."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod
from components import cannot_be_tested
from lightkube.models.core_v1 import ConfigMap, Secret

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import MountedVolume
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.pod_folder import remove_pod_folder
from runtimes.linux.mounts import is_mount_point

pytestmark = pytest.mark.node

TOKEN = {
    "name": "kube-api-access",
    "projected": {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ],
    },
}


def files(directory: Path) -> dict[str, tuple[str, int]]:
    """Visible path -> (content, mode)."""
    found = (Path(parent, name) for parent, _, names in os.walk(directory, followlinks=True) for name in names)
    return {
        str(path.relative_to(directory)): (path.read_text(), stat.S_IMODE(path.stat().st_mode))
        for path in found
        if not str(path.relative_to(directory)).startswith("..")
    }


def mount_options(path: Path) -> tuple[str, set[str]]:
    """(file system type, options) of the mount at `path`."""
    fields = next(
        line.split() for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1] == str(path)
    )
    return fields[2], set(fields[3].split(","))


async def test_empty_dir_on_disk(manager: VolumeManager, root: Path, pod_of: Any) -> None:
    """A directory open to all; what a container wrote survives a repeated mount and is gone after unmount."""
    pod = pod_of([{"name": "scratch", "emptyDir": {}}])
    (mounted,) = (await manager.mount(pod)).values()
    path = root / "pods/uid-1/volumes/kubernetes.io~empty-dir/scratch"
    assert mounted == MountedVolume(host_path=path, directory_name="scratch", relabel=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    assert stat.S_IMODE((root / "pods/uid-1").stat().st_mode) == 0o750
    assert (root / "pods/uid-1/plugins/kubernetes.io~empty-dir/scratch/ready").exists()
    (path / "dir").mkdir()
    (path / "dir/file").write_text("data")
    assert (await manager.mount(pod))["scratch"] == mounted
    assert (path / "dir/file").read_text() == "data"
    await manager.unmount("uid-1")
    assert not path.exists()


async def test_empty_dir_in_memory(manager: VolumeManager, root: Path, pod_of: Any) -> None:
    """A tmpfs of the size limit; without one, of what the node has for pods; full is full."""
    pod = pod_of(
        [
            {"name": "small", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "large", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ]
    )
    mounted = await manager.mount(pod)
    small, large = mounted["small"].host_path, mounted["large"].host_path
    assert mount_options(small)[0] == "tmpfs"
    assert "size=1024k" in mount_options(small)[1]
    assert "size=65536k" in mount_options(large)[1]
    assert stat.S_IMODE(small.stat().st_mode) & 0o777 == 0o777
    with pytest.raises(OSError, match="No space left"):
        (small / "big").write_bytes(bytes(2 << 20))
    await manager.unmount("uid-1")
    assert not small.exists()


async def test_a_volume_in_memory_is_resized_while_it_is_used(
    manager: VolumeManager, sources: Any, pod_of: Any
) -> None:
    """It grows and shrinks with its own limit and with its pod's, keeps what is in it, and no smaller than that."""

    def pod(limit: str, memory: str) -> AgentPod:
        volume = {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": limit, "mode": 0o1777}}
        return pod_of([volume], resources={"limits": {"memory": memory}})

    path = (await manager.mount(pod("1Mi", "32Mi")))["scratch"].host_path
    (path / "kept").write_bytes(bytes(1 << 20))
    for limit, memory, size in (("8Mi", "32Mi", "8192k"), ("8Mi", "4Mi", "4096k"), ("1Mi", "4Mi", "1024k")):
        await manager.refresh(pod(limit, memory), anew=True)
        assert f"size={size}" in mount_options(path)[1]
    await manager.refresh(pod("512Ki", "4Mi"), anew=True)
    assert "size=1024k" in mount_options(path)[1]
    assert sources.events == [
        (
            "Warning",
            "FailedMount",
            'MountVolume.SetUp failed for volume "scratch" : cannot resize to 524288 bytes: 1048576 are in use',
        )
    ]
    assert ((path / "kept").stat().st_size, stat.S_IMODE(path.stat().st_mode)) == (1 << 20, 0o1777)
    await manager.unmount("uid-1")


async def test_empty_dir_belongs_to_the_pods_group(manager: VolumeManager, pod_of: Any) -> None:
    """fsGroup owns the directory, and files made in it inherit the group."""
    pod = pod_of([{"name": "scratch", "emptyDir": {}}], securityContext={"fsGroup": 2000})
    path = (await manager.mount(pod))["scratch"].host_path
    status = path.stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (2000, 0o2777)
    await manager.unmount("uid-1")


_LABELS = [{"path": "k", "fieldRef": {"fieldPath": "metadata.labels"}}]
_DEEP = [{"key": "k", "path": "dir/k"}]


@pytest.mark.parametrize(
    ("given", "found"),
    [(0o400, 0o440), (0o440, 0o440), (0o600, 0o640), (0o644, 0o644), (0o755, 0o755), (0o000, 0o440), (0o777, 0o777)],
)
async def test_what_the_agent_writes_is_read_only_to_the_group(
    manager: VolumeManager, sources: Any, pod_of: Any, given: int, found: int
) -> None:
    """fsGroup adds r-- to the files of configMap, secret, downwardAPI and projected volumes, at first and after an update."""
    sources.config_maps["c"], sources.secrets["s"] = ConfigMap(data={"k": "1"}), Secret(data={"k": "MQ=="})
    pod = pod_of(
        [
            {"name": "config", "configMap": {"name": "c", "defaultMode": given}},
            {"name": "secret", "secret": {"secretName": "s", "defaultMode": given}},
            {"name": "info", "downwardAPI": {"items": _LABELS, "defaultMode": given}},
            {"name": "all", "projected": {"defaultMode": given, "sources": [{"configMap": {"name": "c"}}]}},
            {"name": "item", "configMap": {"name": "c", "items": [{"key": "k", "path": "k", "mode": given}]}},
        ],
        securityContext={"fsGroup": 2000},
    )
    mounted = await manager.mount(pod)

    def seen() -> set[tuple[int, int]]:
        statuses = [(volume.host_path / "k").stat() for volume in mounted.values()]
        return {(status.st_gid, stat.S_IMODE(status.st_mode)) for status in statuses}

    assert seen() == {(2000, found)}
    sources.config_maps["c"], sources.secrets["s"] = ConfigMap(data={"k": "2"}), Secret(data={"k": "Mg=="})
    pod.metadata.labels["new"] = "label"
    await manager.refresh(pod)
    assert (mounted["all"].host_path / "k").read_text() == "2"
    assert seen() == {(2000, found)}
    await manager.unmount("uid-1")


async def test_folders_of_a_payload_belong_to_the_group(manager: VolumeManager, sources: Any, pod_of: Any) -> None:
    """They can be entered and listed by the group and hand it on; nothing else than before may be written in them."""
    sources.config_maps["c"] = ConfigMap(data={"k": "1"})
    pod = pod_of([{"name": "config", "configMap": {"name": "c", "items": _DEEP}}], securityContext={"fsGroup": 2000})
    path = (await manager.mount(pod))["config"].host_path
    seen = {name: (path / name).stat() for name in (".", "..data/", "dir")}
    assert {name: (status.st_gid, stat.S_IMODE(status.st_mode)) for name, status in seen.items()} == {
        ".": (2000, 0o2777),
        "..data/": (2000, 0o2755),
        "dir": (2000, 0o2777 & ~_umask()),
    }
    await manager.unmount("uid-1")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_config_map(manager: VolumeManager, sources: Any, pod_of: Any) -> None:
    """Every key is a file; an update replaces all of them at once; the mount is read-only to containers."""
    sources.config_maps["settings"] = ConfigMap(data={"a": "1", "b": "2"}, binaryData={"c": "AP8="})
    pod = pod_of([{"name": "config", "configMap": {"name": "settings"}}])
    mounted = (await manager.mount(pod))["config"]
    assert mounted.read_only_forced
    path = mounted.host_path
    assert (path / "c").read_bytes() == b"\x00\xff"
    payload = os.readlink(path / "..data")
    await manager.refresh(pod)
    assert os.readlink(path / "..data") == payload
    sources.config_maps["settings"] = ConfigMap(data={"a": "new"})
    await manager.refresh(pod)
    assert files(path) == {"a": ("new", 0o644)}
    assert sorted(os.listdir(path)) == [os.readlink(path / "..data"), "..data", "a"]
    await manager.unmount("uid-1")
    assert not path.exists()


async def test_secret_is_in_memory(manager: VolumeManager, sources: Any, pod_of: Any) -> None:
    """A secret is on a tmpfs, with the modes that were asked for, and never on disk."""
    sources.secrets["s"] = Secret(data={"user": "YWxpY2U=", "password": "c2VzYW1l"})
    items = [{"key": "user", "path": "login/user"}, {"key": "password", "path": "pw", "mode": 0o400}]
    pod = pod_of([{"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o440, "items": items}}])
    path = (await manager.mount(pod))["secret"].host_path
    assert mount_options(path)[0] == "tmpfs"
    assert files(path) == {"login/user": ("alice", 0o440), "pw": ("sesame", 0o400)}
    await manager.unmount("uid-1")
    assert not path.exists()


async def test_downward_api(manager: VolumeManager, sources: Any, pod_of: Any) -> None:
    """Labels and resources as text; an unset memory limit is the node's."""
    items = [
        {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
        {
            "path": "memory",
            "resourceFieldRef": {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"},
        },
    ]
    pod = pod_of([{"name": "info", "downwardAPI": {"items": items}}])
    path = (await manager.mount(pod))["info"].host_path
    assert files(path) == {"labels": ('app="x"', 0o644), "memory": ("64", 0o644)}
    assert pod.metadata is not None
    pod.metadata.labels = {"app": "y", "tier": 'a"b'}
    await manager.refresh(pod)
    assert files(path)["labels"] == ('app="y"\ntier="a\\"b"', 0o644)
    await manager.unmount("uid-1")


async def test_projected_token_volume(manager: VolumeManager, sources: Any, pod_of: Any) -> None:
    """The volume that every pod has: token, CA and namespace; a new token arrives by refresh; teardown forgets it."""
    sources.config_maps["kube-root-ca.crt"] = ConfigMap(data={"ca.crt": "CA"})
    pod = pod_of([TOKEN], serviceAccountName="robot")
    path = (await manager.mount(pod))["kube-api-access"].host_path
    expected = {"token": ("token-1", 0o644), "ca.crt": ("CA", 0o644), "namespace": ("ns", 0o644)}
    assert files(path) == expected
    (key,) = sources.token_keys
    assert (key.namespace, key.service_account, key.pod_name, key.pod_uid) == ("ns", "robot", "p", "uid-1")
    assert (key.audiences, key.expiration_seconds) == ((), 3607)
    sources.token = "token-2"
    await manager.refresh(pod)
    assert files(path) == {**expected, "token": ("token-2", 0o644)}
    await manager.unmount("uid-1")
    assert sources.forgotten == ["uid-1"]
    assert not path.exists()


@pytest.mark.parametrize(
    ("security", "owner", "mode"),
    [
        ({"runAsUser": 1000}, (1000, 0), 0o600),
        ({"fsGroup": 2000}, (0, 2000), 0o640),
        ({"runAsUser": 1000, "fsGroup": 2000}, (1000, 2000), 0o640),
    ],
)
async def test_tokens_are_private(
    manager: VolumeManager, sources: Any, pod_of: Any, security: dict[str, int], owner: tuple[int, int], mode: int
) -> None:
    """A token is readable by the pod's one user, or by its group, and by nobody else."""
    sources.config_maps["kube-root-ca.crt"] = ConfigMap(data={"ca.crt": "CA"})
    pod = pod_of([TOKEN], securityContext=security)
    token = (await manager.mount(pod))["kube-api-access"].host_path / "token"
    status = token.stat()
    assert ((status.st_uid, status.st_gid), stat.S_IMODE(status.st_mode)) == (owner, mode)
    await manager.unmount("uid-1")


async def test_host_path_is_used_as_it_is(manager: VolumeManager, tmp_path: Path, root: Path, pod_of: Any) -> None:
    """The container gets the host's path itself, which stays when the pod goes; a missing directory is made if asked."""
    made = tmp_path / "a/b"
    pod = pod_of([{"name": "host", "hostPath": {"path": str(made), "type": "DirectoryOrCreate"}}])
    mounted = (await manager.mount(pod))["host"]
    assert mounted == MountedVolume(host_path=made, directory_name="host")
    await manager.unmount("uid-1")
    assert stat.S_IMODE(made.stat().st_mode) == 0o755


async def test_mount_points_inside_a_read_only_volume_are_made(manager: VolumeManager, sources: Any) -> None:
    """A volume mounted below another one finds its mount point, although the outer one is read-only to the container."""
    sources.config_maps["settings"] = ConfigMap(data={"a": "1"})
    mounts = [{"name": "outer", "mountPath": "/etc/app"}, {"name": "inner", "mountPath": "/etc/app/cache/x"}]
    pod = agent_pod(
        {
            "metadata": {"name": "p", "namespace": "ns", "uid": "uid-1"},
            "spec": {
                "containers": [{"name": "main", "volumeMounts": mounts}],
                "volumes": [
                    {"name": "outer", "configMap": {"name": "settings"}},
                    {"name": "inner", "emptyDir": {}},
                ],
            },
        },
    )
    path = (await manager.mount(pod))["outer"].host_path
    assert (path / "cache/x").is_dir()
    sources.config_maps["settings"] = ConfigMap(data={"a": "2"})
    await manager.refresh(pod)
    assert (path / "cache/x").is_dir()
    await manager.unmount("uid-1")
    assert not path.exists()


async def test_huge_pages(manager: VolumeManager, pod_of: Any) -> None:
    """A hugetlbfs of the one page size that the pod requests."""
    if not Path("/sys/kernel/mm/hugepages/hugepages-2048kB").exists():
        cannot_be_tested("huge pages (this kernel has none of 2 MiB)")
    pod = pod_of([{"name": "huge", "emptyDir": {"medium": "HugePages"}}])
    assert pod.spec is not None
    from lightkube.models.core_v1 import ResourceRequirements

    pod.spec.containers[0].resources = ResourceRequirements(limits={"hugepages-2Mi": "4Mi"})
    path = (await manager.mount(pod))["huge"].host_path
    kind, options = mount_options(path)
    assert (kind, "pagesize=2M" in options) == ("hugetlbfs", True)
    await manager.unmount("uid-1")
    assert not is_mount_point(path)


async def test_forgotten_pods_go_with_their_mounts(
    manager: VolumeManager, root: Path, sources: Any, pod_of: Any, manager_of: Any
) -> None:
    """After a restart nothing is remembered: a pod's volumes are found on disk, unmounted, and its folder can be removed."""
    sources.secrets["s"] = Secret(data={"k": "dg=="})
    volumes = [{"name": "secret", "secret": {"secretName": "s"}}, {"name": "scratch", "emptyDir": {}}]
    for uid in ("uid-1", "uid-2"):
        await manager.mount(pod_of(volumes, uid=uid))
    later = manager_of(root, sources)

    async def end(uid: str) -> None:
        await later.unmount(uid)
        remove_pod_folder(root / "pods" / uid)

    await end("uid-1")
    await end("uid-1")
    assert os.listdir(Layout(root).pods_dir) == ["uid-2"]
    await later.mount(pod_of(volumes, uid="uid-2"))
    await end("uid-2")
    assert os.listdir(Layout(root).pods_dir) == []
