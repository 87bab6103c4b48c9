"""What both testers let one choose, as annotations of their commands' parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodeagent.cli.output import print_error
from nodeagent.cli.path_option import path

if TYPE_CHECKING:
    from nodeagent.testers.command import Choice


RunOption = Annotated[
    list[str] | None, typer.Option("--run", metavar="PATTERN", help="Only checks with such ids (D5, K*); repeatable.")
]
SkipOption = Annotated[
    list[str] | None, typer.Option("--skip", metavar="PATTERN", help="No checks with such ids; repeatable.")
]
ListOption = Annotated[bool, typer.Option("--list", help="Only say which checks there are: id, level, group, title.")]
LevelOption = Annotated[
    str, typer.Option("--level", metavar="LEVEL", help="What counts for the exit code: must, should (and must), may.")
]
OutputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--output", "-o", metavar="FORM[=FILE]", help="table (the default), junit, json, tap or html; repeatable."
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", "-n", metavar="N", min=1, max=64, help="Checks at once (needs pytest-xdist).")
]
ExceptionsOption = Annotated[
    Path | None,
    typer.Option("--exceptions", metavar="FILE", parser=path, help='TOML of what is done without: ID = "the reason".'),
]


def choice(
    run: list[str] | None,
    skip: list[str] | None,
    list_only: bool,
    level: str,
    outputs: list[str] | None,
    workers: int,
) -> "Choice":
    """Raises ValueError."""
    from nodeagent.testers.command import Choice
    from nodeagent.testers.record import Level

    if level not in tuple(Level):
        raise ValueError(f"--level {level!r} is none of {', '.join(Level)}")
    return Choice(
        run=run or (),
        skip=skip or (),
        list_only=list_only,
        level=Level(level),
        outputs=outputs or (),
        workers=workers,
    )


def carried_out(command: Callable[[], int]) -> int:
    """Its exit status; 2, with one line, for what cannot be tested."""
    from nodeagent.testers.needs import Unusable, must_be_there

    try:
        must_be_there()
        return command()
    except (Unusable, ValueError) as error:
        print_error(" ".join(str(error).split()))
        return 2
