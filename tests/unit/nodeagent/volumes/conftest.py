"""Pods and volume plugins for tests that touch no kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agent_pods import agent_pod
from typing_extensions import override

from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.contract import Capabilities, MountedVolume, VolumeError, VolumeRequest, VolumeSource
from nodeagent.volumes.types.publish_only import PublishOnly


def make_pod(spec: Mapping[str, Any], **metadata: Any) -> AgentPod:
    return agent_pod({"metadata": {"name": "p", "namespace": "ns", "uid": "u", **metadata}, "spec": spec})


@pytest.fixture
def pod_of() -> Any:
    return make_pod


@dataclass
class ScriptedPlugin(PublishOnly):
    """Supports emptyDir volumes. Each verb takes the next entry of the script of its volume: an error, or success."""

    republish: bool = False
    script: dict[str, list[str | None]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    name: str = "test/scripted"

    @override
    def capabilities(self, source: VolumeSource) -> Capabilities:
        return Capabilities(republish=self.republish)

    def supports(self, source: VolumeSource) -> bool:
        return source.volume.emptyDir is not None

    async def publish(self, request: VolumeRequest) -> MountedVolume:
        self.take("publish", request.directory_name)
        return MountedVolume(host_path=Path("/v") / request.directory_name, directory_name=request.directory_name)

    async def unpublish(self, uid: str, directory_name: str) -> None:
        self.take("unpublish", directory_name)

    def take(self, verb: str, name: str) -> None:
        self.calls.append(f"{verb} {name}")
        steps = self.script.get(name, [])
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
