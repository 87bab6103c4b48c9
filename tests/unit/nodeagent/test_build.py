"""From configuration to the parts that pull images."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeagent import build
from nodeagent.api.object_reads import CachedReads, DirectReads
from nodeagent.api.objects import ObjectCache
from nodeagent.api.tokens import NoTokens
from nodeagent.config import Config, Options, load
from nodeagent.config.loader import replace_options
from nodeagent.images.access import Everybody, PullRecords
from nodeagent.images.gc import GarbagePolicy
from nodeagent.images.providers.keyring import NoProviders, ProviderKeyring
from nodeagent.images.pulling import PullLimits
from nodeagent.node.facts import Machine
from proto import cri_pb2 as cri
from runtimes.linux.cgroups.contract import CgroupLimits
from runtimes.oci.images.registries import Registry


def config(folder: Path, agent: dict[str, Any] | None = None, **kubelet: Any) -> Config:
    documents = [
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"} | kubelet,
        {"apiVersion": "nodeagent.dev/v1alpha1", "kind": "NodeAgentConfiguration"} | (agent or {}),
    ]
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return load(Options(config_file=file, root_dir=folder / "root", state_dir=folder / "state"))


@pytest.mark.parametrize(
    ("kubelet", "limits"),
    [
        ({}, PullLimits(max_parallel=1, qps=5.0, burst=10)),
        ({"serializeImagePulls": False}, PullLimits(max_parallel=None)),
        ({"serializeImagePulls": False, "maxParallelImagePulls": 3}, PullLimits(max_parallel=3)),
        ({"maxParallelImagePulls": 3}, PullLimits(max_parallel=3)),
        ({"maxParallelImagePulls": 1}, PullLimits(max_parallel=1)),
        ({"registryPullQPS": 0, "registryBurst": 7}, PullLimits(qps=0.0, burst=7)),
    ],
)
def test_pull_limits(tmp_path: Path, kubelet: dict[str, Any], limits: PullLimits) -> None:
    """Serial by default; a maximum above 1 is parallel by itself; no rate is no limit."""
    assert build.pull_limits(config(tmp_path, **kubelet)) == limits


def test_garbage_policy(tmp_path: Path) -> None:
    """Thresholds and ages arrive."""
    assert build.garbage_policy(config(tmp_path)) == GarbagePolicy()
    fields = {
        "imageGCHighThresholdPercent": 70,
        "imageGCLowThresholdPercent": 60,
        "imageMinimumGCAge": "5m",
        "imageMaximumGCAge": "24h",
    }
    assert build.garbage_policy(config(tmp_path, **fields)) == GarbagePolicy(
        high_percent=70, low_percent=60, minimum_age_seconds=300.0, maximum_age_seconds=86400.0
    )


def test_registries(tmp_path: Path) -> None:
    """Every registry and mirror as configured; a mirror gets the login that the node has for its host and port."""
    registries = {
        "gcr.io": {"mirrors": ["127.0.0.1:5000"]},
        "127.0.0.1:5000": {"insecure": True, "certsDir": "certs"},
        "bad.example": {"blocked": True},
    }
    settings = build.skopeo_settings(config(tmp_path, {"registries": registries}))
    assert set(settings.registries.entries) == {
        Registry(prefix="gcr.io", mirrors=("127.0.0.1:5000",)),
        Registry(prefix="127.0.0.1:5000", insecure=True, certs_dir=tmp_path / "certs"),
        Registry(prefix="bad.example", blocked=True),
    }
    (tmp_path / "root").mkdir()
    auths = {
        "127.0.0.1:5000": {"username": "mirror", "password": "m"},
        "gcr.io": {"username": "origin", "password": "o"},
    }
    (tmp_path / "root" / "config.json").write_text(json.dumps({"auths": auths}))
    assert settings.mirror_login("127.0.0.1:5000/a") == cri.AuthConfig(username="mirror", password="m")
    assert settings.mirror_login("127.0.0.1:5001/a") is None


def test_pull_records(tmp_path: Path) -> None:
    """Records are kept unless the feature is off; a bad allowlist is told by its field."""
    assert isinstance(build.pull_records(config(tmp_path)), PullRecords)
    assert (tmp_path / "root" / "image_manager" / "pulled").is_dir()
    off = config(tmp_path, featureGates={"KubeletEnsureSecretPulledImages": False})
    assert isinstance(build.pull_records(off), Everybody)
    listed = {
        "imagePullCredentialsVerificationPolicy": "NeverVerifyAllowlistedImages",
        "preloadedImagesVerificationAllowlist": ["a:1"],
    }
    with pytest.raises(build.BuildError, match="preloadedImagesVerificationAllowlist: 'a:1'"):
        build.pull_records(config(tmp_path, **listed))


def test_providers(tmp_path: Path) -> None:
    """Paths are relative to the file; one path without the other, or a program that is not there, is an error."""
    assert isinstance(build.credential_providers(config(tmp_path), None, NoTokens()), NoProviders)
    with pytest.raises(build.BuildError, match="go together"):
        build.credential_providers(config(tmp_path, {"imageCredentialProviderConfig": "p.yaml"}), None, NoTokens())
    both = {"imageCredentialProviderConfig": "p.yaml", "imageCredentialProviderBinDir": "bin"}
    provider = {
        "name": "p",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "matchImages": ["r.example"],
        "defaultCacheDuration": "0s",
    }
    document = {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [provider]}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "bin").mkdir()
    with pytest.raises(build.BuildError, match="bin/p did not exist"):
        build.credential_providers(config(tmp_path, both), None, NoTokens())
    (tmp_path / "bin" / "p").touch(0o755)
    assert isinstance(build.credential_providers(config(tmp_path, both), None, NoTokens()), ProviderKeyring)


@pytest.mark.parametrize(
    ("strategy", "kind"), [(None, ObjectCache), ("Watch", ObjectCache), ("Cache", CachedReads), ("Get", DirectReads)]
)
async def test_how_objects_are_read(tmp_path: Path, strategy: str | None, kind: type[object]) -> None:
    """By watches unless the configuration says otherwise; nothing of it is left in the end."""
    fields = {"configMapAndSecretChangeDetectionStrategy": strategy} if strategy else {}
    client: Any = None
    async with contextlib.AsyncExitStack() as stack:
        made = build.objects(config(tmp_path, **fields), client, stack, changed=lambda uid: None, node=lambda: None)
        assert type(made) is kind


MACHINE = Machine(
    machine_id="m",
    system_uuid="s",
    boot_id="b",
    kernel_version="6.1",
    os_image="os",
    operating_system="linux",
    architecture="amd64",
    cpus=4,
    memory_bytes=8 << 30,
    max_pids=10000,
    swap_bytes=0,
    hugepages={},
)
RESERVED = {
    "systemReserved": {"cpu": "500m", "memory": "1Gi", "pid": "100"},
    "kubeReserved": {"cpu": "500m", "memory": "1Gi"},
    "systemReservedCgroup": "/system",
    "kubeReservedCgroup": "/kube",
}
UNLIMITED = CgroupLimits(cpu_shares=4096, memory_limit_bytes=-1, pids_limit=-1)


@pytest.mark.parametrize(
    ("enforced", "limits"),
    [
        (None, CgroupLimits(cpu_shares=3072, memory_limit_bytes=6 << 30, pids_limit=9900)),
        (["pods"], CgroupLimits(cpu_shares=3072, memory_limit_bytes=6 << 30, pids_limit=9900)),
        (["none"], UNLIMITED),
        ([], UNLIMITED),
        (["system-reserved"], UNLIMITED),
    ],
)
def test_what_pods_are_held_to(tmp_path: Path, enforced: list[str] | None, limits: CgroupLimits) -> None:
    """Capacity less what is reserved, where "pods" is enforced; else there is no limit, whatever was written before."""
    fields = RESERVED if enforced is None else RESERVED | {"enforceNodeAllocatable": enforced}
    assert build.node_cgroup_limits(config(tmp_path, **fields), MACHINE) == limits


@pytest.mark.parametrize(
    ("enforced", "limits"),
    [
        (["pods"], {}),
        (["none"], {}),
        (
            ["pods", "system-reserved", "kube-reserved"],
            {
                "/system": CgroupLimits(cpu_shares=512, memory_limit_bytes=1 << 30, pids_limit=100),
                "/kube": CgroupLimits(cpu_shares=512, memory_limit_bytes=1 << 30),
            },
        ),
        (
            ["system-reserved-compressible", "kube-reserved-compressible"],
            {"/system": CgroupLimits(cpu_shares=512), "/kube": CgroupLimits(cpu_shares=512)},
        ),
    ],
)
def test_what_the_system_is_held_to(tmp_path: Path, enforced: list[str], limits: dict[str, CgroupLimits]) -> None:
    """The reservations' own cgroups: all that is reserved for them, or of it only what can be squeezed."""
    fields = RESERVED | {"enforceNodeAllocatable": enforced}
    assert build.reserved_cgroup_limits(config(tmp_path, **fields)) == limits


