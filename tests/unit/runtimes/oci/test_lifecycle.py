"""The states of containers and sandboxes: every pair of state and event, and what each state permits."""

import itertools

import pytest

from runtimes import errors
from runtimes.oci.lifecycle import (
    TRANSITIONS,
    ContainerEvent,
    ContainerState,
    IllegalTransition,
    SandboxEvent,
    SandboxState,
    next_state,
)

C, CE, S, SE = ContainerState, ContainerEvent, SandboxState, SandboxEvent

LEGAL = {
    (C.CREATING, CE.MADE): C.CREATED,
    (C.CREATED, CE.START_BEGUN): C.STARTING,
    (C.CREATED, CE.START_FAILED): C.EXITED,
    (C.CREATED, CE.EXITED): C.EXITED,
    (C.STARTING, CE.STARTED): C.RUNNING,
    (C.STARTING, CE.START_UNDONE): C.CREATED,
    (C.STARTING, CE.START_FAILED): C.EXITED,
    (C.STARTING, CE.EXITED): C.EXITED,
    (C.RUNNING, CE.EXITED): C.EXITED,
    (S.CREATING, SE.MADE): S.READY,
    (S.CREATING, SE.STOPPED): S.NOTREADY,
    (S.READY, SE.STOPPED): S.NOTREADY,
    (S.NOTREADY, SE.STOPPED): S.NOTREADY,
}
PAIRS = [*itertools.product(C, CE), *itertools.product(S, SE)]


@pytest.mark.parametrize(("state", "event"), PAIRS)
def test_every_pair_of_state_and_event(state: ContainerState, event: ContainerEvent) -> None:
    """What the diagram shows happens; everything else is one clear error, which says from where and by what."""
    if (state, event) in LEGAL:
        assert next_state(state, event) is LEGAL[state, event]
        return
    with pytest.raises(IllegalTransition, match=f"c1 is {state}: it cannot be {event.value}") as caught:
        next_state(state, event, "c1")
    assert isinstance(caught.value, errors.WrongState)


def test_nothing_leads_out_of_the_end() -> None:
    """A container ends once; whoever believes that it runs is told."""
    assert TRANSITIONS == LEGAL
    assert [event for state, event in TRANSITIONS if state is C.EXITED] == []


@pytest.mark.parametrize(
    ("predicate", "states"),
    [
        ("is_listed", [C.CREATED, C.STARTING, C.RUNNING, C.EXITED]),
        ("has_run", [C.RUNNING, C.EXITED]),
        ("can_start", [C.CREATED]),
        ("can_stop", [C.STARTING, C.RUNNING]),
        ("can_kill", [C.CREATED, C.STARTING, C.RUNNING]),
        ("can_exit", [C.CREATED, C.RUNNING]),
        ("can_update", [C.CREATED, C.RUNNING]),
        ("can_exec", [C.RUNNING]),
    ],
)
def test_what_a_state_permits(predicate: str, states: list[ContainerState]) -> None:
    """The verbs that make sense in each state."""
    assert [state for state in C if getattr(state, predicate)] == states


def test_the_words_on_the_disk() -> None:
    """Records of yesterday have these; an agent of today must know them."""
    assert [str(state) for state in C] == ["creating", "created", "starting", "running", "exited"]
    assert [str(state) for state in S] == ["creating", "ready", "notready"]
