"""The command line of the agent, read by a process of its own: the agent lives long, and the libraries that read it are 8 MB.

Meanwhile the agent imports what it needs itself.
"""

import contextlib
import os
import pickle
import sys
from collections.abc import Callable

from nodeagent.config import Options


def options_apart(read: Callable[[Callable[[Options], None]], int], meanwhile: Callable[[], None]) -> Options | int:
    """The options that `read`, in a fork, hands to the function that it is given; where it hands over none (wrong usage, --help),
    the exit status that it returns. Call while there are no threads."""
    outcome, outcome_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = read(lambda options: _send(options, outcome_end))
        finally:
            # never back into the frames of the agent
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(status)
    os.close(outcome_end)
    meanwhile()
    with os.fdopen(outcome, "rb") as file:
        told = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not told:
        return status if status >= 0 else 1
    options: Options = pickle.loads(told)
    return options


def _send(options: Options, outcome_end: int) -> None:
    with os.fdopen(outcome_end, "wb") as file:
        pickle.dump(options, file)
