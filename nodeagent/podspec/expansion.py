"""`$(NAME)` in container commands, environment values and subPathExpr. Source: the Kubernetes expansion rules.

Values may be put in again and again, so a few lines of a pod can ask for more bytes than the machine has: what comes of an
expansion is measured before it is made, and a reference is looked for once.
"""

from collections.abc import Callable, Mapping

MAX_PATH_BYTES = 4096  # PATH_MAX


class MissingVariable(LookupError):
    """A subPathExpr names a variable that is not set, or empty."""

    def __init__(self, name: str) -> None:
        super().__init__(f"missing value for {name}")
        self.name = name


class TooLarge(ValueError):
    """What an expansion would make is over its bound; nothing was made."""


def expand(text: str, *scopes: Mapping[str, str], max_bytes: int) -> str:
    """Replace each `$(NAME)` by its value in the first scope that has it. Raises TooLarge.

    An unknown name stays as it is, `$$` is a literal `$`, values are not expanded again.
    """

    def lookup(name: str) -> str:
        for scope in scopes:
            if name in scope:
                return scope[name]
        return f"$({name})"

    return _replace(text, lookup, max_bytes)


def expand_path(text: str, variables: Mapping[str, str]) -> str:
    """A subPathExpr: every variable must have a value. Raises MissingVariable, TooLarge."""

    def lookup(name: str) -> str:
        value = variables.get(name, "")
        if not value:
            raise MissingVariable(name)
        return value

    return _replace(text, lookup, MAX_PATH_BYTES)


def size_bytes(text: str) -> int:
    """As UTF-8; a byte that is none (carried in a lone surrogate) counts as one."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _replace(text: str, lookup: Callable[[str], str], max_bytes: int) -> str:
    pieces: list[str] = []
    left = max_bytes

    def add(piece: str) -> None:
        nonlocal left
        left -= size_bytes(piece)
        if left < 0:
            raise TooLarge(f"larger than {max_bytes} bytes when its variables are put in")
        pieces.append(piece)

    position = 0
    closed = True  # whether a `)` may still follow: without, no further `$(` is looked at twice
    while (dollar := text.find("$", position)) >= 0:
        add(text[position:dollar])
        position = dollar + 2
        match text[dollar + 1 : dollar + 2]:
            case "$":
                add("$")
            case "(" if closed and (end := text.find(")", position)) >= 0:
                add(lookup(text[position:end]))
                position = end + 1
            case other:
                closed = closed and other != "("
                add("$" + other)
    add(text[position:])
    return "".join(pieces)
