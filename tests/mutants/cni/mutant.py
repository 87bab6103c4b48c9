"""What a mutant is, and the decorators that make one of a function."""

from collections.abc import Callable

from .call import Answer, Call

Body = Callable[[Call], Answer]


class Mutant:
    """`plugin`: the program that it stands in for. `network`: one of networks.py. `fault`: one sentence.

    `caught_by`: checks that must fail. `also`: others that do, too. `hangs`: it would take the suite's whole deadline.
    """

    def __init__(self, body: Body, plugin: str, network: str, caught_by: str, also: str, hangs: bool) -> None:
        self.body, self.plugin, self.network, self.hangs = body, plugin, network, hangs
        self.name = body.__name__
        self.fault = " ".join((body.__doc__ or "").split())
        self.caught_by, self.also = tuple(caught_by.split()), tuple(also.split())


class Odd:
    """What the specification allows. `plugin`: as of a mutant, "" where the network itself is the oddity.

    `touches`: the checks that would be the first to blame it; a whole run blames nothing as a must.
    """

    hangs = False

    def __init__(self, body: Body, plugin: str, network: str, touches: str) -> None:
        self.body, self.plugin, self.network = body, plugin, network
        self.name = body.__name__
        self.fact = " ".join((body.__doc__ or "").split())
        self.touches = tuple(touches.split())


def spoils(
    plugin: str, *, caught_by: str, also: str = "", network: str = "bridge", hangs: bool = False
) -> Callable[[Body], Mutant]:
    """Make a mutant of a function: what it answers is what the program answers. Ids of checks are separated by blanks."""
    return lambda body: Mutant(body, plugin, network, caught_by, also, hangs)


def allowed(plugin: str, *, touches: str, network: str = "bridge") -> Callable[[Body], Odd]:
    """Make an odd but allowed plugin of a function."""
    return lambda body: Odd(body, plugin, network, touches)
