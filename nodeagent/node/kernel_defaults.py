"""Kernel settings that a node depends on: set at start, or with protectKernelDefaults only compared, and refused.

Source: setupKernelTunables, Kubernetes 1.36 (docs/facts/node-resources.md 1.5).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

log = logging.getLogger(__name__)

SYSCTLS = Path("/proc/sys")
KERNEL_DEFAULTS: Mapping[str, int] = {
    "vm.overcommit_memory": 1,  # memory is promised freely, limits are the cgroups'
    "vm.panic_on_oom": 0,
    "kernel.panic": 10,  # seconds until a machine that has panicked starts again
    "kernel.panic_on_oops": 1,
    "kernel.keys.root_maxkeys": 1000000,  # each container has a keyring
    "kernel.keys.root_maxbytes": 25000000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A setting that is not as it should be. `actual` None: it cannot be read, for `reason`."""

    name: str
    expected: int
    actual: int | None
    reason: str = ""

    @override
    def __str__(self) -> str:
        actual = self.actual if self.actual is not None else self.reason
        return f"invalid kernel flag: {self.name}, expected value: {self.expected}, actual value: {actual}"

    @property
    def command(self) -> str:
        return f"sysctl -w {self.name}={self.expected}"


class UnprotectedKernel(Exception):
    """protectKernelDefaults is set, and the kernel's settings are others; the text names each and the way out."""


def deviations(sysctls: Path = SYSCTLS) -> list[Deviation]:
    found = []
    for name, expected in KERNEL_DEFAULTS.items():
        try:
            actual = int(_path(sysctls, name).read_text())
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            found.append(Deviation(name=name, expected=expected, actual=None, reason=reason))
            continue
        if actual != expected:
            found.append(Deviation(name=name, expected=expected, actual=actual))
    return found


def hold(*, protect: bool, sysctls: Path = SYSCTLS) -> None:
    """Compare with `protect`, and raise UnprotectedKernel; without it set what differs.

    What cannot be set (a container, a locked kernel) is logged, and pods run all the same.
    """
    wrong = deviations(sysctls)
    if protect and wrong:
        commands = " && ".join(item.command for item in wrong)
        raise UnprotectedKernel(
            f"protectKernelDefaults: {'; '.join(map(str, wrong))} (as root: {commands}; or unset protectKernelDefaults)"
        )
    for item in wrong:
        try:
            _path(sysctls, item.name).write_text(f"{item.expected}\n")
        except OSError as error:
            log.warning("%s, and it cannot be set: %s", item, error.strerror)
        else:
            log.info(
                "Updating kernel flag %s: expected value %d, actual value %s", item.name, item.expected, item.actual
            )


def _path(sysctls: Path, name: str) -> Path:
    return sysctls / name.replace(".", "/")
