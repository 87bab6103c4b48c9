"""Known flaws: what a released version of a plugin gets wrong, told as such instead of failing its checks.

A flaw is told by what is found, not by a check: whatever check finds nothing but known flaws ends as an expected failure with the
flaw's text; anything else that it finds fails it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """`plugin`: whose it is, the type in configurations. `found`: a pattern for the whole of a finding. `text`: for reports."""

    plugin: str
    found: str
    text: str


class Leftovers(AssertionError):
    """What a check left behind when every DEL had succeeded, a line each (cni/testing/host.py)."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("left behind:\n  " + "\n  ".join(lines))
        self.lines = tuple(lines)


def explains(error: BaseException, flaws: Iterable[Flaw]) -> str:
    """The texts of the flaws that are all there is to `error`; empty where there is more to it."""
    findings = error.lines if isinstance(error, Leftovers) else (str(error),)
    known = tuple(flaws)
    texts: list[str] = []
    for finding in findings:
        flaw = next((flaw for flaw in known if re.fullmatch(flaw.found, finding, re.DOTALL)), None)
        if flaw is None:
            return ""
        texts.append(f"{flaw.plugin}: {flaw.text}")
    return "; ".join(dict.fromkeys(texts))


_MASQUERADE_CHAIN = r"CNI-[0-9a-f]{24}"


def _masquerade_1_1_1(plugin: str) -> tuple[Flaw, ...]:
    """Of the rules that `ipMasq` makes: a chain a network and container, jumped to for each address."""
    failed = rf'plugin type="{plugin}" failed \(del\): running \[\S*ip6?tables -t nat'
    return (
        Flaw(
            plugin=plugin,
            found=rf"ip6?tables nat (-A POSTROUTING .*-j {_MASQUERADE_CHAIN}|-[NA] {_MASQUERADE_CHAIN}.*)",
            text="DEL finds the rules of ipMasq by the addresses on the interface: when those are gone, the rules stay",
        ),
        Flaw(
            plugin=plugin,
            found=rf"{failed} -X {_MASQUERADE_CHAIN} .*(busy|Too many links).*",
            text="two interfaces of one container share the chain of ipMasq: DEL of the first fails",
        ),
        Flaw(
            plugin=plugin,
            found=rf"{failed} -D POSTROUTING .*does not exist.*",
            text="DEL removes a rule of ipMasq for every address on the interface, and fails at one that somebody else has added",
        ),
    )


# Releases whose flaws come with this package, by the name for `--cni-known-flaws`.
RELEASES: Final[Mapping[str, tuple[Flaw, ...]]] = MappingProxyType(
    {
        # containernetworking/plugins 1.1.1, as Debian 12 has it
        "containernetworking-1.1.1": (
            Flaw(
                plugin="portmap",
                found=r'plugin type="portmap" failed \(check\): .*ip6tables.*',
                text="CHECK of a pod that has only IPv4 fails: it looks for its ip6tables chain",
            ),
            *_masquerade_1_1_1("bridge"),
            *_masquerade_1_1_1("ptp"),
            Flaw(
                plugin="ptp",
                found=r'plugin type="ptp" failed \(add\): failed to add route .* file exists.*',
                text="a second interface of one pod fails: the host route to its gateway exists already",
            ),
        )
    }
)
