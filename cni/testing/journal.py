"""What the programs were sent during a check, and what they answered, so that a failure can be told and tried again by hand.

A process runs one check at a time, so there is one journal: `begin` opens it anew for each.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cni.testing import secrecy
from runtimes.linux.process import Completed

_MOST_RUNS: Final = 200
_MOST_TOLD: Final = 12
_MOST_CHARACTERS: Final = 2000
_MOST_REPEATED: Final = 8
# a tmpfs of the reproduction's own: namespaces are pinned there, and what plugins keep in files is there, too
_NETNS: Final = Path("/run/netns")
_HOST: Final = (
    f"mkdir -p {_NETNS} && mount -t tmpfs tmpfs {_NETNS}",
    "ip link set lo up",
    "ip link add eth0 type veth peer name outside",
    "ip address add 192.0.2.2/24 dev eth0",
    "ip link set outside up",
    "ip link set eth0 up",
    "ip route add default via 192.0.2.1",
)
_LOOK: Final = "ip address; ip route; iptables-save; ip6tables-save"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One of a program. `environment`: its CNI_* variables. `killed_after_seconds`: on purpose, where the check wants that.
    `namespace_gone`: nothing was at CNI_NETNS any more.
    """

    program: Path
    environment: Mapping[str, str]
    stdin: bytes
    ended: Completed | None
    killed_after_seconds: float | None
    namespace_gone: bool


_folder = Path()
_runs: list[Run] = []


def begin(folder: Path) -> None:
    """A check begins; `folder` is its own."""
    global _folder
    _folder = folder
    _runs.clear()


def note(
    program: Path,
    environment: Mapping[str, str],
    stdin: bytes,
    ended: Completed | None,
    *,
    killed_after_seconds: float | None = None,
) -> None:
    if len(_runs) < _MOST_RUNS:
        run = Run(
            program=program,
            environment=environment,
            stdin=stdin,
            ended=ended,
            killed_after_seconds=killed_after_seconds,
            namespace_gone=not os.path.ismount(environment.get("CNI_NETNS", "")),
        )
        _runs.append(run)


def runs() -> Sequence[Run]:
    """Those of the check, the first 200, in the order in which they ended."""
    return tuple(_runs)


def told() -> str:
    """The last runs, for people: what was sent, what came back; credentials struck out, long texts cut."""
    left_out = len(_runs) - _MOST_TOLD
    first = [f"({left_out} runs before)"] if left_out > 0 else []
    return "\n\n".join([*first, *map(_told, _runs[-_MOST_TOLD:])]) or "no plugin was run"


def _told(run: Run) -> str:
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(run.environment.items()))
    lines = [f"$ {variables} {run.program}", f"stdin:  {_cut(secrecy.struck_out(run.stdin))}"]
    if run.ended is None:
        after = run.killed_after_seconds
        why = "no answer, or not to be run" if after is None else f"killed after {after:g} s, as the check wants"
        lines.append(f"ended:  {why}")
    else:
        lines.append(f"exit:   {run.ended.returncode}")
        lines += [
            f"{name}: {_cut(secrecy.struck_out(text))}"
            for name, text in (("stdout", run.ended.stdout), ("stderr", run.ended.stderr))
            if text.strip()
        ]
    return "\n".join(lines)


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}… ({len(text)} characters)"


def reproduction() -> str:
    """A shell line that runs again what the last container of the check went through, on a host of its own, and looks then.

    Needs root, unshare(1), mount(8) and ip(8). Everything it makes dies with its shell. Empty where no program was run, or one
    that was the check's own.
    """
    last = next((run for run in reversed(_runs) if "CNI_COMMAND" in run.environment), None)
    if last is None:
        return ""
    about = last.environment.get("CNI_CONTAINERID")
    again = [run for run in _runs if run.environment.get("CNI_CONTAINERID") == about][-_MOST_REPEATED:]
    if any(run.program.is_relative_to(_folder) for run in again):
        return ""
    pods = list(dict.fromkeys(name for run in again if (name := _pod(run))))
    steps = " && ".join([*_HOST, *(f"ip netns add {name} && ip -n {name} link set lo up" for name in pods)])
    return "unshare --net --mount sh -c " + shlex.quote("; ".join([steps, *map(_again, again), _LOOK]))


def _pod(run: Run) -> str:
    """The name of the namespace that stands for the check's; empty where the check had none there."""
    path = run.environment.get("CNI_NETNS", "")
    return Path(path).name if path and Path(path).parent == _folder and Path(path).name.startswith("ns-") else ""


def _again(run: Run) -> str:
    name = _pod(run)
    given = " ".join(f"{key}={shlex.quote(_here(value))}" for key, value in sorted(run.environment.items()))
    deadline = f"timeout -s KILL {run.killed_after_seconds:g} " if run.killed_after_seconds is not None else ""
    stdin = shlex.quote(_here(secrecy.struck_out(run.stdin)))
    gone = f"ip netns delete {name} 2>/dev/null; " if name and run.namespace_gone else ""
    return f'{gone}printf %s {stdin} | env {given} {deadline}{shlex.quote(str(run.program))}; echo " exit $?"'


def _here(text: str) -> str:
    """What is in the check's folder, which goes with it, is on the tmpfs of the reproduction."""
    return text.replace(f"{_folder}/ns-", f"{_NETNS}/ns-").replace(f"{_folder}/", f"{_NETNS}/.files/")
