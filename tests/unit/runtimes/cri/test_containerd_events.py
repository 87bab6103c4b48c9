"""What containerd's own events say, and what becomes of it."""

import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message

from proto import containerd_events_pb2 as containerd
from proto import cri_pb2 as cri
from runtimes.cri.containerd_events import PATIENCE_LOOKS, ContainerdEvent, OutOfMemory, Waiting, read
from runtimes.cri.listing import Listing, Stage


def envelope(topic: str, event: Message) -> containerd.Envelope:
    packed = Packed(type_url="containerd.events.X", value=event.SerializeToString())
    return containerd.Envelope(namespace="k8s.io", topic=topic, event=packed)


@pytest.mark.parametrize(
    ("topic", "event", "expected"),
    [
        (
            "/containers/create",
            containerd.ContainerCreate(id="c"),
            ContainerdEvent(subject_id="c", stage=Stage.CREATED),
        ),
        (
            "/tasks/start",
            containerd.TaskStart(container_id="c", pid=7),
            ContainerdEvent(subject_id="c", stage=Stage.RUNNING),
        ),
        (
            "/tasks/exit",
            containerd.TaskExit(container_id="c", id="c"),
            ContainerdEvent(subject_id="c", stage=Stage.ENDED),
        ),
        ("/tasks/exit", containerd.TaskExit(container_id="c"), ContainerdEvent(subject_id="c", stage=Stage.ENDED)),
        ("/tasks/exit", containerd.TaskExit(container_id="c", id="probe-1"), None),
        ("/tasks/oom", containerd.TaskOOM(container_id="c"), OutOfMemory(container_id="c")),
        ("/containers/delete", containerd.ContainerDelete(id="c"), ContainerdEvent(subject_id="c", stage=Stage.GONE)),
        ("/snapshot/prepare", containerd.ContainerCreate(id="c"), None),
    ],
)
def test_topics(topic: str, event: Message, expected: ContainerdEvent | OutOfMemory | None) -> None:
    """Each topic is a stage of a container; the end of an exec'd process, such as a probe's, is nothing."""
    assert read(envelope(topic, event)) == expected


def test_a_broken_event_is_nothing() -> None:
    """Bytes that are not the message are left alone."""
    broken = containerd.Envelope(topic="/tasks/exit", event=Packed(value=b"\xff\xff\xff"))
    assert read(broken) is None


def listing(state: "cri.ContainerState") -> Listing:
    return Listing([], [cri.Container(id="c", pod_sandbox_id="s", state=state)])


@pytest.mark.parametrize(
    ("stage", "state", "shown"),
    [
        (Stage.CREATED, cri.CONTAINER_RUNNING, True),
        (Stage.RUNNING, cri.CONTAINER_CREATED, False),
        (Stage.ENDED, cri.CONTAINER_RUNNING, False),
        (Stage.ENDED, cri.CONTAINER_EXITED, True),
        (Stage.GONE, cri.CONTAINER_EXITED, False),
    ],
)
def test_waiting_until_it_is_shown(stage: Stage, state: "cri.ContainerState", shown: bool) -> None:
    """A hint is done with when a listing shows that stage, or a later one."""
    waiting = Waiting()
    waiting.add("c", stage)
    waiting.shown(listing(state))
    assert (len(waiting) == 0) is shown


def test_what_is_gone_is_shown_by_its_absence() -> None:
    """And nothing else is: what the CRI does not list yet is waited for."""
    waiting = Waiting()
    waiting.add("gone", Stage.GONE)
    waiting.add("not yet", Stage.CREATED)
    waiting.shown(Listing())
    assert len(waiting) == 1


def test_waiting_is_bounded() -> None:
    """By number, and by looks: a container that is not the CRI's never shows."""
    waiting = Waiting(limit=2)
    for name in "abc":
        waiting.add(name, Stage.RUNNING)
    assert len(waiting) == 2
    for _ in range(PATIENCE_LOOKS):
        waiting.shown(Listing())
    assert len(waiting) == 0
