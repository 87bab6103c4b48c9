"""What `nodeagent cni test` and `nodeagent csi test` have in common: choose, look whether it can be done, run, tell."""

import datetime
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from nodeagent.reports import destinations
from nodeagent.testers import child
from nodeagent.testers.needs import Unusable
from nodeagent.testers.progress import Progress
from nodeagent.testers.record import INTERRUPTED, Level, Record, Run, Verdict, judged
from nodeagent.testers.report.forms import FORMS
from nodeagent.testers.suites import Check, Suite, chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What both commands let one choose. `run`, `skip`: globs of ids; `outputs`: FORM[=FILE]."""

    run: Sequence[str] = ()
    skip: Sequence[str] = ()
    level: Level = Level.MUST
    outputs: Sequence[str] = ()
    list_only: bool = False
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`name`: for people. `again`: the command line up to what chooses checks. `options`: of the suite's pytest plug-in, given
    the folder of the run; `parent`: where that is to be."""

    name: str
    again: str
    options: Callable[[Path], Sequence[str]]
    parent: Path | None = None


def run(suite: Suite, choice: Choice, look: Callable[[], Subject]) -> int:
    """The exit status: 0, 1 (something that counts failed), 2 (nothing could be tested: one line says why), 130.

    `look` says what is tested. Raises Unusable, ValueError.
    """
    checks = chosen(suite.checks(), choice.run, choice.skip)
    if choice.list_only:
        for check in checks:
            print(f"{check.id:<6} {check.level:<7} {check.group:<16} {check.title}")
        return 0
    wanted = destinations.parse(choice.outputs, tuple(FORMS))
    if os.geteuid() != 0:
        raise Unusable("the checks make namespaces and mounts, and need root: try sudo")
    if not checks:
        raise Unusable("--skip leaves no check")
    made = _carried_out(suite, choice, checks, look())
    destinations.publish(made, FORMS, wanted)
    if made.stopped:
        print(f"nodeagent: {made.stopped}", file=sys.stderr)
    elif made.exit_status == 2:
        why = made.records[0].reason if made.records else "there is no record of any check"
        print(f"nodeagent: nothing was tested: {why}", file=sys.stderr)
    return made.exit_status


def _carried_out(suite: Suite, choice: Choice, checks: Sequence[Check], subject: Subject) -> Run:
    began, start = datetime.datetime.now(datetime.UTC), time.monotonic()
    progress, records, stopped = Progress(len(checks)), list[Record](), ""

    def took(record: Record) -> None:
        again = f"{subject.again} --run {record.id}"
        told = [record.reproduce, again] if record.reproduce else [again]
        # reasons name options of the pytest plug-in: here they have no prefix
        finished = judged(replace(record, reason=record.reason.replace(f"--{suite.name}-", "--")), choice.level)
        if finished.verdict in (Verdict.FAILED, Verdict.NOT_KEPT):
            finished = replace(finished, reproduce="\n".join(told))
        records.append(finished)
        progress.took(finished)

    # also where SIGINT is ignored, as in the background of a shell: the checks' process has it from here
    before = {number: signal.signal(number, _told_to_end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with child.workdir(subject.parent) as folder:
            options = subject.options(folder)
            job = child.Job(suite=suite, checks=checks, options=options, workers=choice.workers)
            child.run(job, folder, took)
    except child.BrokenOff as error:
        stopped = str(error)
    except KeyboardInterrupt:
        stopped = INTERRUPTED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    order = {check.id: place for place, check in enumerate(checks)}
    return Run(
        suite=suite.name,
        subject=subject.name,
        level=choice.level,
        began=began.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - start, 1),
        records=tuple(sorted(records, key=lambda record: order[record.id])),
        stopped=stopped,
    )


def _told_to_end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
