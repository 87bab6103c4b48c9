"""`$(NAME)` in container commands, environment values and subPathExpr. Source: the Kubernetes expansion rules."""

import re
from collections.abc import Callable, Mapping

_TOKEN = re.compile(r"\$(?:\$|\(([^)]*)\))")


class MissingVariable(LookupError):
    """A subPathExpr names a variable that is not set, or empty."""

    def __init__(self, name: str) -> None:
        super().__init__(f"missing value for {name}")
        self.name = name


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """Replace each `$(NAME)` by its value in the first scope that has it.

    An unknown name stays as it is, `$$` is a literal `$`, values are not expanded again.
    """
    if "$" not in text:
        return text

    def lookup(name: str) -> str:
        for scope in scopes:
            if name in scope:
                return scope[name]
        return f"$({name})"

    return _replace(text, lookup)


def expand_path(text: str, variables: Mapping[str, str]) -> str:
    """A subPathExpr: every variable must have a value. Raises MissingVariable."""

    def lookup(name: str) -> str:
        value = variables.get(name, "")
        if not value:
            raise MissingVariable(name)
        return value

    return _replace(text, lookup)


def _replace(text: str, lookup: Callable[[str], str]) -> str:
    return _TOKEN.sub(lambda match: "$" if match[1] is None else lookup(match[1]), text)
