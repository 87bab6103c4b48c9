"""The checks in a process of their own, pytest, and what is left of it taken away, however it ends.

Its temporary files are in one folder, `workdir`, and whatever it starts is reparented to this process when its maker dies: so
both can be found and removed after a Ctrl-C, a crash, or a check that hangs.
"""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psutil

from csi.testing.restart_command import OUTLIVES
from nodeagent.testers.record import Record
from nodeagent.testers.recorder import OPTION
from nodeagent.testers.suites import Check, Suite
from runtimes.linux import mounts, syscalls
from runtimes.linux.removal import remove_tree

CHECK_SECONDS: Final = 120
_END_SECONDS: Final = 30.0
_AGAIN_SECONDS: Final = 0.1
_MOST_SAID: Final = 2000
# plug-ins of others that a machine has must not change what a check is
_PLUGINS: Final = ("pytest_asyncio.plugin", "pytest_timeout", "nodeagent.testers.recorder")
_XDIST: Final = "xdist.plugin"
_OTHERS_OPTIONS: Final = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST")
_DONE: Final = frozenset({0, 1, 5})  # passed, failed, nothing to run


class BrokenOff(Exception):
    """The checks did not come to their end; one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`options`: of the suite's plug-in. `workers`: how many checks at once, where pytest-xdist is there."""

    suite: Suite
    checks: Sequence[Check]
    options: Sequence[str]
    workers: int = 1


class _Line(msgspec.Struct, frozen=True):
    record: Record | None = None
    problem: str = ""


@contextlib.contextmanager
def workdir(parent: Path | None = None) -> Iterator[Path]:
    """A folder for all that a run makes; afterwards it is gone, and what is mounted there. Raises BrokenOff where that fails."""
    folder = Path(tempfile.mkdtemp(prefix="nodeagent-test-", dir=parent)).resolve()
    try:
        yield folder
    finally:
        with _deaf():
            _remove(folder)


def _remove(folder: Path) -> None:
    try:
        for point in sorted(mounts.mounts_below(folder), key=lambda path: len(path.parts), reverse=True):
            mounts.unmount_all(point)
        remove_tree(folder)
    except OSError as error:
        raise BrokenOff(f"left behind: {error}") from error


def run(job: Job, folder: Path, took: Callable[[Record], None]) -> None:
    """Run the checks; `took` is told of each as it ends. Blocks. Raises BrokenOff, and what a signal's handler raises.

    When it returns or raises, no process of the run is left.
    """
    reading, writing = os.pipe()
    syscalls.adopt_orphans()
    others = frozenset(_descendants())
    with open(reading, "rb") as lines, (folder / "said").open("w+b") as said:
        try:
            child = _start(job, folder, writing, said.fileno())
        finally:
            os.close(writing)
        try:
            for line in lines:
                told = msgspec.json.decode(line, type=_Line)
                if told.problem:
                    raise BrokenOff(_last_line(told.problem))
                if told.record is not None:
                    took(told.record)
            status = child.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            raise BrokenOff("the process that runs the checks does not end") from None
        finally:
            lines.close()  # nobody listens any more: it must not wait for that
            with _deaf():
                _end(child, others)
        if status not in _DONE:
            said.seek(max(0, said.seek(0, os.SEEK_END) - _MOST_SAID))
            raise BrokenOff(
                f"the process that runs the checks ended with status {status}: "
                f"{_last_line(said.read().decode(errors='replace'))}"
            )


def arguments(job: Job, records_fd: int) -> list[str]:
    """The command line of the process."""
    side_by_side = job.workers > 1 and importlib.util.find_spec("xdist") is not None
    plugins = (*_PLUGINS, job.suite.plugin, *((_XDIST,) if side_by_side else ()))
    return [
        *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-c", os.devnull),
        *(f"--rootdir={job.suite.folder}", f"--confcutdir={job.suite.folder}"),
        *(part for name in plugins for part in ("-p", name)),
        *("-p", "no:cacheprovider", f"--timeout={CHECK_SECONDS}", "-o", "asyncio_default_fixture_loop_scope=function"),
        *(("-n", str(job.workers)) if side_by_side else ()),
        *(f"{OPTION}={records_fd}", *job.options),
        *("--pyargs", *(check.node for check in job.checks)),
    ]


def _start(job: Job, folder: Path, writing: int, output: int) -> "subprocess.Popen[bytes]":
    kept = {name: value for name, value in os.environ.items() if name not in _OTHERS_OPTIONS}
    ours = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(job.suite.folder.parents[1]), *filter(None, [kept.get("PYTHONPATH")])]),
        "TMPDIR": str(folder),
    }
    # in a group of its own: a terminal's Ctrl-C is for this process, which ends that one and sees what it leaves
    return subprocess.Popen(
        arguments(job, writing),
        cwd=folder,  # no conftest.py of who calls
        env=kept | ours,
        pass_fds=(writing,),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _end(child: "subprocess.Popen[bytes]", others: frozenset[psutil.Process]) -> None:
    """Have it take down what it made, as after a Ctrl-C; then nothing that it has started may live on, but `others`."""
    if child.poll() is None:
        _interrupt(child)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_END_SECONDS)
    deadline = time.monotonic() + _END_SECONDS
    while (left := {each for each in _descendants() - others if not _outlives(each)}) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(list(left), timeout=_AGAIN_SECONDS)
    child.wait()


def _outlives(process: psutil.Process) -> bool:
    """Whether it is a driver that was started again for its tests."""
    try:
        return OUTLIVES in process.environ()
    except psutil.Error:
        return False


def _interrupt(child: "subprocess.Popen[bytes]") -> None:
    """SIGINT for pytest's processes: with workers for these alone, they end their checks and then the run."""
    with contextlib.suppress(psutil.Error):
        controller = psutil.Process(child.pid)
        workers = [each for each in controller.children() if os.getpgid(each.pid) == child.pid]
        for process in workers or [controller]:
            process.send_signal(signal.SIGINT)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Somebody impatient presses Ctrl-C again: what is being taken away is taken away."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
