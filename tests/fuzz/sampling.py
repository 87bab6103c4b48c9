"""A short run that is the same every time, for the suite: all that is kept, some of the grammar, some mutations of both."""

import random
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz import corpus
from tests.fuzz.contract import Target
from tests.fuzz.mutation import mutated


def generated(target: Target, count: int) -> list[bytes]:
    """So many inputs of the target's grammar; the same for the same grammar."""
    made: list[bytes] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(target.inputs)
    def gather(data: bytes) -> None:
        made.append(data[: target.largest_bytes])

    gather()
    return made


def changed(target: Target, inputs: list[bytes], count: int) -> Iterator[bytes]:
    """So many mutations of inputs."""
    chance = random.Random(target.name)
    for _ in range(count):
        yield mutated(chance.choice(inputs), chance, target.words, inputs, target.largest_bytes)


def short_run(target: Target, count: int) -> Iterator[bytes]:
    kept = [*corpus.seeds(target.name), *corpus.found(target.name)]
    yield from kept
    made = generated(target, count)
    yield from made
    yield from changed(target, [*kept, *made], count)
