"""The states of containers and sandboxes, what leads from one to the next, and what can be done in each. Pure.

A container, with the CRI's state below it:

    creating --made--> created --start begun--> starting --started--> running --exited--> exited
    (not listed)      (CREATED) <--start undone-- (CREATED)           (RUNNING)          (EXITED)
                          |                          |                                      ^
                          +--exited, start failed----+--exited, start failed----------------+

A sandbox:

    creating --made--> ready --stopped--> notready --stopped, again--> notready
    (NOTREADY)        (READY)            (NOTREADY)
       +--stopped: it could be neither made nor wholly undone--> notready

What is removed, or undone while it was being made, is forgotten: that is no state. The words are those of the records on disk.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, overload

from runtimes.errors import WrongState


class ContainerState(enum.StrEnum):
    CREATING = "creating"
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"

    @property
    def is_listed(self) -> bool:
        """Part of what the CRI shows: not half made."""
        return self is not ContainerState.CREATING

    @property
    def has_run(self) -> bool:
        return self in (ContainerState.RUNNING, ContainerState.EXITED)

    @property
    def can_start(self) -> bool:
        return self is ContainerState.CREATED

    @property
    def can_stop(self) -> bool:
        """Its program runs, or is about to: the stop signal has somebody to reach."""
        return self in (ContainerState.STARTING, ContainerState.RUNNING)

    @property
    def can_kill(self) -> bool:
        """The OCI runtime has made it, and it has not ended."""
        return self in (ContainerState.CREATED, ContainerState.STARTING, ContainerState.RUNNING)

    @property
    def can_exit(self) -> bool:
        """An exit file that is there now counts. While a container is being started, who starts it looks afterwards."""
        return self in (ContainerState.CREATED, ContainerState.RUNNING)

    @property
    def can_update(self) -> bool:
        return self in (ContainerState.CREATED, ContainerState.RUNNING)

    @property
    def can_exec(self) -> bool:
        return self is ContainerState.RUNNING


class ContainerEvent(enum.Enum):
    MADE = "made"  # by the OCI runtime, or refused by it
    START_BEGUN = "begun to start"
    STARTED = "started"
    START_UNDONE = "back before its start"  # the agent ended before the runtime had begun with it
    START_FAILED = "ended by a failed start"
    EXITED = "ended"


class SandboxState(enum.StrEnum):
    CREATING = "creating"
    READY = "ready"
    NOTREADY = "notready"


class SandboxEvent(enum.Enum):
    MADE = "made"
    STOPPED = "stopped"  # by a verb, or by a reboot


_CONTAINER: Mapping[tuple[ContainerState, ContainerEvent], ContainerState] = {
    (ContainerState.CREATING, ContainerEvent.MADE): ContainerState.CREATED,
    (ContainerState.CREATED, ContainerEvent.START_BEGUN): ContainerState.STARTING,
    (ContainerState.CREATED, ContainerEvent.START_FAILED): ContainerState.EXITED,
    (ContainerState.CREATED, ContainerEvent.EXITED): ContainerState.EXITED,
    (ContainerState.STARTING, ContainerEvent.STARTED): ContainerState.RUNNING,
    (ContainerState.STARTING, ContainerEvent.START_UNDONE): ContainerState.CREATED,
    (ContainerState.STARTING, ContainerEvent.START_FAILED): ContainerState.EXITED,
    (ContainerState.STARTING, ContainerEvent.EXITED): ContainerState.EXITED,
    (ContainerState.RUNNING, ContainerEvent.EXITED): ContainerState.EXITED,
}
_SANDBOX: Mapping[tuple[SandboxState, SandboxEvent], SandboxState] = {
    (SandboxState.CREATING, SandboxEvent.MADE): SandboxState.READY,
    (SandboxState.CREATING, SandboxEvent.STOPPED): SandboxState.NOTREADY,
    (SandboxState.READY, SandboxEvent.STOPPED): SandboxState.NOTREADY,
    (SandboxState.NOTREADY, SandboxEvent.STOPPED): SandboxState.NOTREADY,
}
TRANSITIONS: Mapping[tuple[Any, Any], Any] = MappingProxyType({**_CONTAINER, **_SANDBOX})


class IllegalTransition(WrongState):
    """Nothing leads from that state by that event."""


@overload
def next_state(state: ContainerState, event: ContainerEvent, object_id: str = ...) -> ContainerState: ...


@overload
def next_state(state: SandboxState, event: SandboxEvent, object_id: str = ...) -> SandboxState: ...


def next_state(
    state: ContainerState | SandboxState, event: ContainerEvent | SandboxEvent, object_id: str = ""
) -> ContainerState | SandboxState:
    """Raises IllegalTransition, which names the object."""
    try:
        found: ContainerState | SandboxState = TRANSITIONS[state, event]
    except KeyError:
        kind = "container" if isinstance(state, ContainerState) else "sandbox"
        raise IllegalTransition(f"{kind} {object_id} is {state}: it cannot be {event.value}") from None
    return found
