"""The node's endpoint before the real engine with real runc. Shares the helpers of the conformance and unit suites."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from agent_pods import agent_pod
from built_in_runtimes import oci
from lightkube.models.core_v1 import EmptyDirVolumeSource, Volume

from nodeagent.metrics.registry import agent_registry
from nodeagent.node.facts import read_machine
from nodeagent.pods.manager import PodOnNode
from nodeagent.pods.rules.model import PodStage
from nodeagent.podspec.pod import AgentPod
from nodeagent.server.auth import Guard
from nodeagent.server.server import NodeServer, ServerSettings
from nodeagent.server.stats import StatsHandlers
from nodeagent.stats.cgroup_paths import CgroupPaths
from nodeagent.stats.node import NodeReader
from nodeagent.stats.pod_cgroups import PodCgroupReader
from nodeagent.stats.pod_files import PodFilesReader
from nodeagent.stats.pods import PodReader
from nodeagent.stats.provider import Statistics
from nodeagent.stats.system_containers import SystemContainerReader
from nodeagent.stats.volumes import VolumeReader
from nodeagent.volumes.contract import VolumeSource, VolumeUsage
from nodeagent.volumes.usage import measure
from runtimes.linux.cgroups.detect import detect
from runtimes.registry import Runtime
from runtimes.testing.fixtures import folder, image_archive, image_store
from runtimes.testing.host import leaks
from runtimes.testing.implementation import started

_TESTS = Path(__file__).parents[2]


def _load(name: str, path: Path) -> ModuleType:
    loader = SourceFileLoader(name, str(path))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = sys.modules.setdefault(name, module_from_spec(spec))
    if not hasattr(module, "pytest"):
        loader.exec_module(module)
    return module


clients = _load("unit_server_conftest", _TESTS / "unit" / "nodeagent" / "server" / "conftest.py")

__all__ = ["folder", "image_archive", "image_store"]
authorities = clients.authorities
spdy = clients.spdy
tunnel = clients.tunnel


@dataclass
class RealPods:
    """The endpoint's view of pods that the test made straight in the engine."""

    runtime: Runtime
    found: dict[str, PodOnNode]

    def pods(self) -> list[PodOnNode]:
        return list(self.found.values())

    def find(self, namespace: str, name: str, uid: str = "") -> PodOnNode | None:
        return self.found.get(name)

    def runtime_of(self, pod: AgentPod) -> Runtime:
        return self.runtime


@dataclass
class ScratchOnly:
    """Every pod has one volume, an emptyDir on disk, all of them the same folder."""

    folder: Path

    def sources(self, uid: str) -> dict[str, VolumeSource]:
        return {"scratch": VolumeSource(volume=Volume(name="scratch", emptyDir=EmptyDirVolumeSource()))}

    async def usage(self, uid: str) -> dict[str, VolumeUsage]:
        return {"scratch": measure(self.folder)}


@dataclass
class RealNode:
    """An engine, an endpoint before it, and the client's side of both."""

    subject: Any
    pods: RealPods
    endpoint: Any

    async def run(self, name: str, script: str, **fields: Any) -> str:
        """Run a pod with one container `main`; returns its container id."""
        config = self.subject.sandbox_config(name)
        labels = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default"}
        labels["io.kubernetes.pod.uid"] = config.metadata.uid
        config.labels.update(labels)
        pod = await self.subject.run_sandbox(config)
        container = self.subject.container_config(script)
        container.labels.update({**labels, "io.kubernetes.container.name": "main"})
        for key, value in fields.items():
            setattr(container, key, value)
        container_id = await self.subject.launch(pod, container)
        document = {
            "metadata": {"name": name, "namespace": "default", "uid": config.metadata.uid},
            "spec": {"containers": [{"name": "main", "image": "demo", "tty": fields.get("tty", False)}]},
            "status": {
                "containerStatuses": [
                    {
                        "name": "main",
                        "image": "demo",
                        "imageID": "",
                        "ready": True,
                        "restartCount": 0,
                        "containerID": f"runc://{container_id}",
                        "state": {"running": {}},
                    }
                ]
            },
        }
        made = agent_pod(document)
        self.pods.found[name] = PodOnNode(pod=made, status=made.status, stage=PodStage.SYNC)
        return str(container_id)


@pytest.fixture
async def node(
    folder: Path, image_store: Path, authorities: dict[str, Any], request: pytest.FixtureRequest
) -> AsyncIterator[RealNode]:
    """Started; afterwards nothing of the test may be left on the host. The parameter: another runtime than runc."""
    name = getattr(request, "param", "runc")
    async with started(oci(name), folder, image_store) as subject:
        runtime = subject.runtime
        pods = RealPods(runtime, {})
        settings = ServerSettings(
            address="127.0.0.1",
            port=0,
            certificate=authorities["server"][0],
            key=authorities["server"][1],
            client_ca=authorities["clients"].file,
            health_port=0,
        )
        volumes = VolumeReader(ScratchOnly(folder), period_seconds=60.0)
        reader = PodReader([runtime], PodCgroupReader(detect(), lambda uid: None))
        files = PodFilesReader(
            lambda namespace, name, uid: folder / "logs" / f"{name}-{uid}", lambda uid: folder / "hosts" / uid
        )
        system = SystemContainerReader(detect(), {subject.cgroup_parent: "pods"})
        paths = CgroupPaths(detect(), lambda uid: f"{subject.cgroup_parent}/pod{uid}")
        statistics = Statistics(NodeReader(folder), reader, volumes, files, system, paths, images_dir=folder)
        stats = StatsHandlers("node-1", statistics, read_machine(), registry=agent_registry())
        guard = Guard(None, node_name="node-1", always_allow=True)
        server = NodeServer(settings, pods, guard, healthy=lambda: True, parts=(stats,))
        await server.start()
        endpoint = clients.Endpoint(
            server=server,
            pods=pods,
            runtime=runtime,
            authority=authorities["clients"],
            serving=authorities["serving"],
            client_pair=authorities["pair"],
        )
        yield RealNode(subject, pods, endpoint)
        await server.stop()
    assert leaks(folder, subject.cgroup_parent) == []
