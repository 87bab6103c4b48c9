"""Reading a kubelet's command line as Go's pflag does: `--name=value`, `--name value`, `-v4`; `_` in a name is `-`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodeagent.cli.kubelet.flags import FLAGS, SHORTHANDS, Flag


class UsageError(Exception):
    """The command line is wrong; the text is pflag's."""


@dataclass(slots=True)
class Given:
    """Flags with the values that they were given, in the order of the command line."""

    values: dict[str, Any] = field(default_factory=dict)

    def set(self, flag: Flag, text: str) -> None:
        """Raises UsageError."""
        try:
            self.values[flag.name] = flag.kind.read(text, self.values.get(flag.name))
        except ValueError as error:
            shown = f"-{flag.shorthand}, --{flag.name}" if flag.shorthand else f"--{flag.name}"
            raise UsageError(f'invalid argument "{text}" for "{shown}" flag: {error}') from error

    def deprecations(self) -> Iterator[str]:
        """A kubelet's lines about the deprecated flags that are in use."""
        for name in self.values:
            if FLAGS[name].deprecated:
                yield f"Flag --{name} has been deprecated, {FLAGS[name].deprecated}"

    def idle(self) -> Iterator[str]:
        """What is accepted and does nothing here, with the reason."""
        for name in self.values:
            if FLAGS[name].idle:
                yield f"--{name} has no effect here: {FLAGS[name].idle}"


def parse(arguments: Sequence[str]) -> Given:
    """Raises UsageError."""
    given, rest, words = Given(), list(arguments), []
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            words += rest
            break
        if argument.startswith("--"):
            _long(argument[2:], rest, given)
        elif argument.startswith("-") and len(argument) > 1:
            _short(argument[1:], rest, given)
        else:
            words.append(argument)
    if words and "help" not in given.values:
        raise UsageError(f"unknown command {words[0]}")
    return given


def _long(text: str, rest: list[str], given: Given) -> None:
    name, equals, value = text.partition("=")
    if not name or name.startswith("-"):
        raise UsageError(f"bad flag syntax: --{text}")
    flag = FLAGS.get(name.replace("_", "-"))
    if flag is None:
        raise UsageError(f"unknown flag: --{name}")
    if equals:
        given.set(flag, value)
    elif (bare := flag.kind.without_value) is not None:
        given.set(flag, bare)
    elif rest:
        given.set(flag, rest.pop(0))
    else:
        raise UsageError(f"flag needs an argument: --{name}")


def _short(text: str, rest: list[str], given: Given) -> None:
    letter, value = text[0], text[1:]
    flag = SHORTHANDS.get(letter)
    if flag is None:
        raise UsageError(f"unknown shorthand flag: '{letter}' in -{text}")
    if value:
        given.set(flag, value.removeprefix("="))
    elif (bare := flag.kind.without_value) is not None:
        given.set(flag, bare)
    elif rest:
        given.set(flag, rest.pop(0))
    else:
        raise UsageError(f"flag needs an argument: '{letter}' in -{text}")
