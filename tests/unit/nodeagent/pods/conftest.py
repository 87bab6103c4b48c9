"""Pods and runtimes in a few words, for the tests of the pure rules."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from agent_pods import agent_pod
from lightkube.models.core_v1 import Container

from nodeagent.pods.rules.model import Desired, Instance, Memory, NodeAddresses, Observed, Plan
from nodeagent.pods.rules.runtime_view import container_hash
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STATES = {
    "created": cri.CONTAINER_CREATED,
    "running": cri.CONTAINER_RUNNING,
    "exited": cri.CONTAINER_EXITED,
    "unknown": cri.CONTAINER_UNKNOWN,
}


def nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9


def make_pod(
    containers: object = ("main",),
    *,
    init: object = (),
    ephemeral: object = (),
    meta: Mapping[str, object] | None = None,
    status: Mapping[str, object] | None = None,
    **spec: object,
) -> AgentPod:
    """A pod; containers are names or field maps (a name beginning with + in `init` is a sidecar)."""

    def fields(item: object) -> dict[str, object]:
        given: dict[str, object] = {"name": item} if isinstance(item, str) else dict(item)
        if str(given["name"]).startswith("+"):
            given |= {"name": str(given["name"])[1:], "restartPolicy": "Always"}
        return {"image": "busybox", **given}

    def listed(items: object) -> list[dict[str, object]]:
        return [fields(item) for item in items]

    body: dict[str, object] = {
        "metadata": {"name": "web", "namespace": "ns", "uid": "uid-1", "generation": 3, **(meta or {})},
        "spec": {
            "restartPolicy": "Always",
            "containers": listed(containers),
            "initContainers": listed(init),
            "ephemeralContainers": listed(ephemeral),
            **spec,
        },
    }
    if status is not None:
        body["status"] = dict(status)
    return agent_pod(body)


def make_instance(
    name: str,
    state: str = "running",
    *,
    n: int = 0,
    exit_code: int = 0,
    reason: str | None = None,
    message: str = "",
    ended: datetime = NOW,
    sandbox: str = "sandbox-0",
    hash: str | None = None,
) -> Instance:
    """One run of a container: the n-th, whose id is `<name>-<n>`."""
    started = ended - timedelta(seconds=60)
    defaulted = "Completed" if exit_code == 0 else "Error"
    status = cri.ContainerStatus(
        id=f"{name}-{n}",
        metadata=cri.ContainerMetadata(name=name, attempt=n),
        state=STATES[state],
        created_at=nanoseconds(started),
        started_at=0 if state == "created" else nanoseconds(started),
        finished_at=nanoseconds(ended) if state == "exited" else 0,
        exit_code=exit_code,
        reason=(defaulted if reason is None else reason) if state == "exited" else "",
        message=message,
        image=cri.ImageSpec(image="docker.io/library/busybox:latest"),
        image_ref="sha256:abc",
        labels={"io.kubernetes.container.name": name},
        annotations={
            "io.kubernetes.container.hash": hash or container_hash(Container(name=name, image="busybox")),
            "io.kubernetes.container.restartCount": str(n),
        },
    )
    return Instance(sandbox_id=sandbox, status=status)


def make_sandbox(
    attempt: int = 0, *, ready: bool = True, ip: str = "10.0.0.7", extra: tuple[str, ...] = (), host: bool = False
) -> cri.PodSandboxStatus:
    return cri.PodSandboxStatus(
        id=f"sandbox-{attempt}",
        metadata=cri.PodSandboxMetadata(name="web", namespace="ns", uid="uid-1", attempt=attempt),
        state=cri.SANDBOX_READY if ready else cri.SANDBOX_NOTREADY,
        network=None
        if host
        else cri.PodSandboxNetworkStatus(ip=ip, additional_ips=[cri.PodIP(ip=one) for one in extra]),
        linux=cri.LinuxPodSandboxStatus(
            namespaces=cri.Namespace(options=cri.NamespaceOption(network=cri.NODE if host else cri.POD))
        ),
    )


def make_observed(*instances: Instance, sandboxes: tuple[cri.PodSandboxStatus, ...] | None = None) -> Observed:
    """A runtime with one ready sandbox, unless told otherwise."""
    return Observed(sandboxes=(make_sandbox(),) if sandboxes is None else sandboxes, instances=instances)


@dataclass
class FakeRuntime:
    """Carries plans out on values: the simplest runtime in which every start and kill succeeds at once."""

    now: datetime = NOW
    observed: Observed = field(default_factory=Observed)

    def carry_out(self, plan: Plan) -> None:
        sandboxes, instances = list(self.observed.sandboxes), list(self.observed.instances)
        if plan.kill_pod:
            instances = [self._stopped(item) for item in instances]
            sandboxes = [self._stopped_sandbox(item) for item in sandboxes]
        killed = {kill.container_id for kill in plan.kill}
        removed = {remove.container_id for remove in plan.remove}
        instances = [self._stopped(item) if item.status.id in killed else item for item in instances]
        instances = [item for item in instances if item.status.id not in removed]
        if plan.create_sandbox is not None:
            sandboxes = [self._stopped_sandbox(item) for item in sandboxes]
            sandboxes.insert(0, make_sandbox(plan.create_sandbox))
        for start in plan.start:
            made = make_instance(start.name, n=start.restart_count, ended=self.now, sandbox=sandboxes[0].id)
            instances.insert(0, made)
        self.observed = Observed(sandboxes=tuple(sandboxes), instances=tuple(instances))

    def exit(self, name: str, exit_code: int) -> None:
        """The running instance of a container ends by itself."""
        self.observed = Observed(
            sandboxes=self.observed.sandboxes,
            instances=tuple(
                self._stopped(item, exit_code) if item.status.metadata.name == name else item
                for item in self.observed.instances
            ),
        )

    def _stopped(self, instance: Instance, exit_code: int = 137) -> Instance:
        if instance.status.state not in (cri.CONTAINER_RUNNING, cri.CONTAINER_UNKNOWN):
            return instance
        status = cri.ContainerStatus()
        status.CopyFrom(instance.status)
        status.state = cri.CONTAINER_EXITED
        status.exit_code = exit_code
        status.reason = "Completed" if exit_code == 0 else "Error"
        status.finished_at = nanoseconds(self.now)
        return Instance(sandbox_id=instance.sandbox_id, status=status)

    def _stopped_sandbox(self, sandbox: cri.PodSandboxStatus) -> cri.PodSandboxStatus:
        status = cri.PodSandboxStatus()
        status.CopyFrom(sandbox)
        status.state = cri.SANDBOX_NOTREADY
        return status


class Kit:
    """The builders above, for tests to take as one fixture."""

    now = NOW
    pod = staticmethod(make_pod)
    run = staticmethod(make_instance)
    sandbox = staticmethod(make_sandbox)
    observed = staticmethod(make_observed)
    runtime: Callable[[], FakeRuntime] = FakeRuntime
    no_memory = Memory()
    node = NodeAddresses(host_ips=("192.168.0.1",))

    @staticmethod
    def desired(pod: AgentPod, source: str = "api") -> Desired:
        return Desired(pod=dataclasses.replace(pod, source=source))

    @staticmethod
    def after(seconds: float) -> datetime:
        return NOW + timedelta(seconds=seconds)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()
