"""The embedded API's process before it has anything to do: forked from the agent when that has imported what both need.

So they share those pages, and each imports the rest of its own beside the other. It serves nothing until it is told to: the state
folder may be another agent's. A process of its own from then on, as one that was started by its program's name.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from nodeagent.trust_apart import import_aiohttp
from runtimes.linux.syscalls import set_command_line

# What both import, by its topmost modules. A test holds that it is both's, and that no library of both is missing.
SHARED = (
    "google.protobuf.internal.builder",
    "google.protobuf.runtime_version",
    "importlib.metadata",
    "nodeagent.api.certificates",
    "nodeagent.apitypes.encode",
    "nodeagent.apitypes.object_meta",
    "nodeagent.logs",
    "nodeagent.podspec.charged",
    "nodeagent.podspec.defaults",
    "nodeagent.podspec.node_affinity",
    "nodeagent.podspec.node_fit",
    "nodeagent.podspec.qos",
    "nodeagent.podspec.references",
    "nodeagent.podspec.validation.pod",
    "nodeagent.server.bounded_site",
    "nodeagent.tls_policy",
    "prometheus_client.core",
    "runtimes.kube.bounded_yaml",
    "runtimes.kube.json_errors",
    "runtimes.linux.allocator",
    "runtimes.linux.retry",
    "uvloop",
)
_PROGRAM = "nodeagent.apiserver"


class Standby:
    """A process that waits for its arguments; once watched, `asyncio.subprocess.Process` as far as the agent uses one."""

    def __init__(self, pid: int, orders: int, answers: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: asyncio.StreamReader | None = None
        self._orders = orders
        self._answers = answers
        self._pidfd = os.pidfd_open(pid)
        self._ended = asyncio.Event()

    def begin(self, arguments: Sequence[str]) -> None:
        """Let it go on as `nodeagent.apiserver` with these arguments. Once."""
        with os.fdopen(self._orders, "w") as orders, contextlib.suppress(BrokenPipeError):
            orders.write(f"{json.dumps(list(arguments))}\n")

    async def watch(self) -> None:
        """Hear from the running event loop what it says, and its end. Once."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._end, loop)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
        self.stdout = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(self.stdout)
        await loop.connect_read_pipe(lambda: protocol, os.fdopen(self._answers, "rb", 0))

    async def wait(self) -> int:
        """Its exit status; negative: the signal that ended it."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._pidfd)
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._pidfd)
        self._ended.set()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        """By the pidfd: it cannot hit another process. Raises ProcessLookupError when it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError(f"process {self.pid} has ended")
        signal.pidfd_send_signal(self._pidfd, number)


def share() -> None:
    """Import what is shared."""
    import_aiohttp()
    for name in SHARED:
        importlib.import_module(name)


def fork() -> Standby:
    """Share, then fork. Call while there are no threads and no event loop."""
    share()
    gc.freeze()  # a collection writes into every object that it looks at
    orders, orders_end = os.pipe()
    answers_end, answers = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(orders_end)
        os.close(answers_end)
        _child(orders, answers)
    os.close(orders)
    os.close(answers)
    return Standby(pid, orders_end, answers_end)


def _child(orders: int, answers: int) -> NoReturn:
    status = 1
    try:
        status = _stand_by(orders, answers)
    except SystemExit as leave:
        status = leave.code if isinstance(leave.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # never back into the agent's frames
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(status)


def _stand_by(orders: int, answers: int) -> int:
    """The end of the orders without a word: the agent has gone, or starts none."""
    # Ctrl-C at the agent's terminal is the agent's: it still needs the API for its last words
    os.setsid()
    set_command_line(_PROGRAM)
    os.dup2(answers, sys.stdout.fileno())
    os.close(answers)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    program = importlib.import_module(f"{_PROGRAM}.__main__")
    with os.fdopen(orders) as text:
        line = text.readline()
    if not line:
        return 0
    arguments = json.loads(line)
    set_command_line(_PROGRAM, *arguments)
    gc.enable()
    status: int = program.main(arguments)
    return status
