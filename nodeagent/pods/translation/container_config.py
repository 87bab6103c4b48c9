"""A container as the runtime's container configuration. Pure. Source: docs/facts/pod-lifecycle.md 11.2 to 11.6."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from nodeagent.pods.rules.runtime_view import HASH_ANNOTATION, RESTART_COUNT_ANNOTATION, container_hash
from nodeagent.pods.translation.environment import ConfigError, variables_of
from nodeagent.pods.translation.sandbox_config import pod_labels
from nodeagent.pods.translation.security import SecuritySettings, container_security
from nodeagent.pods.translation.word_budget import MAX_WORD_BYTES, OverBudget, WordBudget
from nodeagent.podspec.containers import AnyContainer, ContainerKind
from nodeagent.podspec.expansion import TooLarge, expand
from nodeagent.podspec.pod import AgentPod
from nodeagent.volumes.container_mounts import DEFAULT_TERMINATION_PATH
from proto import cri_pb2 as cri
from runtimes.kube.labels import LABEL_CONTAINER_NAME

TERMINATION_PATH_ANNOTATION = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY_ANNOTATION = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD_ANNOTATION = "io.kubernetes.pod.terminationGracePeriod"
DELETION_GRACE_PERIOD_ANNOTATION = "io.kubernetes.pod.deletionGracePeriod"
PRE_STOP_ANNOTATION = "io.kubernetes.container.preStopHandler"
PORTS_ANNOTATION = "io.kubernetes.container.ports"

_SIGNALS = frozenset(cri.Signal.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerContext:
    """All that one container's configuration is made from.

    `image`: what the runtime says of the image, `image_ref` how it wants the image named. `environment`: resolved.
    `target_id`: id of the container whose PID namespace an ephemeral container joins. `annotations`: of device plugins.
    `volume_groups`: supplemental groups that mounted volumes need.
    """

    pod: AgentPod
    container: AnyContainer
    kind: ContainerKind
    image: cri.Image
    image_ref: str
    restart_count: int
    environment: Sequence[cri.KeyValue] = ()
    mounts: Sequence[cri.Mount] = ()
    devices: Sequence[cri.Device] = ()
    cdi_devices: Sequence[cri.CDIDevice] = ()
    resources: cri.LinuxContainerResources = field(default_factory=cri.LinuxContainerResources)
    annotations: Mapping[str, str] = field(default_factory=dict)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    target_id: str = ""
    user_namespace: cri.UserNamespace | None = None
    volume_groups: tuple[int, ...] = ()
    runtime_handler: str = ""


def container_config(ctx: ContainerContext) -> cri.ContainerConfig:
    """Raises ConfigError (CreateContainerConfigError)."""
    container = ctx.container
    command, args = _command_line(container, variables_of(ctx.environment))
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=container.name, attempt=ctx.restart_count),
        image=cri.ImageSpec(
            image=ctx.image_ref, user_specified_image=container.image or "", runtime_handler=ctx.runtime_handler
        ),
        command=command,
        args=args,
        working_dir=container.workingDir or "",
        envs=ctx.environment,
        mounts=ctx.mounts,
        devices=ctx.devices,
        CDI_devices=ctx.cdi_devices,
        labels={**pod_labels(ctx.pod), LABEL_CONTAINER_NAME: container.name},
        annotations={**ctx.annotations, **own_annotations(ctx.pod, container, ctx.restart_count)},
        log_path=log_path(container.name, ctx.restart_count),
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdinOnce),
        tty=bool(container.tty),
        stop_signal=_stop_signal(container),
        linux=cri.LinuxContainerConfig(
            resources=ctx.resources,
            security_context=container_security(
                ctx.pod,
                container,
                ctx.image,
                ctx.security,
                target_id=ctx.target_id,
                user_namespace=ctx.user_namespace,
                volume_groups=ctx.volume_groups,
            ),
        ),
    )


def log_path(container: str, restart_count: int) -> str:
    """The container's log file below the pod's log directory."""
    return f"{container}/{restart_count}.log"


def own_annotations(pod: AgentPod, container: AnyContainer, restart_count: int) -> dict[str, str]:
    """What the agent has to know about a container when the pod's spec is gone."""
    annotations = {
        HASH_ANNOTATION: container_hash(container),
        RESTART_COUNT_ANNOTATION: str(restart_count),
        TERMINATION_PATH_ANNOTATION: container.terminationMessagePath or DEFAULT_TERMINATION_PATH,
        TERMINATION_POLICY_ANNOTATION: container.terminationMessagePolicy or "File",
    }
    if pod.spec.terminationGracePeriodSeconds is not None:
        annotations[GRACE_PERIOD_ANNOTATION] = str(pod.spec.terminationGracePeriodSeconds)
    if pod.metadata.deletionGracePeriodSeconds is not None:
        annotations[DELETION_GRACE_PERIOD_ANNOTATION] = str(pod.metadata.deletionGracePeriodSeconds)
    if container.lifecycle is not None and container.lifecycle.preStop is not None:
        annotations[PRE_STOP_ANNOTATION] = msgspec.json.encode(container.lifecycle.preStop).decode()
    if container.ports:
        annotations[PORTS_ANNOTATION] = msgspec.json.encode(container.ports).decode()
    return annotations


def _command_line(container: AnyContainer, variables: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Command and args, expanded, within what environment and words may be together. Raises ConfigError."""
    budget = WordBudget()
    try:
        for name, value in variables.items():
            budget.variable(name, value)
        return (
            [_word("a word of command", word, variables, budget) for word in container.command or ()],
            [_word("a word of args", word, variables, budget) for word in container.args or ()],
        )
    except OverBudget as error:
        raise ConfigError(str(error)) from error


def _word(what: str, text: str, variables: Mapping[str, str], budget: WordBudget) -> str:
    """An argument is text to the CRI, whatever bytes a variable in it holds."""
    try:
        expanded = expand(text, variables, max_bytes=MAX_WORD_BYTES)
    except TooLarge as error:
        raise OverBudget(f"{what} is {error}") from error
    budget.word(what, expanded)
    return expanded.encode(errors="surrogateescape").decode(errors="replace")


def _stop_signal(container: AnyContainer) -> str:
    """The name of the CRI's enum value."""
    wanted = container.lifecycle.stopSignal if container.lifecycle is not None else None
    return wanted if wanted in _SIGNALS else "RUNTIME_DEFAULT"
