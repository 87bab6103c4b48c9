"""How long a verb may take that is carried out by another's code: an endpoint's, or a plug-in's."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from proto import cri_pb2 as cri

DEFAULT_SECONDS = 120.0  # docs/facts/pod-lifecycle.md 0.1
RUN_SANDBOX_SECONDS = 240.0

# In seconds for one request; None: as long as it takes.
Deadline = Callable[[Any], float | None]


def default_deadline(_request: Message) -> float | None:
    return DEFAULT_SECONDS


def sandbox_deadline(_request: cri.RunPodSandboxRequest) -> float:
    return RUN_SANDBOX_SECONDS


def stop_deadline(request: cri.StopContainerRequest) -> float:
    """The grace period, and then the time of any verb."""
    return DEFAULT_SECONDS + max(0, request.timeout)


def exec_deadline(request: cri.ExecSyncRequest) -> float | None:
    """The command's time and that of any verb; a command without a time-out may run for ever."""
    return DEFAULT_SECONDS + request.timeout if request.timeout > 0 else None


def checkpoint_deadline(request: cri.CheckpointContainerRequest) -> float:
    """What is asked for, where that is more than any verb has."""
    return max(DEFAULT_SECONDS, request.timeout)


def no_deadline(_request: Message) -> None:
    """A pull takes as long as it takes; who waits for it may cancel it."""


_OF_VERB: Mapping[str, Deadline] = {
    "run_pod_sandbox": sandbox_deadline,
    "stop_container": stop_deadline,
    "exec_sync": exec_deadline,
    "checkpoint_container": checkpoint_deadline,
    "pull_image": no_deadline,
}


def deadline_of(verb: str) -> Deadline:
    """By the verb's name in `runtimes.contract`."""
    return _OF_VERB.get(verb, default_deadline)
