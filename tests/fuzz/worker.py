"""The process that runs one target: `python -m tests.fuzz.worker MODULE TARGET SECONDS SEED`. It writes a JSON line a find, and
one a second with how far it has come; the input under way is in a file, for the case that it never comes back.

First all that is kept, then inputs of the grammar, then mutations: led by coverage where atheris is installed, else blind.
"""

import contextlib
import json
import logging
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz import corpus
from tests.fuzz.contract import Find, Target
from tests.fuzz.judge import judge, limit_memory
from tests.fuzz.mutation import mutated
from tests.fuzz.shrink import smallest

GRAMMAR_SHARE = 0.3
_ROUND = 200
_CORPUS = 400
_HOUSE = ["nodeagent", "runtimes", "cni"]

try:
    import atheris
except ImportError:  # no wheel for this Python or this machine
    atheris = None


class Worker:
    """Judges inputs and tells what it finds; one find a kind and place."""

    def __init__(self, target: Target, under_way: Path, say: Callable[[dict[str, Any]], None]) -> None:
        self._target = target
        self._under_way = under_way
        self._say = say
        self._known: set[tuple[str, str]] = set()
        self._told = self._begin = time.monotonic()
        self.count = 0
        self.some: list[bytes] = []  # of what the grammar made, to begin mutations with

    def try_out(self, data: bytes) -> None:
        self._under_way.write_bytes(data)
        find = judge(self._target, data)
        self.count += 1
        if find is not None and find.key not in self._known:
            self._known.add(find.key)
            self._tell(find)
        if time.monotonic() - self._told > 1:
            self.tell_progress()

    def tell_progress(self) -> None:
        self._told = time.monotonic()
        self._say({"count": self.count, "seconds": self._told - self._begin})

    def _tell(self, find: Find) -> None:
        def same(candidate: bytes) -> bool:
            other = judge(self._target, candidate)
            return other is not None and other.key == find.key

        data = smallest(find.data, same)
        # a short time's find may need the whole input: what is kept must be wrong again
        self._say({"kind": find.kind, "place": find.place, "text": find.text, "data": data.hex()})


def by_grammar(worker: Worker, target: Target, until: float, first_seed: int) -> None:
    for number in range(first_seed, sys.maxsize):
        if time.monotonic() >= until:
            return

        @seed(number)
        @settings(
            max_examples=_ROUND,
            database=None,
            phases=(Phase.generate,),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def one_round(data: bytes) -> None:
            if time.monotonic() < until:
                worker.try_out(data[: target.largest_bytes])
                if len(worker.some) < _CORPUS:
                    worker.some.append(data[: target.largest_bytes])

        one_round()


def blindly(worker: Worker, target: Target, until: float, chance: random.Random) -> None:
    while time.monotonic() < until:
        data = chance.choice(worker.some)
        worker.try_out(mutated(data, chance, target.words, worker.some, target.largest_bytes))


def by_coverage(worker: Worker, target: Target, until: float, number: int, folder: Path) -> None:
    """libFuzzer's loop, with our mutations beside its own; it ends the process."""
    for index, data in enumerate(worker.some):
        (folder / str(index)).write_bytes(data)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        chance = random.Random(number)
        if chance.random() < 0.3:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, chance, target.words, worker.some, min(most, target.largest_bytes))

    options = [
        f"-max_total_time={max(1, int(until - time.monotonic()))}",
        f"-seed={number + 1}",
        "-timeout=3600",
        "-rss_limit_mb=0",
    ]
    options += [f"-max_len={target.largest_bytes}", "-handle_segv=0", "-print_final_stats=0", "-verbosity=0"]
    options += [f"-artifact_prefix={folder.parent}/", str(folder)]
    atheris.Setup(["fuzz", *options], worker.try_out, custom_mutator=mutate)
    atheris.Fuzz()


def main(module: str, name: str, seconds: float, number: int) -> None:
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=_HOUSE) if atheris else contextlib.nullcontext():
        from tests.fuzz import scratch
        from tests.fuzz.targets import of_module

        target = next(target for target in of_module(module) if target.name == name)
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libFuzzer has words of its own
    worker = Worker(target, Path(os.environ["FUZZ_UNDER_WAY"]), lambda line: print(json.dumps(line), file=say))
    kept = [*corpus.seeds(name), *corpus.found(name)]
    with contextlib.suppress(*target.allowed):
        target.run(kept[0] if kept else b"{}")  # what is built once is no input's cost
    limit_memory()
    worker.tell_progress()
    begin = time.monotonic()
    for data in kept:
        worker.try_out(data)
        worker.some.append(data)
    by_grammar(worker, target, begin + seconds * GRAMMAR_SHARE, number)
    worker.tell_progress()
    if atheris:
        corpus_folder = scratch.folder(os.getpid()) / "corpus"
        corpus_folder.mkdir()
        by_coverage(worker, target, begin + seconds, number, corpus_folder)
    else:
        blindly(worker, target, begin + seconds, random.Random(number))
    worker.tell_progress()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
    except Exception as error:  # of hypothesis, whose traces end in the whole grammar
        where = traceback.extract_tb(error.__traceback__)[-1]
        sys.exit(f"{type(error).__name__} at {where.filename}:{where.lineno}: {str(error)[:300]}")
