"""Rules of pods by the iptables programs, for kernels without nf_tables: the same promises, four forks a pod.

Own chains in the tables nat and raw, reached by one rule each from the built-in ones; every rule of a pod has its owner as
its comment. A change is one `iptables-restore --noflush` a table and family; a lock of ours keeps what was read true until then.

    NODEAGENT-PORTS   to an address of this machine: NODEAGENT-AT (one address), then NODEAGENT-ANY
    NODEAGENT-POST    masquerade, as in pod_table.py
    NODEAGENT-GUARD   raw: 127.0.0.0/8 from a bridge that routes it: drop
"""

import fcntl
import itertools
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from typing_extensions import override

from cni.native import conntrack
from cni.native.bridge_settings import open_loopback, unseen_versions
from cni.native.nftables.kernel import Netfilter
from cni.native.pod_table import owner_comment, reached_by, read_owner
from cni.native.rules import HostPort, HostPortTaken, Interface, Owner, PodRules, Rules, RulesFailed

Line = tuple[str, ...]  # one rule as `iptables-save` writes it, in words: -A CHAIN ...

_SECONDS = 20.0
_LOCK = Path("/run/nodeagent-iptables.lock")
_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_PORTS, _AT, _ANY, _POST, _GUARD = (f"NODEAGENT-{name}" for name in ("PORTS", "AT", "ANY", "POST", "GUARD"))
_CHAINS = {"nat": (_PORTS, _AT, _ANY, _POST), "raw": (_GUARD,)}
_LOCAL = ("-m", "addrtype", "--dst-type", "LOCAL")
_JUMPS: dict[str, tuple[Line, ...]] = {
    "nat": (
        ("-A", "PREROUTING", *_LOCAL, "-j", _PORTS),
        ("-A", "OUTPUT", *_LOCAL, "-j", _PORTS),
        ("-A", "POSTROUTING", "-j", _POST),
        ("-A", _PORTS, "-j", _AT),
        ("-A", _PORTS, "-j", _ANY),
    ),
    "raw": (("-A", "PREROUTING", "-j", _GUARD),),
}


