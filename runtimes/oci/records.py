"""What is written down about sandboxes and containers: one small JSON file each, replaced whole.

The CRI configuration is kept as the request's JSON, minus the environment and the command line of containers, in both of which
secrets may be: they are in the bundle, which does not survive a reboot, and secrets have no business on the disk.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message

from proto import cri_pb2 as cri
from runtimes.oci.lifecycle import ContainerState, SandboxState

_Message = TypeVar("_Message", bound=Message)


class ProcessRef(msgspec.Struct, frozen=True, kw_only=True):
    """A process and when it started (clock ticks since boot): a pid that was given out again does not match."""

    pid: int
    start_ticks: int


class SandboxRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One that is creating is undone at the next start. `network`: CNI ADD was begun and not undone.

    `infra_id`: of the container that holds the sandbox together; empty where none does. `made_cgroups`: directories above the
    containers' cgroups that were not there before, shallowest first.
    """

    id: str
    boot_id: str
    handler: str
    created_at_ns: int
    config: msgspec.Raw
    state: SandboxState = SandboxState.CREATING
    network: bool = False
    ips: tuple[str, ...] = ()
    infra_id: str = ""
    made_cgroups: tuple[str, ...] = ()


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One that is creating is undone at the next start; of one that is starting the OCI runtime is asked.

    `create_error`: the runtime refused the container; told when it is started, as the CRI's peers do.
    """

    id: str
    sandbox_id: str
    boot_id: str
    created_at_ns: int
    config: msgspec.Raw
    image_id: str
    image_ref: str
    cgroup: str
    infra: bool = False
    state: ContainerState = ContainerState.CREATING
    started_at_ns: int = 0
    finished_at_ns: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    create_error: str = ""
    stop_signal: int = 15
    log_path: str = ""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    init: ProcessRef | None = None
    monitor: ProcessRef | None = None
    resources: msgspec.Raw = msgspec.Raw(b"{}")
    oom_kills: int = 0  # of one that has ended: its cgroup, which counted them, is gone


def raw(message: cri.PodSandboxConfig | cri.ContainerConfig | cri.LinuxContainerResources) -> msgspec.Raw:
    """A CRI message as JSON, with the protocol's own field names."""
    return msgspec.Raw(json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None).encode())


def sandbox_config(value: msgspec.Raw) -> cri.PodSandboxConfig:
    return _message(value, cri.PodSandboxConfig())


def container_config(value: msgspec.Raw) -> cri.ContainerConfig:
    return _message(value, cri.ContainerConfig())


def resources(value: msgspec.Raw) -> cri.LinuxContainerResources:
    return _message(value, cri.LinuxContainerResources())


def _message(value: msgspec.Raw, empty: _Message) -> _Message:
    try:
        return json_format.Parse(bytes(value), empty, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ValueError(f"its configuration cannot be read: {error}") from error


def check_sandbox(record: SandboxRecord, name: str) -> None:
    """Raises ValueError for what was not written for the folder of that name, or holds a configuration that is none."""
    _check(record.id, name, lambda: sandbox_config(record.config))


def check_container(record: ContainerRecord, name: str) -> None:
    """Raises ValueError, as `check_sandbox`."""
    _check(record.id, name, lambda: (container_config(record.config), resources(record.resources)))


def _check(object_id: str, name: str, parse: Callable[[], object]) -> None:
    if object_id != name:
        raise ValueError(f"it is the record of {object_id}")
    parse()


def without_secrets(config: cri.ContainerConfig) -> cri.ContainerConfig:
    """A copy without what variables are put into: `envs`, `command` and `args`. None of it is needed once the bundle is made."""
    copy = cri.ContainerConfig()
    copy.CopyFrom(config)
    del copy.envs[:], copy.command[:], copy.args[:]
    return copy
