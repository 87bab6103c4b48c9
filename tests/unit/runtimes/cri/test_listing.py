"""How two listings differ."""

import itertools

import pytest

from proto import cri_pb2 as cri
from runtimes.cri.changes import next_pause
from runtimes.cri.listing import Change, Listing

CREATED, STARTED = cri.CONTAINER_CREATED_EVENT, cri.CONTAINER_STARTED_EVENT
STOPPED, DELETED = cri.CONTAINER_STOPPED_EVENT, cri.CONTAINER_DELETED_EVENT
SANDBOX = cri.PodSandbox(id="s", state=cri.SANDBOX_READY, metadata=cri.PodSandboxMetadata(uid="u"))


def listing(*states: int) -> Listing:
    containers = [cri.Container(id="c", pod_sandbox_id="s", state=state) for state in states]
    return Listing([SANDBOX], containers)


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (listing(), listing(cri.CONTAINER_CREATED), [CREATED]),
        (listing(), listing(cri.CONTAINER_EXITED), [CREATED, STARTED, STOPPED]),
        (listing(cri.CONTAINER_CREATED), listing(cri.CONTAINER_RUNNING), [STARTED]),
        (listing(cri.CONTAINER_RUNNING), listing(cri.CONTAINER_EXITED), [STOPPED]),
        (listing(cri.CONTAINER_RUNNING), listing(cri.CONTAINER_UNKNOWN), [STOPPED]),
        (listing(cri.CONTAINER_EXITED), listing(), [DELETED]),
        (listing(cri.CONTAINER_CREATED), listing(), [DELETED]),
        (listing(cri.CONTAINER_RUNNING), listing(), [STOPPED, DELETED]),
        (listing(cri.CONTAINER_RUNNING), listing(cri.CONTAINER_RUNNING), []),
    ],
)
def test_a_containers_steps_are_told_one_by_one(before: Listing, after: Listing, kinds: list[int]) -> None:
    """Every step between two looks is an event, in order, also those that were over before the second look."""
    assert list(before.changes_to(after)) == [Change(container_id="c", sandbox_id="s", kind=kind) for kind in kinds]


def test_a_sandbox_is_told_by_its_own_id() -> None:
    """A new sandbox was created and started; one that is no longer ready was stopped; one that is gone was deleted."""
    stopped = cri.PodSandbox(id="s", state=cri.SANDBOX_NOTREADY)
    steps = [Listing(), Listing([SANDBOX]), Listing([stopped]), Listing()]
    found = [change for a, b in itertools.pairwise(steps) for change in a.changes_to(b)]
    assert found == [
        Change(container_id="s", sandbox_id="s", kind=kind) for kind in (CREATED, STARTED, STOPPED, DELETED)
    ]


@pytest.mark.parametrize(("told", "expected"), [(False, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]), (True, [0.01, 0.012, 0.0144])])
def test_looks_become_rarer_while_nothing_happens(told: bool, expected: list[float]) -> None:
    """From 100 ms to 1 s without hints; a hint is followed by close looks."""
    pauses = [next_pause(5.0, active=True, told=told, settled=False)]
    while len(pauses) < len(expected):
        pauses.append(next_pause(pauses[-1], active=False, told=told, settled=False))
    assert pauses == pytest.approx(expected)
    assert next_pause(9.0, active=False, told=True, settled=False) == 10.0


def test_nothing_is_looked_for_when_all_that_was_told_has_been_seen() -> None:
    """Then only the net is left; without hints nobody can know that."""
    assert next_pause(0.01, active=True, told=True, settled=True) == 10.0
    assert next_pause(0.1, active=True, told=False, settled=True) == 0.1
