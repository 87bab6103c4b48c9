"""Which CPUs which container has for itself, and which all others share: in memory and in `cpu_manager_state`.

The file is a kubelet's, checksum and all (docs/facts/node-resources.md 11.1).
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from nodeagent.podspec.pod import PodUID
from nodeagent.resources import checkpoint, cpuset
from nodeagent.resources.checkpoint import BadState, Saver
from nodeagent.resources.cpuset import CPUSet

FILE = "cpu_manager_state"


class _File(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel"):
    policy_name: str
    default_cpu_set: str
    entries: dict[str, dict[str, str]] = {}
    checksum: int


class CPUState:
    """`shared`: where containers without CPUs of their own run. Methods belong to the event loop."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.path = folder / FILE
        self._policy = policy
        self.shared: CPUSet = frozenset()
        self._entries: dict[str, dict[str, CPUSet]] = {}
        self._saver = Saver(self.path, self._snapshot)

    def load(self) -> bool:
        """Read the file; False: there is none. Raises BadState."""
        data = checkpoint.read(self.path)
        if data is None:
            return False
        file = checkpoint.decode(self.path, data, _File)
        if file.checksum != checksum(file.policy_name, file.default_cpu_set, file.entries):
            raise BadState(self.path, "checkpoint is corrupted")
        checkpoint.check_policy(self.path, self._policy, file.policy_name)
        try:
            self.shared = cpuset.parse(file.default_cpu_set)
            self._entries = {
                uid: {name: cpuset.parse(text) for name, text in own.items()} for uid, own in file.entries.items()
            }
        except ValueError as error:
            raise BadState(self.path, str(error)) from error
        return True

    async def save(self) -> None:
        """Raises OSError."""
        await self._saver.save()

    def set_shared(self, cpus: CPUSet) -> None:
        self.shared = cpus
        self._saver.changed()

    def _snapshot(self) -> _File:
        shared = cpuset.text_of(self.shared)
        entries = {
            uid: {name: cpuset.text_of(cpus) for name, cpus in own.items()} for uid, own in self._entries.items()
        }
        found = checksum(self._policy, shared, entries)
        return _File(policy_name=self._policy, default_cpu_set=shared, entries=entries, checksum=found)

    def of(self, uid: str) -> Mapping[str, CPUSet]:
        """By container name."""
        return self._entries.get(uid, {})

    def uids(self) -> frozenset[PodUID]:
        return frozenset(PodUID(uid) for uid in self._entries)

    def assigned(self) -> CPUSet:
        """All CPUs that are some container's own."""
        return frozenset().union(*(cpus for own in self._entries.values() for cpus in own.values()))

    def assign(self, uid: str, container: str, cpus: CPUSet) -> None:
        self._entries.setdefault(uid, {})[container] = cpus
        self.shared -= cpus
        self._saver.changed()

    def remove(self, uid: str) -> bool:
        """The pod's CPUs are shared again; whether it had any."""
        own = self._entries.pop(uid, None)
        if own is None:
            return False
        self.shared |= frozenset().union(*own.values()) - self.assigned()
        self._saver.changed()
        return True


def checksum(policy: str, shared: str, entries: Mapping[str, Mapping[str, str]]) -> int:
    """Over the text that Go's dump of a kubelet's structure is."""
    pods = " ".join(
        f"{uid}:map[{' '.join(f'{name}:{own[name]}' for name in sorted(own))}]" for uid, own in sorted(entries.items())
    )
    return checkpoint.fnv1a(
        f"(*state.CPUManagerCheckpoint){{PolicyName:(string){policy} DefaultCPUSet:(string){shared} "
        f"Entries:(map[string]map[string]string)map[{pods}] Checksum:(checksum.Checksum)0}}"
    )
