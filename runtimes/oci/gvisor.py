"""gVisor under conmon: containers of a pod share one sandbox, and only `runsc start` and `runsc wait` know them.

conmon waits for the process whose pid the runtime reports, and gives its own pipes to `create`. For a container in a shared
sandbox runsc reports the sandbox's pid, which is not conmon's to wait for, and takes the container's streams from `start`.
So conmon gets a wrapper for a runtime: it creates the container, leaves a small shell behind that starts it when told (over a
FIFO in the bundle), waits for it and exits as it did, and reports that shell's pid. Exit codes then need no agent.
"""

import asyncio
import errno
import logging
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from runtimes import errors
from runtimes.kube.json_errors import UNREADABLE
from runtimes.linux.removal import remove_tree
from runtimes.oci.program import RuntimeProgram, error_text, runtime_message

log = logging.getLogger(__name__)

_DEATH_SECONDS = 10.0
_REAPING_SECONDS = 0.5
_LOOK_SECONDS = 0.02

_WRAPPER = r"""#!/bin/sh
# conmon calls: create --bundle DIR [--no-pivot] --pid-file FILE [--console-socket SOCKET] ID
bundle= pidfile= console= id=
while [ $# -gt 0 ]; do
    case "$1" in
        --bundle) bundle=$2; shift ;;
        --pid-file) pidfile=$2; shift ;;
        --console-socket) console=$2; shift ;;
        create | --*) ;;
        *) id=$1 ;;
    esac
    shift
done
mkfifo -m 0600 "$bundle/go" "$bundle/started" || exit 1
RUNSC create --bundle "$bundle" ${console:+--console-socket "$console"} "$id" || exit $?
# opened for both ways, so that neither side ever waits for the other to open it
exec 3<&0 8<>"$bundle/go" 9<>"$bundle/started"
(
    read -r word <&8 || exit 137
    exec 8<&-
    if ! RUNSC --log="$bundle/start.log" start "$id" 9>&-; then
        echo failed >&9
        exit 128
    fi
    echo started >&9
    exec </dev/null >/dev/null 2>&1 3<&-
    answer=$(RUNSC wait "$id" 9>&-) || answer=
    answer=${answer##*\"exitStatus\":}
    answer=${answer%%\}*}
    # now, while conmon is here to reap what this ends
    RUNSC delete --force "$id" 9>&-
    exit "${answer:-137}"
) <&3 &
printf %s "$!" >"$pidfile"
"""


class _CpuUsage(msgspec.Struct):
    total: int = 0


class _Cpu(msgspec.Struct):
    usage: _CpuUsage


class _Data(msgspec.Struct):
    cpu: _Cpu


class _Event(msgspec.Struct):
    """The part of `runsc events --stats` that is true of one container; memory and pids are the whole sandbox's."""

    data: _Data


def write_wrapper(path: Path, runsc: Sequence[str]) -> None:
    """The wrapper for one handler's program and global arguments."""
    if not path.is_file():
        remove_tree(path)  # whatever it is
    path.write_text(_WRAPPER.replace("RUNSC", shlex.join(runsc)))
    path.chmod(0o700)


async def start(bundle: Path, *, timeout_seconds: float) -> None:
    """Have the waiting shell start its container. Raises Internal with runsc's words, Timeout."""
    answers = os.open(bundle / "started", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def readable() -> None:
        loop.remove_reader(answers)
        if not answer.done():
            answer.set_result(os.read(answers, 64))

    loop.add_reader(answers, readable)
    try:
        _tell(bundle / "go")
        async with asyncio.timeout(timeout_seconds):
            said = await answer
    except TimeoutError:
        raise errors.Timeout(f"runsc did not start the container within {timeout_seconds:g}s") from None
    finally:
        loop.remove_reader(answers)
        os.close(answers)
    if said.strip() != b"started":
        raise errors.Internal(f"OCI runtime start failed: {_start_error(bundle)}")


async def kill_command(program: RuntimeProgram, container_id: str, pid: int | None) -> str:
    """SIGKILL a process inside the sandbox with all that is below it; returns, as text, what has not gone after all."""
    if pid is None:
        return ""
    await _kill_process(program, container_id, pid, signal.SIGSTOP)  # else it may go on to its next command
    doomed = descendants(pid, await processes(program, container_id))
    for one in doomed:
        await _kill_process(program, container_id, one, signal.SIGKILL)
    for number in range(int(_DEATH_SECONDS / _LOOK_SECONDS)):
        left = set(doomed) & set(await processes(program, container_id))
        if not left or (pid not in left and number * _LOOK_SECONDS > _REAPING_SECONDS):
            return ""  # others may be dead and still be listed: the container's first process has to reap them, and need not
        await asyncio.sleep(_LOOK_SECONDS)
    return f"process {pid} of the sandbox"


async def _kill_process(program: RuntimeProgram, container_id: str, pid: int, number: int) -> None:
    """Signal one process by its pid inside the container. One that has ended is fine."""
    done = await program.run("kill", "--pid", str(pid), container_id, str(number))
    if not done.ok:
        log.debug("%s kill --pid %d %s: %s", program.path, pid, container_id, error_text(done))


async def processes(program: RuntimeProgram, container_id: str) -> dict[int, int]:
    """The container's processes, by their pids inside it, with their parents'. None of one that has ended."""
    done = await program.run("ps", container_id)
    if not done.ok:
        log.debug("%s ps %s: %s", program.path, container_id, error_text(done))
    rows = [line.split() for line in done.stdout.decode(errors="replace").splitlines()[1:]] if done.ok else []
    return {int(row[1]): int(row[2]) for row in rows if len(row) > 2 and row[1].isdigit() and row[2].isdigit()}


async def cpu_usage_ns(program: RuntimeProgram, container_id: str) -> int | None:
    """What a container has used of its sandbox's CPU time. None of one that has ended."""
    done = await program.run("events", "--stats", container_id)
    if not done.ok:
        log.debug("%s events %s: %s", program.path, container_id, error_text(done))
        return None
    try:
        return msgspec.json.decode(done.stdout, type=_Event).data.cpu.usage.total
    except UNREADABLE:
        raise errors.Internal(f"{program.path} events printed something else than statistics") from None


def descendants(pid: int, parents: Mapping[int, int]) -> list[int]:
    """A process and all below it, parents first. `parents`: pid -> parent's pid."""
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one and child not in found]
    return found


def _tell(fifo: Path) -> None:
    try:
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise errors.Internal("the container's waiting process is gone") from None
        raise
    with open(fd, "wb", buffering=0) as file:
        file.write(b"start\n")


def _start_error(bundle: Path) -> str:
    try:
        return runtime_message((bundle / "start.log").read_text(errors="replace")[-4096:])
    except OSError:
        return "runsc gave no reason"
