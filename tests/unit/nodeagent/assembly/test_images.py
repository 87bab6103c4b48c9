"""From configuration to the parts that pull images."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from configured import config

from nodeagent.api.tokens import NoTokens
from nodeagent.assembly import images
from nodeagent.errors import AgentStartError
from nodeagent.images.access import AllowAll, PullRecords
from nodeagent.images.gc import GarbagePolicy
from nodeagent.images.providers.keyring import NoProviders, ProviderKeyring
from nodeagent.images.pulling import PullLimits
from proto import cri_pb2 as cri
from runtimes.oci.images.registries import Registry


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
    assert images.pull_limits(config(tmp_path, **kubelet)) == limits


def test_garbage_policy(tmp_path: Path) -> None:
    """Thresholds and ages arrive."""
    assert images.garbage_policy(config(tmp_path)) == GarbagePolicy()
    fields = {
        "imageGCHighThresholdPercent": 70,
        "imageGCLowThresholdPercent": 60,
        "imageMinimumGCAge": "5m",
        "imageMaximumGCAge": "24h",
    }
    assert images.garbage_policy(config(tmp_path, **fields)) == GarbagePolicy(
        high_percent=70, low_percent=60, minimum_age_seconds=300.0, maximum_age_seconds=86400.0
    )


def test_registries(tmp_path: Path) -> None:
    """Every registry and mirror as configured; a mirror gets the login that the node has for its host and port."""
    registries = {
        "gcr.io": {"mirrors": ["127.0.0.1:5000"]},
        "127.0.0.1:5000": {"insecure": True, "certsDir": "certs"},
        "bad.example": {"blocked": True},
    }
    settings = images.skopeo_settings(config(tmp_path, {"registries": registries}))
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
    assert isinstance(images.pull_records(config(tmp_path)), PullRecords)
    assert (tmp_path / "root" / "image_manager" / "pulled").is_dir()
    off = config(tmp_path, featureGates={"KubeletEnsureSecretPulledImages": False})
    assert isinstance(images.pull_records(off), AllowAll)
    listed = {
        "imagePullCredentialsVerificationPolicy": "NeverVerifyAllowlistedImages",
        "preloadedImagesVerificationAllowlist": ["a:1"],
    }
    with pytest.raises(AgentStartError, match="preloadedImagesVerificationAllowlist: 'a:1'"):
        images.pull_records(config(tmp_path, **listed))


def test_providers(tmp_path: Path) -> None:
    """Paths are relative to the file; one path without the other, or a program that is not there, is an error."""
    assert isinstance(images.credential_providers(config(tmp_path), None, NoTokens()), NoProviders)
    with pytest.raises(AgentStartError, match="go together"):
        images.credential_providers(config(tmp_path, {"imageCredentialProviderConfig": "p.yaml"}), None, NoTokens())
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
    with pytest.raises(AgentStartError, match="bin/p did not exist"):
        images.credential_providers(config(tmp_path, both), None, NoTokens())
    (tmp_path / "bin" / "p").touch(0o755)
    assert isinstance(images.credential_providers(config(tmp_path, both), None, NoTokens()), ProviderKeyring)
