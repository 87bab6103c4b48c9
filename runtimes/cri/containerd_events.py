"""containerd's own events, read: which container or sandbox has reached which stage, before the CRI shows it. Pure.

A hint is a reason to look, and to look again until the lists show it. Nothing is told to anybody because of a hint alone.
"""

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from proto import containerd_events_pb2 as containerd
from runtimes.cri.listing import Listing, Stage

# A filter is a line whose parts must all hold; one line is enough.
REQUEST = containerd.SubscribeRequest(
    filters=[
        'namespace==k8s.io,topic~="^/tasks/(start|exit|oom)$"',
        'namespace==k8s.io,topic~="^/containers/(create|delete)$"',
    ]
)
MAX_WAITING = 4096
PATIENCE_LOOKS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerdEvent:
    """An id, of a container or a sandbox, and the stage that it has reached."""

    subject_id: str
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfMemory:
    """The kernel killed in that container. Told before its exit or after it, so the CRI may name the reason late."""

    container_id: str


def read(envelope: containerd.Envelope) -> ContainerdEvent | OutOfMemory | None:
    """None for what the CRI does not show: exec'd processes that ended, topics that nobody asked for, broken messages."""
    try:
        match envelope.topic:
            case "/containers/create":
                created = containerd.ContainerCreate.FromString(envelope.event.value)
                return ContainerdEvent(subject_id=created.id, stage=Stage.CREATED)
            case "/containers/delete":
                deleted = containerd.ContainerDelete.FromString(envelope.event.value)
                return ContainerdEvent(subject_id=deleted.id, stage=Stage.GONE)
            case "/tasks/start":
                started = containerd.TaskStart.FromString(envelope.event.value)
                return ContainerdEvent(subject_id=started.container_id, stage=Stage.RUNNING)
            case "/tasks/exit":
                ended = containerd.TaskExit.FromString(envelope.event.value)
                if ended.id in ("", ended.container_id):
                    return ContainerdEvent(subject_id=ended.container_id, stage=Stage.ENDED)
            case "/tasks/oom":
                return OutOfMemory(container_id=containerd.TaskOOM.FromString(envelope.event.value).container_id)
    except DecodeError:
        return None
    return None


class Waiting:
    """Hints that no listing has shown yet. Bounded: what is too much, or never shown, is given up; the next look tells it."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._stages: dict[str, Stage] = {}
        self._looks: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._stages)

    def add(self, subject_id: str, stage: Stage) -> None:
        """A later stage of the same thing stands for the earlier ones."""
        if subject_id not in self._stages and len(self._stages) >= self._limit:
            return
        self._stages[subject_id] = max(stage, self._stages.get(subject_id, stage))
        self._looks[subject_id] = 0

    def ended(self, listing: Listing) -> list[str]:
        """Those that the listing has as ended."""
        return [subject_id for subject_id in self._stages if listing.is_ended(subject_id)]

    def drop(self, subject_id: str) -> None:
        """Fine for what is not waited for."""
        self._stages.pop(subject_id, None)
        self._looks.pop(subject_id, None)

    def shown(self, listing: Listing) -> None:
        """Forget what the listing shows, and what has been looked for often enough."""
        for subject_id, stage in list(self._stages.items()):
            self._looks[subject_id] += 1
            if listing.shows(subject_id, stage) or self._looks[subject_id] >= PATIENCE_LOOKS:
                self.drop(subject_id)
