"""`hack/fuzz`: look for inputs that break a promise, for some minutes, and keep what is found."""

import argparse
import concurrent.futures
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz import corpus, scratch
from tests.fuzz.judge import REPO, judge
from tests.fuzz.targets import all_targets, module_of

_STUCK_SECONDS = 40.0  # of CPU, on one input: far beyond any input's budget
_START_SECONDS = 900.0  # the house is instrumented as it is imported
_LAST_WORDS_SECONDS = 60.0  # what is found is made smaller


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of one target."""

    name: str
    count: int = 0
    seconds: float = 0.0
    finds: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    begun: float | None = None

    def line(self) -> str:
        rate = self.count / self.seconds if self.seconds else 0.0
        return f"{self.name:<22} {self.count:>9} inputs {rate:>9.0f}/s  {len(self.finds) or 'no'} finds"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hack/fuzz", description="Inputs that readers of foreign bytes do not expect."
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all there are without one (see --list)")
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together (default 10)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at the same time (default 1)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where to begin (default: the time)")
    parser.add_argument(
        "--again", type=Path, action="append", default=[], metavar="FILE", help="only try this input again"
    )
    parser.add_argument("--list", action="store_true", help="print the targets")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    known = all_targets()
    unknown = [name for name in options.targets if name not in known]
    if unknown:
        print(f"hack/fuzz: no target {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(known))
        return 0
    names = options.targets or list(known)
    if options.again:
        return again(names, options.again)
    seconds = options.minutes * 60 * options.jobs / len(names)
    reports = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for report in pool.map(lambda name: explore(name, seconds, options.seed), names):
            reports.append(report)
            tell(report)
    count, spent = sum(report.count for report in reports), sum(report.seconds for report in reports)
    wrong = [report for report in reports if report.finds or report.error]
    print(
        f"\n{count} inputs, {count / max(spent, 0.001):.0f} a second, {sum(len(report.finds) for report in wrong)} finds"
    )
    return 1 if wrong else 0


def again(names: list[str], files: list[Path]) -> int:
    """Run single inputs, with the traceback of what goes wrong."""
    logging.disable(logging.CRITICAL)
    failed = 0
    for name in names:
        for path in files:
            find = judge(all_targets()[name], path.read_bytes())
            print(f"{name}: {path}: {f'{find.kind} at {find.place}: {find.text}' if find else 'fine'}")
            failed |= find is not None
    return failed


def tell(report: Report) -> None:
    print(report.line(), flush=True)
    for find in report.finds:
        path = corpus.keep(report.name, bytes.fromhex(find["data"]))
        print(f"    {find['kind']} at {find['place']}\n        {find['text'][:200]}")
        print(f"        hack/fuzz {report.name} --again {path.relative_to(REPO)}")
    if report.error:
        print(f"    the worker ended: {report.error}")


def explore(name: str, seconds: float, seed: int) -> Report:
    """One worker, watched."""
    report = Report(name=name)
    folder = Path(tempfile.mkdtemp(prefix="nodeagent-fuzz-", dir=scratch.memory()))
    under_way = folder / "input"
    under_way.touch()
    environment = {**os.environ, "FUZZ_UNDER_WAY": str(under_way), "FUZZ_FOLDER": str(folder)}
    argv = [sys.executable, "-m", "tests.fuzz.worker", module_of(name), name, str(seconds), str(seed)]
    try:
        with open(folder / "said", "wb") as said:
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said, env=environment, cwd=REPO, text=True)
        reading = threading.Thread(target=_read, args=(process, report))
        reading.start()
        stuck = _watch(process, under_way, report, seconds + _LAST_WORDS_SECONDS)
        reading.join()
        if stuck:
            text = "killed: one input did not come back"
            report.finds.append({"kind": "stuck", "place": "?", "text": text, "data": under_way.read_bytes().hex()})
        elif process.returncode:
            report.error = (folder / "said").read_text(errors="replace").strip()[
                -1500:
            ] or f"status {process.returncode}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _read(process: subprocess.Popen[str], report: Report) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line)
        if "count" in said:
            report.begun = report.begun or time.monotonic()
            report.count, report.seconds = said["count"], said["seconds"]
        else:
            report.finds.append(said)


def _watch(process: subprocess.Popen[str], under_way: Path, report: Report, most_seconds: float) -> bool:
    """Wait for the end; True: it had to be killed, for one input took all that time."""
    seen, since, started = 0, 0.0, time.monotonic()
    while True:
        try:
            process.wait(2)
            return False
        except subprocess.TimeoutExpired:
            if report.begun is None:
                if time.monotonic() > started + _START_SECONDS:
                    process.send_signal(signal.SIGTERM)
                continue
            now, stamp = _cpu_seconds(process.pid), under_way.stat().st_mtime_ns
            if stamp != seen:
                seen, since = stamp, now
            if now - since > _STUCK_SECONDS:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return True
            if time.monotonic() > report.begun + most_seconds:
                process.send_signal(signal.SIGTERM)


def _cpu_seconds(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
