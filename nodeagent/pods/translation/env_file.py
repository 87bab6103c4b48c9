"""Environment files of fileKeyRef: `NAME='value'`, values in single quotes over as many lines as they like.

Source: docs/facts/pod-lifecycle.md 10.3.
"""

import os
import re
from pathlib import Path

from runtimes.linux import syscalls

_MAX_BYTES = 1024 * 1024
_ENTRY = re.compile(
    r"""
    (?P<blank> [ \t]* (?:\#[^\n]*)? (?:\n|\Z) )
    | (?P<name> [^=\s'"\#][^=\s]* ) = (?: '(?P<value>[^']*)' | (?P<empty>(?=[ \t\n]|\Z)) ) [ \t]* (?:\#[^\n]*)? (?:\n|\Z)
    """,
    re.VERBOSE,
)


class EnvFileError(ValueError):
    """The text is not in the format."""


def parse_env_file(text: str) -> dict[str, str]:
    """Name -> value; the last of a name wins. Raises EnvFileError with the line."""
    variables: dict[str, str] = {}
    text = text.replace("\r\n", "\n")
    position = 0
    while position < len(text):
        match = _ENTRY.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise EnvFileError(f"line {line}: expected NAME='value'")
        if match["name"] is not None:
            variables[match["name"]] = match["value"] or ""
        position = match.end()
    return variables


def read_env_file(volume: Path, path: Path) -> dict[str, str]:
    """Read `path` inside a volume, which no link in it can leave. Blocks. Raises EnvFileError, OSError."""
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # a container may have put a FIFO or a device there
        descriptor = syscalls.open_regular(root, path)
    except syscalls.NotRegular as error:
        raise EnvFileError(f"{path} is not a regular file") from error
    finally:
        os.close(root)
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise EnvFileError(f"{path} is larger than {_MAX_BYTES} bytes")
    try:
        return parse_env_file(data.decode())
    except UnicodeDecodeError as error:
        raise EnvFileError(f"{path} is not UTF-8 text") from error
