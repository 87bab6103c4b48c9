"""A volume manager over a root directory of its own, with sources that tests fill."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import ConfigMap, Secret
from volume_subjects import projected_sources

from nodeagent.api import errors
from nodeagent.api.tokens import Token, TokenKey
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.layout import Layout
from nodeagent.volumes.manager import VolumeManager
from nodeagent.volumes.types.config_map import CONFIG_MAP
from nodeagent.volumes.types.downward_api import DownwardAPIPlugin
from nodeagent.volumes.types.empty_dir import EmptyDirPlugin
from nodeagent.volumes.types.host_path import HostPathPlugin
from nodeagent.volumes.types.object_keys import ObjectKeysPlugin
from nodeagent.volumes.types.payload_budget import PayloadBudget
from nodeagent.volumes.types.projected import ProjectedPlugin
from nodeagent.volumes.types.secret import SECRET


@dataclass
class Sources:
    """Objects, tokens, node figures and the events of the pods."""

    config_maps: dict[str, ConfigMap] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    token: str = "token-1"
    token_keys: list[TokenKey] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    node: dict[str, str] = field(default_factory=lambda: {"cpu": "2", "memory": "64Mi"})
    events: list[tuple[str, str, str]] = field(default_factory=list)

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap:
        if name not in self.config_maps:
            raise errors.not_found("configmaps", name)
        return self.config_maps[name]

    async def get_secret(self, namespace: str, name: str) -> Secret:
        if name not in self.secrets:
            raise errors.not_found("secrets", name)
        return self.secrets[name]

    async def get(self, key: TokenKey) -> Token:
        self.token_keys.append(key)
        return Token(
            value=self.token,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
            expiration_seconds=key.expiration_seconds,
        )

    def forget(self, pod_uid: str) -> None:
        self.forgotten.append(pod_uid)

    def allocatable(self) -> Mapping[str, str]:
        return self.node

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.events.append((type, reason, message))


def make_manager(root: Path, sources: Sources, *, wait_seconds: float = 30.0) -> VolumeManager:
    layout, budget = Layout(root), PayloadBudget()
    return VolumeManager(
        layout=layout,
        plugins=[
            EmptyDirPlugin(layout, sources.allocatable),
            HostPathPlugin(),
            ObjectKeysPlugin(CONFIG_MAP, layout, sources.allocatable, sources, budget),
            ObjectKeysPlugin(SECRET, layout, sources.allocatable, sources, budget),
            DownwardAPIPlugin(layout, sources.allocatable, budget),
            ProjectedPlugin(layout, sources.allocatable, projected_sources(sources), budget),
        ],
        events=sources,
        wait_seconds=wait_seconds,
    )


def make_pod(volumes: list[dict[str, Any]], *, uid: str = "uid-1", **spec: Any) -> AgentPod:
    """A pod whose one container mounts every volume at /<volume name>."""
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    container = {"name": "main", "image": "i", "volumeMounts": mounts}
    return agent_pod(
        {
            "metadata": {"name": "p", "namespace": "ns", "uid": uid, "labels": {"app": "x"}},
            "spec": {"containers": [container], "volumes": volumes, **spec},
        }
    )


@pytest.fixture
def sources() -> Sources:
    return Sources()


@pytest.fixture
async def root(tmp_path: Path) -> AsyncIterator[Path]:
    """A root directory; what is still mounted below it at the end fails the test, and is unmounted."""
    yield tmp_path / "kubelet"
    left = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in line]
    if left:
        from runtimes.linux import syscalls

        for path in reversed(left):
            with contextlib.suppress(OSError):
                syscalls.umount(path, syscalls.MNT_DETACH)
    assert left == []


@pytest.fixture
def manager(root: Path, sources: Sources) -> VolumeManager:
    return make_manager(root, sources)


@pytest.fixture
def pod_of() -> Any:
    return make_pod


@pytest.fixture
def manager_of() -> Any:
    return make_manager
