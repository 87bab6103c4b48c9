"""runc and crun: a container's processes are processes of this kernel, to be signalled, joined and read directly."""

import re
from typing import ClassVar

from typing_extensions import override

from runtimes.oci import processes
from runtimes.oci.entities import Container
from runtimes.oci.records import ProcessRef
from runtimes.oci.traits.contract import ExecTerminal, RuntimeTraits

_CRUN_WITH_RRO = (1, 4)


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
