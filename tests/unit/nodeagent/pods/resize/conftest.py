"""Pods with resources in a few words."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from agent_pods import agent_pod

from nodeagent.pods.rules.model import Instance, Observed
from nodeagent.pods.translation.resources import HostLimits
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATES = {"created": cri.CONTAINER_CREATED, "running": cri.CONTAINER_RUNNING, "exited": cri.CONTAINER_EXITED}


def sizes(text: str) -> dict[str, dict[str, str]]:
    """`100m/200m 32Mi/64Mi`: CPU request/limit, memory request/limit; `-` for none."""
    made: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for resource, part in zip(("cpu", "memory"), text.split(), strict=False):
        for side, value in zip(("requests", "limits"), part.split("/"), strict=True):
            if value != "-":
                made[side][resource] = value
    return {side: values for side, values in made.items() if values}


class Kit:
    now = NOW
    host = HostLimits(memory_capacity_bytes=8 << 30, cgroup_v2=False)
    sizes = staticmethod(sizes)

    @staticmethod
    def pod(
        *,
        uid: str = "uid-1",
        generation: int = 1,
        priority: int | None = None,
        init: Mapping[str, str] | None = None,
        level: str = "",
        restart: tuple[str, ...] = (),
        qos: str | None = None,
        conditions: list[dict[str, object]] | None = None,
        **containers: str,
    ) -> AgentPod:
        """`c="100m/200m 32Mi/64Mi"`; `init` likewise; `level`: pod-level; `restart`: RestartContainer for these resources."""
        policy = [{"resourceName": name, "restartPolicy": "RestartContainer"} for name in restart]

        def listed(given: Mapping[str, str]) -> list[dict[str, object]]:
            return [
                {"name": name, "image": "x", "resources": sizes(text), "resizePolicy": policy}
                for name, text in given.items()
            ]

        spec = {
            "containers": listed(containers or {"c": ""}),
            "initContainers": listed(init or {}),
            "priority": priority,
        }
        if level:
            spec["resources"] = sizes(level)
        status = {"qosClass": qos, "conditions": conditions}
        metadata = {"name": "web", "namespace": "ns", "uid": uid, "generation": generation}
        return agent_pod({"metadata": metadata, "spec": spec, "status": status})

    @staticmethod
    def instance(
        name: str = "c", state: str = "running", *, n: int = 0, figures: tuple[int, int, int] | None = None
    ) -> Instance:
        """`figures`: the runtime's cpu shares, quota, memory limit."""
        status = cri.ContainerStatus(
            id=f"{name}-{n}",
            state=STATES[state],
            created_at=n + 1,
            metadata=cri.ContainerMetadata(name=name, attempt=n),
            labels={"io.kubernetes.container.name": name},
        )
        if figures is not None:
            shares, quota, memory = figures
            status.resources.linux.CopyFrom(
                cri.LinuxContainerResources(
                    cpu_shares=shares, cpu_quota=quota, cpu_period=100000, memory_limit_in_bytes=memory
                )
            )
        return Instance(sandbox_id="sandbox-0", status=status)

    @staticmethod
    def observed(*instances: Instance) -> Observed:
        """Newest first."""
        return Observed(sandboxes=(cri.PodSandboxStatus(id="sandbox-0", state=cri.SANDBOX_READY),), instances=instances)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()
