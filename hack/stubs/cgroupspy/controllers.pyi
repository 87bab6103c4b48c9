"""What of cgroupspy this project uses, with the types that it does not have: the controllers of cgroup v1."""

from typing import Protocol

from cgroupspy.interfaces import DictFile, IntegerFile, MultiLineIntegerFile

class _Node(Protocol):
    full_path: bytes

class Controller:
    node: _Node
    procs: MultiLineIntegerFile
    def __init__(self, node: _Node) -> None: ...
    def filepath(self, filename: bytes) -> bytes: ...
    def get_property(self, filename: bytes) -> str: ...
    def set_property(self, filename: bytes, value: object) -> int: ...

class CpuController(Controller):
    cfs_period_us: IntegerFile
    cfs_quota_us: IntegerFile
    shares: IntegerFile
    stat: DictFile

class CpuAcctController(Controller):
    usage: IntegerFile

class CpuSetController(Controller): ...

class MemoryController(Controller):
    failcnt: IntegerFile
    limit_in_bytes: IntegerFile
    soft_limit_in_bytes: IntegerFile
    usage_in_bytes: IntegerFile
    max_usage_in_bytes: IntegerFile
    memsw_limit_in_bytes: IntegerFile
    memsw_usage_in_bytes: IntegerFile
    stat: DictFile

class BlkIOController(Controller): ...
