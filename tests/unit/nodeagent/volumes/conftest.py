"""Pods and volume plugins for tests that touch no kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Volume

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest


def make_pod(spec: Mapping[str, Any], **metadata: Any) -> AgentPod:
    return agent_pod({"metadata": {"name": "p", "namespace": "ns", "uid": "u", **metadata}, "spec": spec})


@pytest.fixture
def pod_of() -> Any:
    return make_pod


@dataclass
class ScriptedPlugin:
    """Supports emptyDir volumes. Each set-up takes the next entry of the script of its volume: an error, or success."""

    needs_refresh: bool = False
    script: dict[str, list[str | None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    name: str = "test/scripted"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(needs_refresh=self.needs_refresh)

    def supports(self, volume: Volume) -> bool:
        return volume.emptyDir is not None

    async def setup(self, request: VolumeRequest) -> MountedVolume:
        self.calls.append(f"setup {request.name}")
        steps = self.script.get(request.name, [])
        error = steps.pop(0) if steps else None
        if error is not None:
            raise VolumeError(error)
        from pathlib import Path

        return MountedVolume(host_path=Path("/v") / request.name, directory_name=request.name)

    async def teardown(self, uid: str, directory_name: str) -> None:
        self.calls.append(f"teardown {directory_name}")
        steps = self.script.get(directory_name, [])
        error = steps.pop(0) if steps else None
        if error is not None:
            raise VolumeError(error)


@pytest.fixture
def plugin() -> ScriptedPlugin:
    return ScriptedPlugin()


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.seen.append((type, reason, message))


@pytest.fixture
def events() -> Events:
    return Events()
