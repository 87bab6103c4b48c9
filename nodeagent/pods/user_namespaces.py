"""Ranges of host ids for pods with users of their own (`hostUsers: false`): one a pod, kept for its whole life.

A range is on disk before anything uses it (`<root>/pods/<uid>/userns`), so that an agent that starts again gives nobody else
the ids of a running pod. Source: docs/facts/pod-lifecycle.md 11.6, docs/facts/node-resources.md (userNamespaces.idsPerPod).
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from nodeagent.podspec.pod import AgentPod, PodUID
from nodeagent.volumes.layout import Layout
from proto import cri_pb2 as cri
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.files import replace_file

log = logging.getLogger(__name__)

ID_SPACE = 1 << 32
DEFAULT_IDS_PER_POD = 65536
FILE = "userns"
UNSUPPORTED = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"


class UserNamespaceError(ValueError):
    """The pod cannot have users of its own now; the text is for its owner."""


@dataclass(frozen=True, slots=True)
class IdRange:
    first: int
    length: int

    def overlaps(self, other: "IdRange") -> bool:
        return self.first < other.first + other.length and other.first < self.first + self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class IdPool:
    """Host ids that pods may have: `length` of them from `first` on, `per_pod` each. Raises ValueError for a bad one."""

    first: int = DEFAULT_IDS_PER_POD
    length: int = ID_SPACE - DEFAULT_IDS_PER_POD
    per_pod: int = DEFAULT_IDS_PER_POD

    def __post_init__(self) -> None:
        if self.per_pod <= 0 or self.per_pod % DEFAULT_IDS_PER_POD or self.per_pod >= ID_SPACE:
            raise ValueError(
                f"user namespace length {self.per_pod} is not a multiple of {DEFAULT_IDS_PER_POD} below 2^32"
            )
        if self.first % self.per_pod:
            raise ValueError(f"kubelet user assigned ID {self.first} is not a multiple of {self.per_pod}")
        if self.first < self.per_pod:  # the host's own ids are nobody's
            raise ValueError(f"kubelet user assigned ID {self.first} must be greater or equal to {self.per_pod}")
        if self.length % self.per_pod or self.length <= 0 or self.first + self.length > ID_SPACE:
            raise ValueError(f"kubelet user assigned IDs length {self.length} is not a multiple of {self.per_pod}")

    @classmethod
    def whole(cls, per_pod: int = DEFAULT_IDS_PER_POD) -> "IdPool":
        """All ids but those of the host, the default."""
        return cls(first=per_pod, length=(ID_SPACE // per_pod - 1) * per_pod if per_pod > 0 else 0, per_pod=per_pod)

    @property
    def pods(self) -> int:
        return self.length // self.per_pod

    def __iter__(self) -> Iterator[IdRange]:
        return (IdRange(self.first + number * self.per_pod, self.per_pod) for number in range(self.pods))


class _Range(msgspec.Struct, rename="camel"):
    host_id: Annotated[int, msgspec.Meta(ge=0, lt=ID_SPACE)]
    container_id: Annotated[int, msgspec.Meta(ge=0, lt=ID_SPACE)]
    length: Annotated[int, msgspec.Meta(gt=0, lt=ID_SPACE)]


class _Mappings(msgspec.Struct, rename="camel"):
    uid_mappings: list[_Range]
    gid_mappings: list[_Range]


class UserNamespaces:
    """Who has which range. All methods belong to the event loop and touch one small file at most.

    `supported(pod)`: whether the pod's runtime can give a pod its own users.
    """

    def __init__(self, root_dir: Path, pool: IdPool, supported: Callable[[AgentPod], bool]) -> None:
        self._layout = Layout(root_dir)
        self._pool = pool
        self._supported = supported
        self._ranges: dict[str, IdRange] = {}  # by pod UID
        self._recover()

    def of(self, pod: AgentPod) -> cri.UserNamespace | None:
        """The pod's mapping, made at the first call; None for a pod with the host's users. Raises UserNamespaceError."""
        if pod.spec.hostUsers is not False:
            return None
        if not self._supported(pod):
            raise UserNamespaceError(UNSUPPORTED)
        uid = pod.uid
        own = self._ranges.get(uid) or self._allocate(uid)
        entry = cri.IDMapping(host_id=own.first, container_id=0, length=own.length)
        return cri.UserNamespace(mode=cri.POD, uids=[entry], gids=[entry])

    def release(self, uid: PodUID) -> None:
        """The pod's containers have ended: its range is free. Nothing to release is fine."""
        (self._layout.pod_dir(uid) / FILE).unlink(missing_ok=True)
        self._ranges.pop(uid, None)

    @property
    def ranges(self) -> dict[str, IdRange]:
        """By pod UID."""
        return dict(self._ranges)

    def _allocate(self, uid: str) -> IdRange:
        path = self._layout.pod_dir(uid) / FILE
        if path.exists():  # whatever it says, some container may run by it
            raise UserNamespaceError(f"the pod's user namespace cannot be read from {path}")
        free = next(
            (one for one in self._pool if not any(one.overlaps(other) for other in self._ranges.values())), None
        )
        if free is None:
            raise UserNamespaceError("could not find an empty slot to allocate a user namespace")
        entry = _Range(host_id=free.first, container_id=0, length=free.length)
        try:
            _write(path.parent, msgspec.json.encode(_Mappings(uid_mappings=[entry], gid_mappings=[entry])))
        except OSError as error:
            raise UserNamespaceError(f"cannot record the pod's user namespace: {error}") from error
        self._ranges[uid] = free
        return free

    def _recover(self) -> None:
        """Take over what an earlier run of the agent gave away; pods that are gone are released with their other remains.

        A range of a pool that has changed since is its pod's all the same.
        """
        for path in sorted(self._layout.pods_dir.glob(f"*/{FILE}")):
            try:
                self._ranges[path.parent.name] = _read(path)
            except (OSError, *UNREADABLE) as error:
                log.error("%s is not a pod's user namespace: %s", path, error)


def _read(path: Path) -> IdRange:
    """Raises ValueError for what this agent would not have written."""
    found = msgspec.json.decode(path.read_bytes(), type=_Mappings)
    if len(found.uid_mappings) != 1 or found.uid_mappings != found.gid_mappings:
        raise ValueError("not one range, the same for users and groups")
    entry = found.uid_mappings[0]
    if entry.container_id != 0 or entry.host_id == 0:
        raise ValueError("not a mapping of the ids from 0 on to ids that are not the host's own")
    return IdRange(entry.host_id, entry.length)


def _write(directory: Path, content: bytes) -> None:
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    replace_file(directory / FILE, content, mode=0o644)
