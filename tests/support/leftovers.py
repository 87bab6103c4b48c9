"""What tests left on this machine: `python tests/support/leftovers.py` tells it; hack/test ends with it.

Rules and links of dead networks it takes away; processes, mounts and cgroups are left to be looked at. `leftovers.py --before`,
with which hack/test begins, takes those away as well and is no failure: what a killed run left is no fault of the next one.

What belongs to a subnet that no living test has claimed is nobody's (runtimes/testing/networks.py), whoever else is testing here.
Masquerading of pods whose bridge plugin was killed is a known leak of that plugin (bridge 1.1.1, `ipMasq`: its next DEL does not
find the rules) and no failure. Everything else is.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from live_trees import remove_cgroups

from runtimes.testing.networks import is_nobodys

_ADDRESS = re.compile(r"\b10\.\d+\.\d+\.\d+\b")
_NETWORK = re.compile(r'name: \\"na\w+\\"')  # every test network's name begins so
_MASQUERADE = re.compile(r"-A (POSTROUTING|CNI-[0-9a-f]{24}) .*--comment \"name: ")
_OF_TESTS = re.compile(r"/tmp/(pytest-of-[^/]+/pytest-|natest-|nacli|crash-)")
_GROUPS = ("natest-", "nats", "nacli")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Leftover:
    """`known`: by a fault of a plugin that tests bring about on purpose."""

    what: str
    known: bool = False


def rules_of_nobody(saved: str, nobodys: Callable[[str], bool] = is_nobodys) -> list[str]:
    """Of the lines of `iptables-save`: the rules of test networks whose subnets are nobody's, with those of their chains."""
    rules = [line for line in saved.splitlines() if line.startswith("-A ")]
    chains: dict[str, list[str]] = {}
    for rule in rules:
        chains.setdefault(rule.split()[1], []).append(rule)
    found: dict[str, None] = {}
    for rule in rules:
        group = [rule, *chains.get(rule.split()[-1], ())]
        addresses = _ADDRESS.findall(" ".join(group))
        if _NETWORK.search(rule) and addresses and all(nobodys(address) for address in addresses):
            found |= dict.fromkeys(group)
    return list(found)


def take_rules(nobodys: Callable[[str], bool] = is_nobodys) -> list[Leftover]:
    """Remove those rules, and their chains; returns what there was."""
    rules = rules_of_nobody(_run("iptables-save", "-t", "nat"), nobodys)
    for rule in rules:
        _, chain, *match = shlex.split(rule)
        _run("iptables", "-w", "-t", "nat", "-D", chain, *match)
    for chain in {rule.split()[1] for rule in rules if re.match(r"-A CNI-(DN-)?[0-9a-f]{21}", rule)}:
        _run("iptables", "-w", "-t", "nat", "-X", chain)  # fails for one that is still in use
    return [Leftover(f"rule {rule}", known=_MASQUERADE.match(rule) is not None) for rule in rules]


def _drop_empty_chains() -> None:
    """Of pods' masquerading. Not while others test: a plugin that is at work may have made one just now."""
    for line in _run("iptables-save", "-t", "nat").splitlines():
        if found := re.match(r":(CNI-[0-9a-f]{24}) ", line):
            _run("iptables", "-w", "-t", "nat", "-X", found[1])  # fails for one that is in use


def _links() -> Iterator[Leftover]:
    for link in json.loads(_run("ip", "-json", "address")):
        addresses = [item["local"] for item in link["addr_info"] if item["family"] == "inet"]
        if link["ifname"].startswith("na") and any(is_nobodys(address) for address in addresses):
            _run("ip", "link", "delete", link["ifname"])
            yield Leftover(f"link {link['ifname']} {addresses}")


def _processes() -> dict[int, str]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it has ended
    return found


def _ancestors() -> set[int]:
    """This process and those that wait for it: what calls hack/test may well name pytest."""
    found, pid = set[int](), os.getpid()
    while pid:
        found.add(pid)
        pid = _parent(pid)
    return found


def _of_pods(of: re.Pattern[str] = _OF_TESTS, groups: tuple[str, ...] = _GROUPS) -> Iterator[Leftover]:
    """Told only: what holds them is to be looked at."""
    ours = _ancestors()
    for pid, line in _processes().items():
        if of.search(line) and pid not in ours:
            yield Leftover(f"process {pid}: {line}")
    yield from (Leftover(f"mount {path}") for path in _mounts(of))
    yield from (Leftover(f"cgroup {path}") for path in _cgroups(groups))


def _mounts(of: re.Pattern[str]) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    return [line.split()[4] for line in lines if of.search(line.split()[4])]


def _cgroups(groups: tuple[str, ...]) -> list[Path]:
    found = (*_CGROUPS.glob("na*"), *_CGROUPS.glob("*/na*"))
    return [path for path in found if path.name.startswith(groups)]


def take_of_pods(of: re.Pattern[str] = _OF_TESTS, groups: tuple[str, ...] = _GROUPS) -> None:
    """End those processes, detach those mounts and remove those cgroups. A process that has a parent and is in no such cgroup
    is somebody's who reads what a run left: it stays."""
    for _ in range(50):  # 5 s: who is ended here may have begun another meanwhile, or leaves children without a parent
        ended = [pid for pid, line in _processes().items() if of.search(line) and _parent(pid) == 1]
        ended += [pid for path in _cgroups(groups) for pid in _inside(path)]
        for pid in ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in reversed(_mounts(of)):
            _run("umount", "--lazy", mount)
        for path in _cgroups(groups):
            remove_cgroups(f"/{path.name}")
        if not (ended or _mounts(of) or _cgroups(groups)):
            return
        time.sleep(0.1)


def _inside(cgroup: Path) -> list[int]:
    """The processes of a cgroup and of those below it."""
    found = list[int]()
    for folder, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):  # it has gone
            found += map(int, Path(folder, "cgroup.procs").read_text().split())
    return found


def _parent(pid: int) -> int:
    """0: it has ended, or is the first."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout


def main(*, before: bool) -> int:
    found = [*take_rules(), *_links()]
    ours = _ancestors()
    testing = {
        pid: line for pid, line in _processes().items() if pid not in ours and "pytest" in line.split("/tmp/")[0]
    }
    if testing:
        print("others are testing here: only networks were looked at")
        for pid, line in testing.items():
            print(f"  process {pid}: {line[:200]}")
    else:
        found += _of_pods()
        _drop_empty_chains()
    if before:
        for item in found[:5]:
            print(f"left by an earlier run: {item.what}")
        if found[5:]:
            print(f"left by an earlier run: {len(found) - 5} more")
        if not testing:
            take_of_pods()
            for item in _of_pods():
                print(f"cannot be taken away, or is somebody's: {item.what}")
        return 0
    known = sum(item.known for item in found)
    if known:
        print(f"removed {known} rules that the bridge plugin left when it was killed")
    for item in found:
        if not item.known:
            print(f"LEFT BEHIND: {item.what}")
    return 1 if len(found) > known else 0


if __name__ == "__main__":
    sys.exit(main(before="--before" in sys.argv[1:]))
