"""What of cgroupspy this project uses, with the types that it does not have: files of a cgroup as descriptors."""

from typing import Any

from cgroupspy.controllers import Controller
from typing_extensions import override

class BaseFileInterface:
    filename: bytes
    readonly: bool
    writeonly: bool
    def __init__(self, filename: str, readonly: bool | None = None, writeonly: bool | None = None) -> None: ...
    def __get__(self, instance: Controller, owner: type[Controller]) -> Any: ...
    def __set__(self, instance: Controller, value: Any) -> None: ...
    def sanitize_get(self, value: str) -> Any: ...
    def sanitize_set(self, value: Any) -> Any: ...

class FlagFile(BaseFileInterface):
    @override
    def __get__(self, instance: Controller, owner: type[Controller]) -> bool: ...
    @override
    def __set__(self, instance: Controller, value: bool) -> None: ...

class IntegerFile(BaseFileInterface):
    """-1 reads as None, and None is written as -1."""

    @override
    def __get__(self, instance: Controller, owner: type[Controller]) -> int | None: ...
    @override
    def __set__(self, instance: Controller, value: int | None) -> None: ...

class DictFile(BaseFileInterface):
    @override
    def __get__(self, instance: Controller, owner: type[Controller]) -> dict[str, int]: ...

class ListFile(BaseFileInterface):
    @override
    def __get__(self, instance: Controller, owner: type[Controller]) -> list[str]: ...

class MultiLineIntegerFile(BaseFileInterface):
    @override
    def __get__(self, instance: Controller, owner: type[Controller]) -> list[int]: ...
