"""Exceptions as operators read them."""

import logging

import pytest

from nodeagent.errors import AgentStartError, Misconfigured, leaves, one_line
from nodeagent.main import status_of, tell


def test_one_line() -> None:
    """The file and the system's reason of an OSError; of others what they say, without line breaks; never nothing."""
    assert one_line(PermissionError(13, "Permission denied", "/x")) == "/x: Permission denied"
    assert one_line(OSError("cgroup /a does not exist")) == "cgroup /a does not exist"
    assert one_line(ValueError("a\n  b\n")) == "a b"
    assert one_line(KeyError()) == "KeyError"


def test_groups_are_told_by_what_is_in_them() -> None:
    """However deep: the exceptions themselves."""
    one, two = ValueError("one"), OSError("two")
    assert list(leaves(ExceptionGroup("g", [ExceptionGroup("h", [one]), two]))) == [one, two]


@pytest.mark.parametrize(
    ("error", "up", "lines"),
    [
        (AgentStartError("port 1 is taken"), False, ["port 1 is taken"]),
        (
            ExceptionGroup("g", [AgentStartError("no runtime"), OSError(2, "gone", "/f")]),
            False,
            ["no runtime", "/f: gone"],
        ),
        (
            TypeError("a bug"),
            False,
            ["unexpected TypeError: a bug (for the traceback: --log-level debug, or NODEAGENT_LOG_LEVEL=debug)"],
        ),
    ],
)
def test_the_agents_last_words(error: Exception, up: bool, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """What was foreseen is told as it is, also out of a task group; anything else as unexpected; tracebacks at debug level."""
    caplog.set_level(logging.DEBUG)
    tell(error, up=up)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == lines
    (traceback,) = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert traceback.exc_info is not None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ExceptionGroup("g", [Misconfigured("reserved more than there is")]), 2),
        (AgentStartError("port 1 is taken"), 1),
        (ExceptionGroup("g", [Misconfigured("a"), OSError(2, "gone", "/f")]), 1),
    ],
)
def test_the_exit_status(error: Exception, status: int) -> None:
    """2 where only another configuration helps."""
    assert status_of(error) == status


def test_a_running_agent_that_dies_of_a_fault_leaves_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody could have asked for it before."""
    tell(TypeError("a bug"), up=True)
    assert [(record.levelname, bool(record.exc_info)) for record in caplog.records] == [
        ("ERROR", False),
        ("ERROR", True),
    ]
