"""`nodeagent run`: read the configuration and hand over to the agent."""

import ipaddress
import re
import sys

import typer

from nodeagent.config import ConfigProblem, Options, load

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
_LABEL_NAME = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def run(options: Options) -> int:
    """Exit code of the agent; 2, and nothing started, for a configuration with mistakes."""
    try:
        config = load(options)
    except ConfigProblem as problem:
        for line in problem.problems:
            print(line, file=sys.stderr)
        return 2
    from nodeagent.main import run as run_agent

    return run_agent(config)


def parse_labels(text: str) -> tuple[tuple[str, str], ...]:
    """`a=b,c=d` as pairs. Raises typer.BadParameter."""
    labels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not _LABEL_NAME.fullmatch(name) or not _LABEL_VALUE.fullmatch(value):
            raise typer.BadParameter(f"{part!r} is not a label such as disk=ssd", param_hint="--node-labels")
        labels[name] = value
    return tuple(labels.items())


def checked_ip(text: str) -> str:
    """The address, or two of both families with a comma between. Raises typer.BadParameter."""
    for part in filter(None, text.split(",")):
        try:
            ipaddress.ip_address(part)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--node-ip") from None
    return text


def checked_word(option: str, word: str, words: tuple[str, ...]) -> str:
    if word not in words:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(words)}", param_hint=option)
    return word
