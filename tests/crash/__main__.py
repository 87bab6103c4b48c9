"""`hack/crash-matrix`: the matrix of cases on some nodes at once, and a table of what came of it."""

import argparse
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from node_under_test import DEMO_IMAGE, REPO

from tests.crash.cases import Case, all_cases, chosen
from tests.crash.crash_node import make_crash_node
from tests.crash.groups import groups
from tests.crash.lane import Lane, Result

DEFAULT_SEED = 20261121
DEFAULT_CASES = 240  # under ten minutes on two cores; all of them take half an hour


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hack/crash-matrix", description="Faults at every step of a pod's way.")
    parser.add_argument("--cases", type=int, default=DEFAULT_CASES, help="how many; 0: all there are")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="chooses cases, their order and their moments")
    parser.add_argument("--lanes", type=int, default=3, help="nodes at the same time")
    parser.add_argument("--only", action="append", default=[], help="part of a case's id (repeat)")
    parser.add_argument("--repeat", type=int, default=1, help="each case so many times")
    parser.add_argument("--list", action="store_true", help="print the cases and do nothing")
    parser.add_argument("--keep", action="store_true", help="leave the nodes' folders")
    return parser.parse_args()


class Matrix:
    """Lanes that take groups from one queue."""

    def __init__(self, options: argparse.Namespace, image: Path, directory: Path) -> None:
        self._options = options
        self._image = image
        self._directory = directory
        self._work: queue.SimpleQueue[list[Case]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.results: list[Result] = []

    def run(self, cases: list[Case]) -> None:
        for group in groups(cases):
            self._work.put(group)
        lanes = [threading.Thread(target=self._lane, args=(number,)) for number in range(self._options.lanes)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def _lane(self, number: int) -> None:
        """One node after the other: after a failure the next cases get a new one."""
        generation = 0
        while not self._work.empty():
            generation += 1
            node = make_crash_node(self._directory / f"lane{number}-{generation}", self._image, gvisor=True)
            lane = Lane(node, self._options.seed)
            failed = False
            try:
                lane.start()
                while not failed:
                    try:
                        group = self._work.get_nowait()
                    except queue.Empty:
                        break
                    failed = self._group(lane, group)
            finally:
                node.take_down()
                if not self._options.keep and not failed:
                    shutil.rmtree(node.directory, ignore_errors=True)

    def _group(self, lane: Lane, group: list[Case]) -> bool:
        results: list[Result] = []
        try:
            results += lane.run(group)
        except Exception as error:
            results = [Result(case=case, seconds=0.0, problems=[f"{type(error).__name__}: {error}"]) for case in group]
        with self._lock:
            for result in results:
                self._show(result)
            self.results += results
        return any(not result.ok for result in results)

    def _show(self, result: Result) -> None:
        print(f"{result.case.id:45} {'ok' if result.ok else 'FAILED':7} {result.seconds:6.1f} s", flush=True)
        for problem in result.problems:
            print(f"    {problem}", flush=True)
        if not result.ok:
            print(f"    repeat: sudo hack/crash-matrix --seed {self._options.seed} --only {result.case.id}", flush=True)


def main() -> int:
    options = arguments()
    cases = [case for case in all_cases() if not options.only or any(part in case.id for part in options.only)]
    exact = [case for case in cases if case.id in options.only]
    count = None if options.list and options.cases == DEFAULT_CASES else options.cases or None
    cases = chosen(exact or cases, count, options.seed) * options.repeat
    if options.list:
        for case in sorted(cases, key=lambda item: item.id):
            print(case.id)
        print(f"{len(cases)} cases", file=sys.stderr)
        return 0
    begin = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="crash-"))
    image = directory / "demo.tar"
    subprocess.run([str(REPO / "hack" / "demo-image"), str(image), "--tag", DEMO_IMAGE], check=True, timeout=60)
    options.lanes = min(options.lanes, len(groups(cases)))
    matrix = Matrix(options, image, directory)
    matrix.run(cases)
    failed = [result for result in matrix.results if not result.ok]
    never_run = len(cases) - len(matrix.results)
    if never_run:
        print(f"{never_run} cases were not run: a lane's node did not come up")
    print(f"\n{len(matrix.results)} cases, {len(failed)} failed, {time.monotonic() - begin:.0f} s, seed {options.seed}")
    if failed:
        print(f"folders of the nodes that failed: {directory}")
    elif not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if failed or never_run else 0


if __name__ == "__main__":
    sys.exit(main())
