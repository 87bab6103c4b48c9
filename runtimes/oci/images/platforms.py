"""Which of an image's platforms run on this machine, and which of them is best.

Source: OCI image index (platform: os, architecture in GOARCH's words, variant); architecture names and the order of ARM's
variants as containerd has them; amd64's levels v1 to v4 of the x86-64 psABI, told by the processor's flags.
"""

import functools
import platform
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv8l": "arm",
    "armv7l": "arm",
    "armv6l": "arm",
    "armhf": "arm",
    "armel": "arm",
    "i686": "386",
    "i386": "386",
}
_PLAIN_VARIANT = {"amd64": "v1", "arm64": "v8", "arm": "v7"}  # what an image without a variant is for
_ARM_VARIANTS = {"armv8l": ("v8", "v7", "v6", "v5"), "armv7l": ("v7", "v6", "v5"), "armv6l": ("v6", "v5")}
_AMD64_FLAGS = (
    ("v2", {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    ("v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ("v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)

Place = tuple[str, str, str]  # os, architecture, variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Linux on `architecture`. `variants`: those that run here, best first; empty: variants do not matter."""

    architecture: str
    variants: tuple[str, ...] = ()

    def rank(self, place: Place) -> int | None:
        """How good an image for that platform is here, 0 the best; None: it does not run. Empty words fit."""
        os, architecture, variant = normal(place)
        if os not in ("", "linux") or architecture not in ("", self.architecture):
            return None
        if not self.variants:
            return 0
        variant = variant or _PLAIN_VARIANT.get(self.architecture, "")
        return self.variants.index(variant) if variant in self.variants else None

    @override
    def __str__(self) -> str:
        return f"linux/{self.architecture}"

    def lacking(self, offered: Collection[Place]) -> str:
        """ "linux/amd64 in its list (linux/arm64, …)", with what runs here where only the variants do not fit."""
        names = sorted({"/".join(filter(None, place)) for place in offered})
        text = f"{self} in its list ({', '.join(names) or 'empty'})"
        if any(normal(place)[:2] == ("linux", self.architecture) for place in offered) and self.variants:
            text += f"; this machine runs {', '.join(self.variants)}"
        return text


def normal(place: Place) -> Place:
    """A platform in GOARCH's words."""
    os, architecture, variant = (word.lower() for word in place)
    if architecture in ("armhf", "armel") and not variant:
        variant = "v7" if architecture == "armhf" else "v6"
    if variant[:1].isdigit():
        variant = f"v{variant}"
    return os, _ARCHITECTURES.get(architecture, architecture), variant


@functools.cache
def this_host(machine: str = "", cpuinfo: Path = Path("/proc/cpuinfo")) -> Host:
    """The machine that we run on. Reads a file."""
    machine = machine or platform.machine()
    architecture = _ARCHITECTURES.get(machine, machine)
    if architecture == "amd64":
        return Host(architecture=architecture, variants=_amd64_levels(cpuinfo))
    if architecture == "arm64":
        return Host(architecture=architecture, variants=("v8",))
    return Host(architecture=architecture, variants=_ARM_VARIANTS.get(machine, ()))


def _amd64_levels(cpuinfo: Path) -> tuple[str, ...]:
    levels = ["v1"]
    flags: set[str] = set()
    with cpuinfo.open() as file:
        for line in file:
            if line.startswith("flags"):
                flags = set(line.partition(":")[2].split())
                break
    for level, needed in _AMD64_FLAGS:
        if not needed <= flags:
            break
        levels.insert(0, level)
    return tuple(levels)
