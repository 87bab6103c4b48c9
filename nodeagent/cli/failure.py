"""What a command that failed leaves behind: one line on stderr, and an exit status."""

import logging
import os
import traceback
from typing import Any

from nodeagent.cli.output import print_error
from nodeagent.errors import LEVEL_VARIABLE, leaves, one_line, unforeseen

ABORTED = 130


def report(error: Exception) -> int:
    """Print the line (wrong usage: with the way to the help) and return the exit status."""
    if type(error).__name__ == "Abort":
        return ABORTED
    usage: Any = error
    if hasattr(usage, "format_message"):  # wrong usage; its class belongs to the copy of click inside typer
        _tell_usage(usage)
        return int(usage.exit_code)
    for each in leaves(error):
        print_error(one_line(each) if isinstance(each, OSError) else unforeseen(each))
    if os.environ.get(LEVEL_VARIABLE) == "debug" or logging.getLogger().isEnabledFor(logging.DEBUG):
        traceback.print_exception(error)
    return 1


def _tell_usage(error: Any) -> None:
    message = str(error.format_message())
    if "\n" in message.strip() or not message.strip():  # no arguments at all: the help
        error.show()
        return
    context = getattr(error, "ctx", None)
    way_out = f" (see '{context.command_path} --help')" if context is not None else ""
    print_error(f"{message.strip()}{way_out}")
