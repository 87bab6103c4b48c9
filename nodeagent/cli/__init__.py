"""The command line. Commands import what they need when they run: `nodeagent version` waits for nothing."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodeagent.config import Options


def main() -> None:
    """Entry point of the `nodeagent` program. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

    Under the name `kubelet` it is `nodeagent kubelet`.

    An error is one line for the operator; the traceback of one that nobody foresaw comes with debug logging.
    """
    if os.path.basename(sys.argv[0]) == "kubelet":  # noqa: PTH119  # installed in a kubelet's place
        sys.argv[1:1] = ["kubelet"]
    commands = {"run": _agent, "kubelet": _kubelet}
    sys.exit(_status(commands.get("".join(sys.argv[1:2]), _command)))


def _status(carry_out: Callable[[], object]) -> int:
    try:
        status = carry_out()
    except BrokenPipeError:
        # who reads the output has left: nothing is wrong, and nobody is there to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except Exception as error:
        from nodeagent.cli.failure import report

        status = report(error)
    return status if isinstance(status, int) else 0


def _command(agent: Callable[["Options"], None] | None = None) -> object:
    """`agent`: takes the options of `nodeagent run` instead of an agent."""
    from nodeagent.cli.app import app

    return app(standalone_mode=False, obj=agent)


def _agent() -> object:
    from nodeagent import standby
    from nodeagent.cli.options_apart import options_apart
    from nodeagent.cli.run import run

    found = options_apart(lambda hand_over: _status(lambda: _command(hand_over)), standby.share)
    return found if isinstance(found, int) else run(found)


def _kubelet() -> object:
    from nodeagent.cli.kubelet import run

    return run(sys.argv[2:])
