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

from live_trees import paths_below, remove_cgroups

from runtimes.testing.networks import is_nobodys

_ADDRESS = re.compile(r"\b10\.\d+\.\d+\.\d+\b")
_NETWORK = re.compile(r'name: \\"na\w+\\"')  # every test network's name begins so
_MASQUERADE = re.compile(r"-A (POSTROUTING|CNI-[0-9a-f]{24}) .*--comment \"name: ")
_OF_TESTS = re.compile(r"/tmp/(pytest-of-[^/]+/pytest-|natest-|nacli|crash-)")
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
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _of_pods() -> Iterator[Leftover]:
    """Told only: what holds them is to be looked at."""
    yield from (Leftover(f"process {pid}: {line}") for pid, line in _processes_of_tests().items())
    yield from (Leftover(f"mount {path}") for path in _mounts_of_tests())
    yield from (Leftover(f"cgroup {path}") for path in _cgroups_of_tests())


def _processes_of_tests() -> dict[int, str]:
    ours = _ancestors()
    return {pid: line for pid, line in _processes().items() if _OF_TESTS.search(line) and pid not in ours}


def _mounts_of_tests() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    return [line.split()[4] for line in lines if _OF_TESTS.search(line.split()[4])]


def _cgroups_of_tests() -> list[Path]:
    found = (*_CGROUPS.glob("na*"), *_CGROUPS.glob("*/na*"))
    return [path for path in found if path.name.startswith(("natest-", "nats", "nacli"))]


def take_of_pods() -> None:
    """End those processes, detach those mounts and remove those cgroups, with whatever runs in them."""
    for _ in range(50):  # 5 s: who is ended here may have begun another meanwhile
        running = [*_processes_of_tests(), *(pid for path in _cgroups_of_tests() for pid in _inside(path))]
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in reversed(_mounts_of_tests()):
            _run("umount", "--lazy", mount)
        for path in _cgroups_of_tests():
            remove_cgroups(f"/{path.name}")
        if not (running or _mounts_of_tests() or _cgroups_of_tests()):
            return
        time.sleep(0.1)


def _inside(cgroup: Path) -> list[int]:
    """The processes of a cgroup and of those below it."""
    found = list[int]()
    for path in (cgroup, *paths_below(cgroup)):
        with contextlib.suppress(OSError):
            found += map(int, (path / "cgroup.procs").read_text().split()) if path.is_dir() else []
    return found


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
        if not testing:
            take_of_pods()
        for item in found[:5]:
            print(f"left by an earlier run, taken away: {item.what}")
        if found[5:]:
            print(f"left by an earlier run, taken away: {len(found) - 5} more")
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
