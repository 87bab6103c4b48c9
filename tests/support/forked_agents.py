"""Agents as forks of a process that has imported one, so that a test's many starts do not import the same again and again.

    agents = ForkedAgents()                                  # one process, waiting with everything imported
    agent = agents.start(("run", "--standalone"), log)

What runs is the program's own `main`, with its own command line, environment and files. What is not as in life is that the
imports are done, which take a second of the processor's time: tests whose promise is the start itself, or which start the agent
inside of something else, start it by its name.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hurried import shorten

from runtimes.linux.syscalls import set_command_line

REPO = Path(__file__).resolve().parents[2]
IMPORTED = ("nodeagent.cli.app", "nodeagent.cli.run", "nodeagent.main", "nodeagent.apiserver.__main__")
START_SECONDS = 60.0
_MESSAGE_BYTES = 1 << 17
_ROOM = 4000  # for the command lines of forks, which are no longer than that of the process they come from


# -- in the test -------------------------------------------------------------------------------------------------------


class ForkedAgent:
    """One of them; as `subprocess.Popen` as far as tests use one."""

    def __init__(self, agents: "ForkedAgents", pid: int) -> None:
        self._agents = agents
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        """As it was last heard of."""
        return self._agents.statuses.get(self.pid)

    def poll(self) -> int | None:
        self._agents.listen(0)
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("nodeagent", timeout)
            self._agents.listen(0.1)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedAgents:
    """The process that they come from, which goes when this one does."""

    def __init__(self) -> None:
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._started = list[int]()
        self.statuses: dict[int, int] = {}
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), " " * _ROOM],
                cwd=REPO,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(self, arguments: Sequence[str], log: int, hurry: Sequence[str] = ()) -> ForkedAgent:
        """`nodeagent ARGUMENTS`, its output into the open file `log`. `hurry`: as `hurried.py` takes it."""
        request = {"arguments": list(arguments), "environment": dict(os.environ), "hurry": list(hurry)}
        with self._starting:
            socket.send_fds(self._connection, [json.dumps(request).encode()], [log])
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline:
                self.listen(0.1)
                if self._started:
                    return ForkedAgent(self, self._started.pop())
        raise AssertionError(f"no fork within {START_SECONDS:g} s")

    def listen(self, seconds: float) -> None:
        """Take what has been told, waiting so long for the first of it."""
        with self._lock:
            self._connection.settimeout(seconds)
            with contextlib.suppress(TimeoutError, BlockingIOError):
                while True:
                    told = self._connection.recv(_MESSAGE_BYTES)
                    assert told, f"the process that agents come from has ended: {self._process.poll()}"
                    self._take(json.loads(told))
                    self._connection.settimeout(0)
            self._connection.settimeout(None)

    def _take(self, told: dict[str, int]) -> None:
        if "status" in told:
            self.statuses[told["pid"]] = told["status"]
        else:
            self.statuses.pop(told["pid"], None)  # a number that was another's
            self._started.append(told["pid"])


# -- in the process that they come from --------------------------------------------------------------------------------


def main() -> None:
    """Serve, in the process that was started; in each fork, run the agent."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = str(REPO)  # as -m has it
    gc.disable()
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a collection writes into every object that it looks at
    asked = _serve(connection)
    if asked is None:
        return
    gc.enable()
    os.environ.clear()
    os.environ.update(asked["environment"])
    for setting in asked["hurry"]:
        shorten(setting)
    set_command_line(sys.executable, "-m", "nodeagent", *asked["arguments"])
    sys.argv = [str(REPO / "nodeagent" / "__main__.py"), *asked["arguments"]]
    runpy.run_module("nodeagent", run_name="__main__", alter_sys=True)


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork whenever it is asked for, and tell of ends; returns in each fork what it is to be, and None when nobody is left."""
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(connection, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj == woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, 4096)
                _tell_ends(connection)
                continue
            asked, files, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, 1)
            if not asked:
                return None
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                selector.close()
                connection.close()
                for number in (1, 2):
                    os.dup2(files[0], number)
                os.closerange(3, max(files[0], woken, wakes) + 1)
                fork: dict[str, Any] = json.loads(asked)
                return fork
            os.close(files[0])
            connection.send(json.dumps({"pid": pid}).encode())


def _tell_ends(connection: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            with contextlib.suppress(BrokenPipeError):
                connection.send(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}).encode())


if __name__ == "__main__":
    main()
