"""Programs run to their end, or are gone; under both event loops that the project's users have."""

import asyncio
import errno
import os
import select
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from runtimes.linux import process

SH = "/bin/sh"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def test_output_and_exit_status_are_collected(run: Run) -> None:
    """Both streams and the status come back whole; a failure of the program is no exception."""
    argv = (SH, "-c", "cat; echo oops >&2; exit 3")
    done = run(process.run(argv, timeout_seconds=10, stdin=b"hello"))
    assert done == process.Completed(argv=argv, returncode=3, stdout=b"hello", stderr=b"oops\n")


def test_input_larger_than_a_pipe_arrives_whole(run: Run) -> None:
    """Feeding and reading go on side by side, so neither side waits for the other for ever."""
    data = os.urandom(1_000_000)
    assert run(process.run(["/bin/cat"], timeout_seconds=10, stdin=data)).stdout == data


@pytest.mark.parametrize("size", [2, 1_000_000])
def test_a_program_that_does_not_read_its_input_is_fine(run: Run, size: int) -> None:
    """A program may end without reading; its exit status tells, not the broken pipe."""
    assert run(process.run(["/bin/true"], timeout_seconds=10, stdin=b"x" * size)).ok


def test_death_by_signal_is_a_negative_status(run: Run) -> None:
    """As in `subprocess`, and the text names the signal."""
    done = run(process.run([SH, "-c", "kill -9 $$"], timeout_seconds=10))
    assert (done.returncode, done.error_text) == (-9, "killed by signal SIGKILL")


def test_environment_and_folder_replace_the_inherited_ones(run: Run, tmp_path: Path) -> None:
    """A program sees exactly the environment and the folder that it is given."""
    assert run(process.run(["/usr/bin/env"], timeout_seconds=10, env={"A": "1"})).stdout == b"A=1\n"
    assert run(process.run(["/bin/pwd"], timeout_seconds=10, cwd=str(tmp_path))).stdout.decode() == f"{tmp_path}\n"


@pytest.mark.parametrize("program", ["/nonexistent", "/tmp", "/etc/hostname", "/etc/hostname/x"])
def test_what_is_not_a_program_is_said_to_be_missing(run: Run, program: str) -> None:
    """No such file, a folder, a plain file, a path through a file: one error class."""
    with pytest.raises(process.ProgramNotFound, match=f"^cannot run {program}: ") as raised:
        run(process.run([program], timeout_seconds=10))
    assert raised.value.argv == (program,)


def test_other_failures_to_start_keep_their_errno(run: Run, tmp_path: Path) -> None:
    """A program that is open for writing cannot be run now: the caller can tell, and try again."""
    program = tmp_path / "true"
    shutil.copy("/bin/true", program)
    with program.open("ab"), pytest.raises(OSError, match="Text file busy") as raised:
        run(process.run([str(program)], timeout_seconds=10))
    assert raised.value.errno == errno.ETXTBSY


def test_the_deadline_kills_the_whole_process_group(run: Run, tmp_path: Path) -> None:
    """What the program had started goes with it, even when the program itself has ended; its stderr is kept."""
    script = f"echo said >&2; sleep 100 & echo $! > {tmp_path}/pid; exit 0"
    with pytest.raises(process.ProcessTimeout) as raised:
        run(process.run([SH, "-c", script], timeout_seconds=0.5))
    assert (str(raised.value), raised.value.stderr) == (f"{SH} did not finish within 0.5s and was killed", b"said\n")
    _wait_until_gone(int((tmp_path / "pid").read_text()))


def test_cancelling_kills_the_program(run: Run, tmp_path: Path) -> None:
    """A caller that gives up leaves no process behind."""
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)

    async def give_up() -> int:
        task = asyncio.create_task(process.run([SH, "-c", f"echo $$ > {pipe}; exec sleep 100"], timeout_seconds=60))
        pid = int(await asyncio.to_thread(pipe.read_text))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    _wait_until_gone(run(give_up()))


def test_output_is_bounded(run: Run) -> None:
    """A program that never stops talking is killed, and the memory of the agent is not its limit."""
    with pytest.raises(process.OutputTooLarge, match=r"^/usr/bin/yes wrote more than 1000 bytes and was killed$"):
        run(process.run(["/usr/bin/yes"], timeout_seconds=10, max_output_bytes=1000))


def test_nothing_stays_open(run: Run) -> None:
    """Good and bad runs leave as many file descriptors as there were."""

    async def good_and_bad() -> list[int]:
        open_files = []
        for _ in range(3):
            await process.run(["/bin/true"], timeout_seconds=10, stdin=b"x")
            with pytest.raises(process.ProcessTimeout):
                await process.run(["/bin/sleep", "100"], timeout_seconds=0.01, stdin=b"x")
            open_files.append(len(os.listdir("/proc/self/fd")))
        return open_files

    assert len(set(run(good_and_bad()))) == 1


def _wait_until_gone(pid: int) -> None:
    """Wait for the end of a process that is not a child any more."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([pidfd], [], [], 10)
        assert ended == [pidfd]
    finally:
        os.close(pidfd)
