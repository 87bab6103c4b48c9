"""The command line. Commands import what they need when they run: `nodeagent version` waits for nothing."""

import os
import sys


def main() -> None:
    """Entry point of the `nodeagent` program. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

    An error is one line for the operator; the traceback of one that nobody foresaw comes with debug logging.
    """
    from nodeagent.cli.app import app

    try:
        status = app(standalone_mode=False)
    except BrokenPipeError:
        # who reads the output has left: nothing is wrong, and nobody is there to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except Exception as error:
        from nodeagent.cli.failure import report

        status = report(error)
    sys.exit(status if isinstance(status, int) else 0)
