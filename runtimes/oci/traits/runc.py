"""runc and crun: a container's processes are processes of this kernel, to be signalled, joined and read directly."""

import re
from typing import ClassVar

import msgspec
from typing_extensions import override

from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.removal import remove_tree
from runtimes.oci import processes
from runtimes.oci.entities import Container
from runtimes.oci.records import ContainerRecord, ProcessRef
from runtimes.oci.traits.contract import ExecTerminal, RuntimeTraits

_CRUN_WITH_RRO = (1, 4)


class _Hooked(msgspec.Struct):
    """The part of a config.json that is looked at."""

    hooks: msgspec.Raw | None = None


class Runc(RuntimeTraits):
    name: ClassVar[str] = "runc"
    json_log: ClassVar[bool] = True
    joins_pid_namespaces: ClassVar[bool] = True
    maps_users: ClassVar[bool] = True
    exec_terminal: ClassVar[ExecTerminal] = ExecTerminal.RAW

    @override
    async def signal(self, container: Container, init: ProcessRef, number: int) -> None:
        processes.send_signal(init, number)

    @override
    def has_ended(self, init: ProcessRef) -> bool:
        return not processes.is_alive(init)

    @override
    async def delete(self, record: ContainerRecord) -> None:
        """Of a container that has ended the program removes its own folder, a cgroup that is the engine's to remove, and calls
        hooks: without hooks that is done here, and a program less runs for every container.
        """
        if not self._forget_ended(record):
            await super().delete(record)

    def _forget_ended(self, record: ContainerRecord) -> bool:
        # a systemd scope is systemd's to remove
        if record.init is None or self.config.cgroup_driver != "cgroupfs" or not self.has_ended(record.init):
            return False
        try:
            config = (self.paths.bundle(record.id) / "config.json").read_bytes()
            if msgspec.json.decode(config, type=_Hooked).hooks is not None:
                return False
            remove_tree(self.paths.runtime_root / record.id)
        except (OSError, *UNREADABLE):
            return False
        return True


class Crun(Runc):
    name: ClassVar[str] = "crun"
    asks_features: ClassVar[bool] = False
    groups_by_name: ClassVar[bool] = False
    read_only_superblocks: ClassVar[bool] = False  # it makes the mount read-only afterwards
    # with a terminal of ours crun's exec passes on the first size, but no later one
    exec_terminal: ClassVar[ExecTerminal] = ExecTerminal.CONSOLE_SOCKET

    @property
    @override
    def recursive_read_only(self) -> bool:
        return tuple(map(int, re.findall(r"\d+", self.version)[:2])) >= _CRUN_WITH_RRO
