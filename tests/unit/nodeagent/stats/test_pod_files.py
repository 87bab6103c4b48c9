"""What a pod's logs and hosts file take of the node's disk."""

from pathlib import Path

from nodeagent.stats.disk_usage import DiskUsage
from nodeagent.stats.pod_files import PodFilesReader
from nodeagent.stats.pods import PodStats
from proto import cri_pb2 as cri


def pod(uid: str, name: str = "web") -> PodStats:
    return PodStats(namespace="shop", name=name, uid=uid, created_ns=1, stats=cri.PodSandboxStats(), containers=())


def written(path: Path, size: int) -> DiskUsage:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return DiskUsage(used_bytes=path.stat().st_blocks * 512, inodes_used=1)


def folder(path: Path) -> DiskUsage:
    return DiskUsage(used_bytes=path.stat().st_blocks * 512, inodes_used=1)


def test_each_container_and_the_rest(tmp_path: Path) -> None:
    """A container's logs are all in its folder, rotated ones too; no link is followed; the hosts file belongs to the rest."""
    logs = tmp_path / "logs/shop_web_u1"
    main = written(logs / "main/0.log", 10_000) + written(logs / "main/0.log.20260101.gz", 5_000)
    rest = written(logs / "note", 100) + written(tmp_path / "pods/u1/etc-hosts", 300)
    (logs / "elsewhere").symlink_to(tmp_path)
    reader = PodFilesReader(
        lambda namespace, name, uid: tmp_path / "logs" / f"{namespace}_{name}_{uid}",
        lambda uid: tmp_path / "pods" / uid / "etc-hosts",
    )
    found = reader.read([pod("u1"), pod("u2"), pod("u3", "../../etc")])
    assert set(found) == {"u1", "u2"}
    assert found["u1"].logs == {"main": main + folder(logs / "main")}
    link = DiskUsage(used_bytes=(logs / "elsewhere").lstat().st_blocks * 512, inodes_used=1)
    assert found["u1"].others == rest + link
    assert found["u1"].total == main + folder(logs / "main") + rest + link
    assert found["u2"].total == DiskUsage()
