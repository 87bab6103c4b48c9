"""What a part of the agent is, and the order in which parts start.

A part is a function that starts something and returns it. The types of its parameters are what it needs, the type that it
returns is what it provides; `X | None` is a need that may be missing. So nobody writes down an order: it follows.

    async def start_server(scope: Scope, config: Config, pods: PodManager, client: ApiClient | None) -> NodeServer: ...
"""

import functools
import typing
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any

from typing_extensions import override

STOP_SECONDS = 15.0


class PartsError(Exception):
    """The parts do not fit together: a mistake in the list, not of the operator's."""


class Skip(Exception):
    """Raised by a part that is not wanted, before it has made anything; the text says by what: "enableServer: false"."""


@dataclass(frozen=True, slots=True)
class Need:
    """One parameter of a part. `optional`: None is given where nobody provides it, or who would is skipped."""

    parameter: str
    type: Any
    optional: bool = False

    @override
    def __str__(self) -> str:
        return str(getattr(self.type, "__name__", self.type))


@dataclass(frozen=True, slots=True)
class Part:
    """`stop_seconds`: how long its loops, and then what it has to undo, may take to end."""

    name: str
    start: Callable[..., Awaitable[object]]
    stop_seconds: float = STOP_SECONDS

    @property
    def needs(self) -> tuple[Need, ...]:
        """Raises PartsError."""
        hints = _hints(self.start)
        return tuple(self._need(name, hint) for name, hint in hints.items() if name not in (SCOPE, "return"))

    @property
    def provides(self) -> Any:
        """A type; None: nothing that others could need."""
        found = _hints(self.start).get("return", NoneType)
        return None if found is NoneType else found

    def _need(self, parameter: str, hint: Any) -> Need:
        options = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
        kinds = [option for option in options if option is not NoneType]
        if len(kinds) != 1:
            raise PartsError(f'part "{self.name}": {parameter} is to be one type, or one and None')
        return Need(parameter, kinds[0], optional=len(options) > 1)


SCOPE = "scope"  # the first parameter of every part


@functools.cache
def _hints(start: Callable[..., Awaitable[object]]) -> dict[str, Any]:
    """Asked again and again while parts are put in order, and for each agent of a process."""
    return typing.get_type_hints(start)


def in_order(parts: Iterable[Part], given: Collection[Any] = ()) -> tuple[Part, ...]:
    """The parts so that each comes after those it needs, else as they are listed. `given`: types that are there already.

    Raises PartsError for a need that nobody provides, a type that two provide, and for parts that need each other.
    """
    waiting = list(parts)
    provider = _providers(waiting, given)
    for part in waiting:
        for need in part.needs:
            if not need.optional and need.type not in given and need.type not in provider:
                raise PartsError(f'part "{part.name}" needs {need}, and no part provides it')
    found: list[Part] = []
    while waiting:
        ready = next((part for part in waiting if not any(_unmet(part, provider, found))), None)
        if ready is None:
            raise PartsError(f"parts need each other: {' -> '.join(_circle(waiting[0], provider, found))}")
        found.append(ready)
        waiting.remove(ready)
    return tuple(found)


def _providers(parts: Iterable[Part], given: Collection[Any]) -> dict[Any, Part]:
    provider: dict[Any, Part] = {}
    for part in parts:
        provided = part.provides
        if provided is None:
            continue
        if provided in provider or provided in given:
            other = f'part "{provider[provided].name}"' if provided in provider else "what is given"
            raise PartsError(f'part "{part.name}" provides {provided.__name__}, as {other} does')
        provider[provided] = part
    return provider


def _unmet(part: Part, provider: dict[Any, Part], found: Sequence[Part]) -> Iterator[Part]:
    """Those that have to come first."""
    for need in part.needs:
        if need.type in provider and provider[need.type] not in found:
            yield provider[need.type]


def _circle(part: Part, provider: dict[Any, Part], found: Sequence[Part]) -> list[str]:
    """Names along unmet needs until one comes again."""
    way: list[Part] = []
    while part not in way:
        way.append(part)
        part = next(_unmet(part, provider, found))
    return [each.name for each in [*way[way.index(part) :], part]]
