"""In which order parts start: from what each of them says that it needs."""

import random
from collections.abc import Awaitable, Callable

import pytest

from nodeagent import cri_server, main
from nodeagent.assembly.board import Board
from nodeagent.assembly.host import Host
from nodeagent.assembly.parts import Need, Part, PartsError, in_order
from nodeagent.assembly.running import Scope
from nodeagent.config import Config
from nodeagent.pods.manager_handle import ManagerHandle
from runtimes.linux.service_manager import ServiceManager


class Api: ...


class Engine: ...


class Pods: ...


async def api(scope: Scope) -> Api:
    return Api()


async def engine(scope: Scope, api: Api | None) -> Engine:
    return Engine()


async def pods(scope: Scope, api: Api, engine: Engine) -> Pods:
    return Pods()


async def log(scope: Scope, pods: Pods) -> None: ...


PARTS = tuple(Part(start.__name__, start) for start in (api, engine, pods, log))


def names(parts: tuple[Part, ...]) -> list[str]:
    return [part.name for part in parts]


def test_a_part_is_what_its_function_says() -> None:
    """Needs are parameters, what may be missing is a union with None; what is provided is the answer's type."""
    assert Part("pods", pods).needs == (Need("api", Api), Need("engine", Engine))
    assert Part("engine", engine).needs == (Need("api", Api, optional=True),)
    assert (Part("pods", pods).provides, Part("log", log).provides) == (Pods, None)


def test_needs_come_first() -> None:
    """However the parts are listed; also what is needed only where it is there. Those that are free stay as listed."""
    for seed in range(20):
        shuffled = random.Random(seed).sample(PARTS, len(PARTS))
        assert names(in_order(shuffled)) == ["api", "engine", "pods", "log"]
    assert names(in_order(PARTS[1:], {Api})) == ["engine", "pods", "log"]
    assert names(in_order([Part("second", engine), Part("first", api)][::-1])) == ["first", "second"]


def test_a_need_that_nobody_provides() -> None:
    """It is told with the part and the type; what may be missing may be missing."""
    with pytest.raises(PartsError, match=r'^part "pods" needs Api, and no part provides it$'):
        in_order(PARTS[1:])
    assert names(in_order([PARTS[1]])) == ["engine"]


def test_parts_that_need_each_other() -> None:
    """The circle is told, from part to part, without those that only wait for it."""

    async def chicken(scope: Scope, egg: Engine) -> Api:
        return Api()

    async def egg(scope: Scope, chicken: Api | None) -> Engine:
        return Engine()

    circle = [Part("pods", pods), Part("chicken", chicken), Part("egg", egg)]
    with pytest.raises(PartsError, match=r"^parts need each other: chicken -> egg -> chicken$"):
        in_order(circle)


def test_two_cannot_provide_the_same() -> None:
    """Nor one what is given."""
    with pytest.raises(PartsError, match=r'^part "other" provides Api, as part "api" does$'):
        in_order([PARTS[0], Part("other", api)])
    with pytest.raises(PartsError, match=r'^part "api" provides Api, as what is given does$'):
        in_order([PARTS[0]], {Api})


def test_a_need_is_one_type() -> None:
    """Of two nobody could say which is meant."""

    async def either(scope: Scope, it: Api | Engine) -> None: ...

    with pytest.raises(PartsError, match=r'^part "either": it is to be one type, or one and None$'):
        in_order([Part("either", either)])


GIVEN: dict[str, tuple[tuple[Part, ...], set[Callable[..., Awaitable[object]] | type]]] = {
    "agent": (main.PARTS, {Config, Host, Board, ManagerHandle, ServiceManager}),
    "runtime serve": (cri_server.PARTS, {Config, cri_server.Listen}),
}


@pytest.mark.parametrize("program", GIVEN)
def test_the_parts_of_the_programs_fit_together(program: str) -> None:
    """Every need is met; and they are listed in the order in which they start, so that the list can be read as what happens."""
    parts, given = GIVEN[program]
    assert in_order(parts, given) == parts


def test_nothing_acts_before_the_folders_are_ours() -> None:
    """Whoever writes on the disk, or touches cgroups or pods, needs the locks, however far. Counters of the agent's own are only
    made, and traces only sent.
    """
    provider = {part.provides: part for part in main.PARTS if part.provides is not None}

    def below(part: Part) -> set[str]:
        direct = [provider[need.type] for need in part.needs if need.type in provider]
        return {each.name for each in direct}.union(*map(below, direct))

    free = {part.name for part in main.PARTS if "folders" not in below(part)}
    assert free == {"folders", "admission metrics", "image metrics", "traces"}
