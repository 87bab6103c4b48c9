"""Known flaws: what a released version of a plugin gets wrong, told as such instead of failing its checks.

A flaw is told by what is found, not by a check: whatever check finds nothing but known flaws ends as an expected failure with the
flaw's text; anything else that it finds fails it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def _findings(error: BaseException) -> Iterator[str]:
    if isinstance(error, Leftovers):
        yield from error.lines
    elif isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _findings(each)
    else:
        yield str(error)


def explains(error: BaseException, flaws: Iterable[Flaw]) -> str:
    """The texts of the flaws that are all there is to `error`; empty where there is more to it."""
    known = tuple(flaws)
    texts: list[str] = []
    for finding in _findings(error):
        flaw = next((flaw for flaw in known if re.fullmatch(flaw.found, finding, re.DOTALL)), None)
        if flaw is None:
            return ""
        texts.append(f"{flaw.plugin}: {flaw.text}")
    return "; ".join(dict.fromkeys(texts))


_MASQUERADE_CHAIN = r"CNI-[0-9a-f]{24}"


def _any_1_1_1(plugin: str) -> tuple[Flaw, ...]:
    """Of the frame that all plugins share."""
    return (
        Flaw(
            plugin=plugin,
            found=rf'plugin type="{plugin}" failed \(del\): unknown FS magic on .*',
            text="DEL fails where CNI_NETNS is a plain file, and its address stays reserved",
        ),
        Flaw(
            plugin=plugin,
            found=r'accepted: .*"sandbox": "/proc/self/ns/net".*',
            text="ADD into the plugin's own namespace is not refused",
        ),
        Flaw(
            plugin=plugin,
            found=rf"{plugin}: VERSION in 0\.4\.0 is answered in 1\.0\.0.*",
            text="VERSION is answered in the plugin's version, not in that of the question",
        ),
    )


def _masquerade_1_1_1(plugin: str) -> tuple[Flaw, ...]:
    """Of the rules that `ipMasq` makes: a chain a network and container, jumped to for each address."""
    # by the verbs, and by hand
    failed = rf'(plugin type="{plugin}" failed \(del\): |failed: Answer\(.*)running \[\S*ip6?tables -t nat'
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
            text="DEL fails where an address of the interface has no rule of ipMasq: somebody else added it, or ADD was killed",
        ),
    )


# Releases whose flaws come with this package, by the name for `--cni-known-flaws`.
RELEASES: Final[Mapping[str, tuple[Flaw, ...]]] = MappingProxyType(
    {
        # containernetworking/plugins 1.1.1, as Debian 12 has it
        "containernetworking-1.1.1": (
            Flaw(
                plugin="portmap",
                found=r'plugin type="portmap" failed \(check\): could not check ipv6 dnat: .*',
                text="CHECK of a pod that has only IPv4 fails: it looks for its ip6tables chain",
            ),
            Flaw(
                plugin="portmap",
                found=r"the values of the capability are lost, and the port stays: .*",
                text="DEL without runtimeConfig leaves the rules of the ports",
            ),
            Flaw(
                plugin="bridge",
                found=r'plugin type="bridge" failed \(check\): no plugin name provided',
                text="CHECK of a network without IPAM fails",
            ),
            *(
                flaw
                for plugin in ("bridge", "macvlan", "ptp", "bandwidth", "firewall", "portmap", "tuning")
                for flaw in _any_1_1_1(plugin)
            ),
            *_masquerade_1_1_1("bridge"),
            *_masquerade_1_1_1("ptp"),
            Flaw(
                plugin="bridge",
                found=r"nftables bridge nat .*\bcni-br-iface-.*",
                text="rules of macspoofchk stay when the namespace is gone before DEL",
            ),
            Flaw(
                plugin="bandwidth",
                found=r"not JSON on standard output: Answer\(status=2, stdout='', stderr='panic: .*/meta/bandwidth/.*",
                text="ADD without prevResult crashes",
            ),
            Flaw(
                plugin="bandwidth",
                found=r'plugin type="bandwidth" failed \(check\): netplugin failed: panic: .*/meta/bandwidth/.*',
                text="CHECK of a pod without limits crashes",
            ),
            Flaw(
                plugin="bandwidth",
                found=r"CHECK finds nothing wrong: the limits of bandwidth are gone",
                text="CHECK does not miss limits that are gone",
            ),
            Flaw(
                plugin="tuning",
                found=r"file \S+_eth0\.json",
                text="the file of what it changed stays when the namespace is gone before DEL",
            ),
            Flaw(
                plugin="tuning",
                found=r'plugin type="tuning" failed \(check\): open \S+/IFNAME/.*',
                text="CHECK fails with a sysctl of IFNAME: it looks for an interface of that name",
            ),
            Flaw(
                plugin="ptp",
                found=r'plugin type="ptp" failed \(add\): failed to add route .* file exists.*',
                text="a second interface of one pod fails: the host route to its gateway exists already",
            ),
        )
    }
)
