"""The pod's sandbox: its namespaces and its network. Containers may be created in it while the network comes up."""

from typing import ClassVar, Protocol

from typing_extensions import override

from nodeagent.api.events import Events
from nodeagent.pods.rules.runtime_view import is_host_network
from nodeagent.pods.slot import NotProvided
from nodeagent.pods.steps.contract import (
    NoStartObserver,
    SlotName,
    StartObserver,
    Step,
    StepError,
    SyncPass,
    UndoPhase,
)
from nodeagent.pods.steps.gates import Networks, network_not_ready
from nodeagent.pods.steps.old_sandboxes import clear_away
from nodeagent.pods.teardown import Teardown
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.errors import RuntimeFault, Unavailable
from runtimes.kube.labels import LABEL_POD_UID
from runtimes.registry import Runtime

SOON_SECONDS = 1.0


class SandboxConfigs(Protocol):
    """Who translates a pod into the runtime's sandbox configuration."""

    def sandbox(self, pod: AgentPod, *, attempt: int, cgroup_parent: str) -> cri.PodSandboxConfig:
        """Raises ValueError for what cannot be expressed (a host name that is too long)."""
        ...

    def warn(self, pod: AgentPod) -> None:
        """Record events about what the configuration leaves out."""
        ...

    def host_ips(self) -> tuple[str, ...]: ...


class SandboxStep(Step):
    name: ClassVar[str] = "sandbox"
    deadline_seconds: ClassVar[float | None] = 240.0  # the kubelet's deadline for RunPodSandbox
    provides: ClassVar[tuple[SlotName, ...]] = ("sandbox_id", "pod_ips")
    undone: ClassVar[UndoPhase] = UndoPhase.STOP

    def __init__(
        self, configs: SandboxConfigs, events: Events, networks: Networks, observer: StartObserver | None = None
    ) -> None:
        self._configs = configs
        self._networks = networks
        self._events = events
        self._observer = observer or NoStartObserver()

    @override
    async def run(self, work: SyncPass) -> None:
        if work.plan.create_sandbox is None:
            self._reuse(work)
            return
        if work.plan.sandbox_changed:
            self._events.event(
                work.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."
            )
        await clear_away(work)
        self._configs.warn(work.pod)
        try:
            cgroup_parent = await work.cgroup_parent.get()
            self._observer.pod()
            config = self._configs.sandbox(work.pod, attempt=work.plan.create_sandbox, cgroup_parent=cgroup_parent)
            answer = await work.runtime.service.run_pod_sandbox(
                cri.RunPodSandboxRequest(config=config, runtime_handler=work.runtime.cri_handler),
                on_created=work.sandbox_id.set,
            )
            work.sandbox_id.set(answer.pod_sandbox_id)
            work.pod_ips.set(await self._pod_ips(work, answer.pod_sandbox_id))
        except NotProvided:
            raise
        except RuntimeFault as error:
            self._observer.pod_failed()
            # a network that went down since the gate was passed is what the runtime says of it, not what its errors look like
            problem = "" if is_host_network(work.pod) else await self._networks.ask(work.runtime)
            raise (network_not_ready(problem) if problem else _creation_failed(error)) from error
        except ValueError as error:
            self._observer.pod_failed()
            raise _creation_failed(error) from error

    @override
    async def undo(self, teardown: Teardown) -> None:
        """Stop the pod's sandboxes in every runtime; what is left of them tells the exit codes until `Records` removes it."""
        await teardown.in_each(self._stop)

    def _reuse(self, work: SyncPass) -> None:
        if work.current_sandbox_id is None:
            return
        sandbox = work.observed.sandboxes[0]
        work.sandbox_id.set(sandbox.id)
        work.pod_ips.set(self._ips_of(work, sandbox))

    async def _pod_ips(self, work: SyncPass, sandbox_id: str) -> tuple[str, ...]:
        answer = await work.runtime.service.pod_sandbox_status(cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))
        return self._ips_of(work, answer.status)

    def _ips_of(self, work: SyncPass, sandbox: cri.PodSandboxStatus) -> tuple[str, ...]:
        if work.pod.spec.hostNetwork:
            return self._configs.host_ips()
        network = sandbox.network
        return tuple(ip for ip in (network.ip, *(extra.ip for extra in network.additional_ips)) if ip)

    async def _stop(self, runtime: Runtime, teardown: Teardown) -> None:
        found = await runtime.service.list_pod_sandbox(
            cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector={LABEL_POD_UID: teardown.uid}))
        )
        for sandbox in found.items:
            await runtime.service.stop_pod_sandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox.id))


def _creation_failed(error: Exception) -> StepError:
    """What says that it cannot work just now, a CNI plugin for instance, is asked again soon; all else waits as usual."""
    soon = SOON_SECONDS if isinstance(error, Unavailable) else None
    return StepError(
        f"Failed to create pod sandbox: {error}", event_reason="FailedCreatePodSandBox", retry_seconds=soon
    )
