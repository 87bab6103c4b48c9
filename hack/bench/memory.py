#!/usr/bin/env python3
"""Where the memory of a node comes from.

    hack/bench/memory.py --pid AGENT            its processes: what is theirs, what they share, the files that they have mapped
    hack/bench/memory.py --imports MODULE ...   what each package costs at import, in kB and ms, in a process of its own

A node's total counts every anonymous page by its share, and every page of a file once, whoever else on the machine has it mapped
too: so it is the same on a machine where other Python programs run. conmon and what runs in containers are left out.
"""

import argparse
import importlib
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SHOWN = 12


@dataclass(slots=True)
class Mapped:
    """kB. `files`: resident, by path."""

    anonymous: int = 0
    shared: int = 0
    proportional: int = 0
    files: Counter[str] = field(default_factory=Counter)


def mapped(pid: int) -> Mapped:
    """One process as smaps tells it."""
    found, name = Mapped(), ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            name = words[5] if len(words) > 5 and words[5].startswith("/") else ""
            resident = anonymous = 0
            continue
        amount = int(words[1]) if words[-1] == "kB" else 0
        match words[0]:
            case "Rss:":
                resident = amount
            case "Pss:":
                found.proportional += amount
            case "Pss_Dirty:":
                dirty = amount
            case "Shared_Dirty:":
                found.shared += amount
            case "Anonymous:":
                anonymous = amount
                if name:
                    found.files[name] += resident - anonymous
                # what a fork has left to two processes is half of each
                found.anonymous += min(dirty, anonymous) if anonymous else 0
    return found


def of_node(pid: int) -> Iterator[tuple[str, Mapped]]:
    agent = psutil.Process(pid)
    yield "agent", mapped(pid)
    for child in agent.children():
        if "nodeagent.apiserver" in " ".join(child.cmdline()):
            yield "embedded API", mapped(child.pid)


def show_node(pid: int) -> None:
    files: dict[str, int] = defaultdict(int)
    total = 0
    for name, found in of_node(pid):
        print(
            f"{name}: anonymous {found.anonymous / 1e3:.1f} MB, of it shared {found.shared / 1e3:.1f} MB with its",
            end=" ",
        )
        print(f"parent or child; files {found.files.total() / 1e3:.1f} MB; PSS {found.proportional / 1e3:.1f} MB")
        total += found.anonymous
        for path, amount in found.files.items():
            files[path] = max(files[path], amount)
    print(
        f"the node, files once: {(total + sum(files.values())) / 1e3:.1f} MB, {sum(files.values()) / 1e3:.1f} of it files:"
    )
    for path, amount in sorted(files.items(), key=lambda item: -item[1])[:SHOWN]:
        print(f"  {amount / 1e3:6.1f} MB  {Path(path).name}")


def private_kb() -> int:
    """Of this process."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    raise AssertionError("every process has private pages")


def show_imports(modules: list[str]) -> None:
    """By top package, without what it imports in turn."""
    import importlib._bootstrap as bootstrap  # type: ignore[import-not-found]  # where the loading of one module is

    costs: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    below: list[list[float]] = [[0.0, 0.0]]
    load = bootstrap._load_unlocked

    def measured(spec: object) -> object:
        before, begin = private_kb(), time.process_time()
        below.append([0.0, 0.0])
        try:
            return load(spec)
        finally:
            inner = below.pop()
            spent = [private_kb() - before, (time.process_time() - begin) * 1000]
            cost = costs[spec.name.partition(".")[0]]  # type: ignore[attr-defined]  # a ModuleSpec
            for index in (0, 1):
                cost[index] += spent[index] - inner[index]
                below[-1][index] += spent[index]
            cost[2] += 1

    bootstrap._load_unlocked = measured
    for module in modules:
        importlib.import_module(module)
    print(f"{private_kb() / 1e3:.1f} MB private after {', '.join(modules)}")
    for name, (amount, spent, count) in sorted(costs.items(), key=lambda item: -item[1][0])[:SHOWN]:
        print(f"  {amount / 1e3:6.1f} MB {spent:6.0f} ms {count:4} modules  {name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pid", type=int, help="of the agent")
    what.add_argument("--imports", nargs="+", metavar="MODULE")
    what.add_argument("--imports-here", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pid:
        show_node(options.pid)
    elif options.imports_here:
        show_imports(options.imports_here)
    else:  # in a process that has imported nothing yet; once before, so that the bytecode is there
        for told in (subprocess.DEVNULL, None):
            subprocess.run([sys.executable, __file__, "--imports-here", *options.imports], check=True, stdout=told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
