"""How a path is read from a command line."""

import os
from pathlib import Path

import typer


def path(text: str | Path) -> Path:
    """Made absolute where it is read, links kept: later the working directory may be another, and other programs get the path.

    Raises typer.BadParameter.
    """
    if not str(text) or "\0" in str(text):
        raise typer.BadParameter("an empty path" if not str(text) else "a path with a null byte")
    return Path(os.path.abspath(text))  # noqa: PTH100  # links stay
