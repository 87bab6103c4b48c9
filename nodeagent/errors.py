"""Errors of the agent, and an exception as the one line that an operator reads. Debug logging shows the traceback."""

import os
from collections.abc import Iterator

LEVEL_VARIABLE = "NODEAGENT_LOG_LEVEL"  # for commands without --log-level


class AgentStartError(Exception):
    """The agent cannot run here, or not as it is configured; one line for the operator, with the field or the way out."""


class UnfitConfiguration(AgentStartError):
    """The configuration asks for what this machine does not have: exit status 2, as for one with mistakes."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, or the one that is none."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error


def one_line(error: BaseException) -> str:
    """What it says, without line breaks. An OSError: the file and the system's reason."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


def unforeseen(error: BaseException) -> str:
    """The line for an exception that no code expected: a fault of this program's, or of the machine's."""
    return (
        f"unexpected {type(error).__name__}: {one_line(error)} (for the traceback: --log-level debug, or "
        f"{LEVEL_VARIABLE}=debug)"
    )
