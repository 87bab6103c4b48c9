"""One FlexVolume driver: a program on the host that is run once a call, and answers in JSON.

    <folder>/<vendor~driver>/<driver> VERB ARGUMENT...  ->  {"status": "Success" | "Failure" | "Not supported", "message": …}

What a driver says it does not support is not asked of it again. Source: docs/facts/storage.md 4.10.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from nodeagent.volumes.contract import VolumeError
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux import process

INIT_SECONDS = 10.0
CALL_SECONDS = 120.0
_MAX_ANSWER_BYTES = 1024 * 1024
_SUCCESS, _NOT_SUPPORTED = "Success", "Not supported"


class DriverCannot(VolumeError):
    """The driver does not support the call."""


class DriverCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver says of itself in answer to `init`; what it does not say is so."""

    attach: bool = True
    selinux_relabel: bool = msgspec.field(default=True, name="selinuxrelabel")
    supports_metrics: bool = msgspec.field(default=False, name="supportsmetrics")
    fs_group: bool = msgspec.field(default=True, name="fsgroup")


_EVERYTHING = DriverCapabilities()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver says. `device`: the path of an attached one."""

    status: str = ""
    message: str = ""
    device: str = ""
    capabilities: DriverCapabilities = _EVERYTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A driver whose `init` has succeeded. `name`: vendor/driver, as volumes name it; `program`: what is run."""

    name: str
    program: Path
    capabilities: DriverCapabilities = _EVERYTHING
    _cannot: set[str] = field(default_factory=set)

    @classmethod
    async def start(cls, directory: Path) -> Self:
        """The driver of a directory `vendor~driver`, asked for its capabilities. Raises VolumeError."""
        driver = cls(name=driver_name(directory.name), program=program_of(directory))
        answer = await driver.call("init", timeout_seconds=INIT_SECONDS)
        return cls(name=driver.name, program=driver.program, capabilities=answer.capabilities)

    async def call(self, verb: str, *arguments: str, timeout_seconds: float = CALL_SECONDS) -> Answer:
        """Run the program. Raises DriverCannot, VolumeError; neither shows an argument: there may be secrets among them."""
        if verb in self._cannot:
            raise DriverCannot(_NOT_SUPPORTED)
        try:
            done = await process.run(
                (str(self.program), verb, *arguments),
                timeout_seconds=timeout_seconds,
                max_output_bytes=_MAX_ANSWER_BYTES,
            )
        except process.ProcessError as error:
            raise VolumeError(f"{verb} of FlexVolume driver {self.name}: {error}") from error
        except OSError as error:
            raise VolumeError(f"{verb} of FlexVolume driver {self.name}: {error.strerror or error}") from error
        try:
            return self._judged(verb, read_answer(done.stdout), done.ok)
        except UNREADABLE as error:
            how = "" if done.ok else f" (exit status {done.returncode})"
            raise VolumeError(
                f"{verb} of FlexVolume driver {self.name}: its answer is no status{how}: {error}"
            ) from error

    def _judged(self, verb: str, answer: Answer, ok: bool) -> Answer:
        if answer.status == _NOT_SUPPORTED:
            self._cannot.add(verb)
            raise DriverCannot(_NOT_SUPPORTED)
        if answer.status != _SUCCESS:
            raise VolumeError(f"{verb} command failed, status: {answer.status}, reason: {answer.message}")
        if not ok:
            raise VolumeError(f"{verb} of FlexVolume driver {self.name}: it says Success, and its exit status is not 0")
        return answer


def read_answer(data: bytes) -> Answer:
    """Keys in any case, as drivers write them; what else is in it is passed over. Raises one of UNREADABLE."""
    found = _lower(msgspec.json.decode(data, type=dict[str, object]))
    if isinstance(capabilities := found.get("capabilities"), Mapping):
        found["capabilities"] = _lower(capabilities)
    return msgspec.convert({key: value for key, value in found.items() if value is not None}, Answer)


def _lower(found: Mapping[str, object]) -> dict[str, object]:
    return {str(key).lower(): value for key, value in found.items()}


def driver_name(directory: str) -> str:
    """`vendor~driver` -> `vendor/driver`."""
    return directory.replace("~", "/")


def program_of(directory: Path) -> Path:
    """`…/vendor~driver/driver`."""
    return directory / directory.name.rpartition("~")[2]