class IptablesRules(Rules):
    """`suffix`: of the programs' names, "-legacy" or empty for whichever this machine has chosen."""

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix
        self._kernel = Netfilter()

    @override
    def apply(self, pod: PodRules) -> None:
        wanted = {version: pod_lines(pod, version) for version in _PROGRAMS}
        with _locked():
            there = {version: self._lines("nat", version) for version, lines in wanted.items() if lines}
            for version, lines in there.items():
                for line in wanted[version]:
                    _refuse_taken(line, lines, pod.owner)
            for version, lines in there.items():
                old = [line for line in lines if _owner(line) == pod.owner]
                self._change("nat", version, old, wanted[version], lines)
            if any(_leads(line) for line in wanted[4]):
                self._guard(pod.bridge, pod.network)
        if any(_leads(line) for line in wanted[4]):
            open_loopback(pod.bridge, pod.network)
        for lines in wanted.values():
            for port, _ in _udp_ports(lines):
                conntrack.forget_udp(
                    self._kernel, port, lambda found: found.was_redirected or not found.was_masqueraded
                )

    @override
    def remove(self, network: str, container_id: str, ifname: str) -> None:
        self._remove(Owner(network, container_id, ifname).__eq__)

    @override
    def check(self, pod: PodRules) -> list[str]:
        wrong = []
        for version in _PROGRAMS:
            wanted = set(pod_lines(pod, version))
            lines = self._lines("nat", version) if wanted else []
            have = {line for line in lines if _owner(line) == pod.owner}
            needed = [*(_JUMPS["nat"] if wanted else ()), *sorted(wanted)]
            wrong += [f"IPv{version}: {shlex.join(line)} is missing" for line in needed if line not in lines]
            wrong += [f"IPv{version}: {shlex.join(line)} is not the pod's" for line in sorted(have - wanted)]
        return wrong

    @override
    def keep_only(self, network: str, valid: AbstractSet[tuple[str, str]]) -> None:
        self._remove(lambda owner: owner.network == network and (owner.container_id, owner.ifname) not in valid)

    @override
    def owned(self) -> tuple[Owner, ...]:
        found = {_owner(line) for version in _PROGRAMS for line in self._lines("nat", version)}
        return tuple(sorted(owner for owner in found if owner is not None))

    @override
    def withdraw(self) -> bool:
        with _locked():
            if self.owned():
                return False
            for version in _PROGRAMS:
                for table, chains in _CHAINS.items():
                    lines = self._lines(table, version)
                    ours = [line for line in lines if line[1] in chains or line[-1] in chains]
                    gone = [_deleted(line) for line in ours] + [("-X", chain) for chain in reversed(chains)]
                    if ours or self._chains(table, version):
                        self._restore(table, version, gone)
        return True

    def _remove(self, belongs: Callable[[Owner], bool]) -> None:
        with _locked():
            for version in _PROGRAMS:
                lines = self._lines("nat", version)
                gone = [line for line in lines if (owner := _owner(line)) is not None and belongs(owner)]
                if gone:
                    self._restore("nat", version, [_deleted(line) for line in gone])
                for port, address in _udp_ports(gone):
                    conntrack.forget_udp(self._kernel, port, conntrack.answered_by({address}))

    def _guard(self, bridge: str, network: str) -> None:
        lines = self._lines("raw", 4)
        wanted: list[Line] = [
            ("-A", _GUARD, flag, "127.0.0.0/8", "-i", bridge, "-m", "comment", "--comment", network, "-j", "DROP")
            for flag in ("-s", "-d")
        ]
        self._change("raw", 4, [], [line for line in wanted if line not in lines], lines)

    def _change(self, table: str, version: int, gone: list[Line], come: Iterable[Line], there: list[Line]) -> None:
        """Chains and jumps that are missing come first. Naming a chain that is there would empty it."""
        known = self._chains(table, version)
        new = [f":{chain} - [0:0]" for chain in _CHAINS[table] if chain not in known]
        jumps = [jump for jump in _JUMPS[table] if jump not in there]
        lines = [*jumps, *(_deleted(line) for line in gone), *come]
        if new or lines:
            self._restore(table, version, lines, new)

    def _chains(self, table: str, version: int) -> set[str]:
        saved = self._run(version, "save", "-t", table).splitlines()
        return {line[1:].split()[0] for line in saved if line.startswith(":NODEAGENT-")}

    def _lines(self, table: str, version: int) -> list[Line]:
        saved = self._run(version, "save", "-t", table).splitlines()
        return [tuple(shlex.split(line)) for line in saved if line.startswith("-A ")]

    def _restore(self, table: str, version: int, lines: Iterable[Line], chains: Iterable[str] = ()) -> None:
        text = "\n".join([f"*{table}", *chains, *map(_quoted, lines), "COMMIT", ""])
        self._run(version, "restore", "--noflush", "-w", "5", text=text)

    def _run(self, version: int, verb: str, *arguments: str, text: str = "") -> str:
        program = f"{_PROGRAMS[version]}{self._suffix}-{verb}"
        try:
            done = subprocess.run(
                [program, *arguments], input=text, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RulesFailed(f"{program}: {error}") from error
        if done.returncode != 0:
            raise RulesFailed(f"{program} ended with status {done.returncode}", details=done.stderr.strip()[-500:])
        return done.stdout


def pod_lines(pod: PodRules, version: int) -> list[Line]:
    """The pod's rules of one family, in their order. Raises RulesRefused."""
    owner = ("-m", "comment", "--comment", owner_comment(pod.owner))
    lines = [
        _redirection(port, interface, owner)
        for port in pod.host_ports
        for interface in reached_by(port, pod.addresses)
        if interface.version == version
    ]
    unseen = version in unseen_versions(pod.bridge)
    for interface in pod.addresses:
        if interface.version == version:
            lines += _masquerades(interface, pod, owner, unseen=unseen)
    return list(dict.fromkeys(lines))


def _redirection(port: HostPort, interface: Interface, owner: Line) -> Line:
    address, target = str(interface.ip), f":{port.container_port}"
    at_one = bool(port.host_ip) and not ip_address(port.host_ip).is_unspecified
    where = ("-d", f"{ip_address(port.host_ip)}/{interface.max_prefixlen}") if at_one else ()
    protocol = ("-p", port.protocol), ("-m", port.protocol, "--dport", str(port.host_port))
    to = f"[{address}]{target}" if interface.version == 6 else f"{address}{target}"
    return (
        "-A",
        _AT if at_one else _ANY,
        *where,
        *protocol[0],
        *owner,
        *protocol[1],
        "-j",
        "DNAT",
        "--to-destination",
        to,
    )


def _masquerades(interface: Interface, pod: PodRules, owner: Line, *, unseen: bool) -> Iterator[Line]:
    own, multicast = (
        f"{interface.ip}/{interface.max_prefixlen}",
        "224.0.0.0/4" if interface.version == 4 else "ff00::/8",
    )
    redirected, masquerade = ("-m", "conntrack", "--ctstate", "DNAT"), ("-j", "MASQUERADE")
    if interface.version == 4:
        yield ("-A", _POST, "-s", "127.0.0.0/8", "-d", own, *owner, *masquerade)
    yield ("-A", _POST, "-s", own, "-d", own, *owner, *redirected, *masquerade)
    if unseen:
        yield ("-A", _POST, "-s", own, "-o", pod.bridge, *owner, *redirected, *masquerade)
    yield ("-A", _POST, "-s", own, "-o", pod.bridge, *owner, "-j", "RETURN")
    yield ("-A", _POST, "-s", own, "-d", multicast, *owner, "-j", "RETURN")
    if pod.masquerade:
        yield ("-A", _POST, "-s", own, *owner, *masquerade)


def _refuse_taken(line: Line, there: list[Line], owner: Owner) -> None:
    """Raise HostPortTaken if another's rule leads from the same place."""
    if not _leads(line):
        return
    for other in there:
        other_owner = _owner(other)
        if other_owner not in (None, owner) and _place(other) == _place(line):
            assert other_owner is not None
            raise HostPortTaken(" ".join(_place(line)[1:]), other_owner)


def _leads(line: Line) -> bool:
    return line[1] in (_AT, _ANY)


def _place(line: Line) -> Line:
    """Chain, and where a redirection begins: address, protocol, port."""
    values = dict(itertools.pairwise(line))
    return (line[1], *(values[flag] for flag in ("-d", "-p", "--dport") if flag in values))


def _owner(line: Line) -> Owner | None:
    if line[1] not in _CHAINS["nat"] or "--comment" not in line:
        return None
    return read_owner(line[line.index("--comment") + 1])


def _udp_ports(lines: Iterable[Line]) -> set[tuple[int, str]]:
    """(host port, pod's address) of the redirections of UDP among the rules."""
    found = set()
    for line in lines:
        if _leads(line) and "udp" in line:
            values = dict(itertools.pairwise(line))
            address = values["--to-destination"].rpartition(":")[0].strip("[]")
            found.add((int(values["--dport"]), address))
    return found


def _deleted(line: Line) -> Line:
    return ("-D", *line[1:])


def _quoted(line: Line) -> str:
    """As `iptables-restore` reads it: words with spaces in double quotes. No word of ours has one of these."""
    return " ".join(f'"{word}"' if " " in word else word for word in line)


@contextmanager
def _locked() -> Iterator[None]:
    """One of us at a time on this machine."""
    fd = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
