"""One pass of one pod, with everything around its steps written down in one diary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from lightkube.models.core_v1 import LifecycleHandler, Volume
from recorded_runtime import RecordedRuntime, runtime_of

from nodeagent.images.manager import EnsuredImage
from nodeagent.pods.paths import PodPaths
from nodeagent.pods.rules.model import Desired, Observed, Plan, StartContainer
from nodeagent.pods.steps.containers import ContainerRequest
from nodeagent.pods.steps.contract import SlotName, Step, SyncPass
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.containers import AnyContainer, ContainerKind, find_container
from nodeagent.podspec.pod import AgentPod
from nodeagent.resources.contract import NOTHING
from proto import cri_pb2 as cri
from runtimes.registry import Runtime


class Below(Step):
    """In place of the steps that a pass's containers wait for: cgroup and volumes are there."""

    name: ClassVar[str] = "below"
    provides: ClassVar[tuple[SlotName, ...]] = ("cgroup_parent", "mounts", "assigned")

    async def run(self, work: SyncPass) -> None:
        work.cgroup_parent.set("/pod")
        work.mounts.set({})
        for slot in work.assigned.values():
            slot.set(NOTHING)


class World:
    """Plays everything that the steps work with. Faults are raised by the diary's line."""

    def __init__(self, tmp_path: Path) -> None:
        self.below = Below()
        self.network_problem = ""
        self.diary: list[str] = []
        self.service = RecordedRuntime(self.diary)
        self.runtime = runtime_of(self.service)
        self.faults = self.service.faults
        self.gates = self.service.gates
        self.requests: dict[str, ContainerRequest] = {}
        self.paths = PodPaths(
            root_dir=tmp_path / "root", pod_logs_dir=tmp_path / "logs", container_logs_dir=tmp_path / "links"
        )

    # events, images, hooks

    def event(self, pod: AgentPod, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.diary.append(f"{type} {reason}: {message}" if type == "Warning" else reason)

    async def ensure(
        self, pod: AgentPod, kind: ContainerKind, container: AnyContainer, runtime: Runtime
    ) -> EnsuredImage:
        await self.service.note(f"image of {container.name}")
        return EnsuredImage(image_ref=f"ref of {container.image}", image=cri.Image())

    async def ensure_volume(self, pod: AgentPod, volume: Volume, runtime: Runtime) -> EnsuredImage:
        await self.service.note(f"image of volume {volume.name}")
        return EnsuredImage(image_ref=f"ref of {volume.name}", image=cri.Image())

    async def run(
        self, pod: AgentPod, container: AnyContainer, container_id: str, handler: LifecycleHandler, runtime: Runtime
    ) -> None:
        await self.service.note(f"hook of {container.name}")

    # configurations

    async def container(self, request: ContainerRequest) -> cri.ContainerConfig:
        name = request.container.name
        self.requests[name] = request
        await self.service.note(f"configuration of {name}")
        return cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name, attempt=request.restart_count),
            labels={"io.kubernetes.container.name": name, "io.kubernetes.pod.uid": request.pod.uid},
        )

    def sandbox(self, pod: AgentPod, *, attempt: int, cgroup_parent: str) -> cri.PodSandboxConfig:
        if (fault := self.faults.get("sandbox configuration")) is not None:
            raise fault
        config = cri.PodSandboxConfig(labels={"io.kubernetes.pod.uid": pod.uid})
        config.metadata.name, config.metadata.attempt = "web", attempt
        config.linux.cgroup_parent = cgroup_parent
        return config

    def warn(self, pod: AgentPod) -> None:
        self.diary.append("warn")

    def host_ips(self) -> tuple[str, ...]:
        return ("192.168.0.1",)

    def write_hosts(self, pod: AgentPod, pod_ips: tuple[str, ...]) -> None:
        self.diary.append(f"hosts {','.join(pod_ips)}")

    # the end of containers

    async def kill_pod(self, runtime: Runtime, teardown: Teardown) -> None:
        await self.service.note(f"kill pod within {teardown.grace_seconds} s")

    async def kill_container(
        self, runtime: Runtime, pod: AgentPod, container_id: str, name: str, *, message: str = "", **options: Any
    ) -> None:
        await self.service.note(f"kill {name}: {message}")

    # networks

    async def problem(self, runtime: Runtime) -> str:
        return self.network_problem

    async def ask(self, runtime: Runtime) -> str:
        return self.network_problem

    # passes

    def work(
        self, pod: AgentPod, *, start: Sequence[str] = (), sandbox: int | None = 0, observed: Observed | None = None
    ) -> SyncPass:
        """A pass that starts these containers, in a sandbox of that attempt."""
        starts = []
        for name in start:
            found = find_container(pod, name)
            assert found is not None
            starts.append(StartContainer(name=name, kind=found[0], restart_count=0))
        plan = Plan(create_sandbox=sandbox, start=tuple(starts))
        return SyncPass(desired=Desired(pod=pod), observed=observed or Observed(), plan=plan, runtime=self.runtime)

    def teardown(
        self,
        pod: AgentPod,
        *,
        keep_records: bool = False,
        runtimes: tuple[Runtime, ...] | None = None,
        handler: str = "hollow",
    ) -> Teardown:
        return Teardown(
            pod=pod,
            uid=pod.uid,
            grace_seconds=5,
            runtimes=(self.runtime,) if runtimes is None else runtimes,
            keep_records=keep_records,
            handler=handler,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