def test_swap_is_refused(tmp_path: Path) -> None:
    """A line for a device in /proc/swaps, and failSwapOn as it is by default: the node does not start, and says what to do."""
    swaps = tmp_path / "swaps"
    header = "Filename\tType\tSize\tUsed\tPriority\n"
    swaps.write_text(header)
    build.refuse_swap(config(tmp_path), swaps)
    swaps.write_text(f"{header}/dev/sda2 partition 8 0 -2\n/swapfile file 8 0 -3\n")
    with pytest.raises(
        build.BuildError, match=r"^running with swap on is not supported \(/dev/sda2, /swapfile\): .*failSwapOn"
    ):
        build.refuse_swap(config(tmp_path), swaps)
    build.refuse_swap(config(tmp_path, failSwapOn=False), swaps)
    build.refuse_swap(config(tmp_path), tmp_path / "no such kernel")


@pytest.mark.parametrize(
    ("fields", "options", "expected"),
    [
        ({}, {}, ("info", "text")),
        ({"format": "json", "verbosity": 3}, {}, ("info", "json")),
        ({"format": "json", "verbosity": 4}, {}, ("debug", "json")),
        ({"format": "json", "verbosity": 9}, {"log_level": "error", "log_format": "text"}, ("error", "text")),
    ],
)
def test_logging(tmp_path: Path, fields: dict[str, Any], options: dict[str, str], expected: tuple[str, str]) -> None:
    """The file's format and verbosity count where the command line says nothing."""
    assert build.logging_of(replace_options(config(tmp_path, logging=fields), **options)) == expected
