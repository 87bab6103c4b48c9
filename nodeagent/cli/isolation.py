"""`nodeagent isolation`: check what is asked for, evaluate, tell."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from nodeagent.cli.output import print_error, print_table
from nodeagent.config import Config, ConfigProblem, Options, load
from nodeagent.isolation.contract import Group, Question, Report
from nodeagent.isolation.evaluation import Plan, evaluate, questions
from nodeagent.isolation.groups.registry import UnknownName, chosen
from nodeagent.isolation.probe import program
from nodeagent.isolation.profiles import Profile, ProfileError, of_file, profile
from nodeagent.isolation.report import document, gate, table
from nodeagent.isolation.report.comparison import compare
from nodeagent.isolation.report.forms import NAMES, forms
from nodeagent.isolation.runtimes import NoRuntime, described, runtimes_of
from nodeagent.reports import destinations
from nodeagent.reports.destinations import Destination
from runtimes.linux.cgroups.contract import CgroupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command line. `pod`: a Pod's file, in place of a profile. `probe`: a binary that was made elsewhere.
    `report`: of an evaluation that was made before."""

    config: Path | None
    runtimes: Sequence[str]
    only: Sequence[str]
    profile: str
    pod: Path | None
    quick: bool
    outputs: Sequence[str]
    dry_run: bool
    probe: Path | None
    compare: Path | None
    fail_on: Sequence[str]
    report: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """What becomes of a report. `old`: what it is compared with; `terms`: what makes it fail."""

    wanted: Sequence[Destination]
    old: Report | None
    terms: Sequence[gate.Term]


def run(asked: Asked) -> int:
    """0: every runtime was evaluated. 1: one was not, nothing could be, or --fail-on says so. 130: interrupted.

    Raises typer.BadParameter: a name or a file that is none.
    """
    if asked.report is not None:
        return _shown(asked, asked.report)
    try:
        config = load(Options(config_file=asked.config))
    except ConfigProblem as problem:
        print("\n".join(problem.problems), file=sys.stderr)
        return 2
    groups = _chosen(asked.only)
    telling = _telling(asked, questions(groups))
    try:
        return asyncio.run(_run(asked, config, groups, telling))
    except (program.ProgramError, CgroupError) as error:
        print_error(str(error))
        return 1


def _shown(asked: Asked, file: Path) -> int:
    if asked.runtimes or asked.only or asked.quick or asked.dry_run or asked.probe is not None or asked.pod:
        raise typer.BadParameter(
            "what was measured before is shown as it is: --report goes with --output, --compare, --fail-on"
        )
    try:
        report = document.read(file)
    except document.NoReport as error:
        raise typer.BadParameter(str(error), param_hint="--report") from None
    return _told(report, _telling(asked, report.questions))


def _telling(asked: Asked, asks: Sequence[Question]) -> _Telling:
    """Raises typer.BadParameter, before anything is run."""
    try:
        wanted = destinations.parse(asked.outputs, NAMES)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from None
    try:
        old = document.read(asked.compare) if asked.compare is not None else None
    except document.NoReport as error:
        raise typer.BadParameter(str(error), param_hint="--compare") from None
    try:
        terms = gate.parse(asked.fail_on, asks, compares=old is not None)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fail-on") from None
    return _Telling(wanted=wanted, old=old, terms=terms)


async def _run(asked: Asked, config: Config, groups: tuple[Group, ...], telling: _Telling) -> int:
    try:
        runtimes = runtimes_of(config, asked.runtimes)
    except NoRuntime as error:
        raise typer.BadParameter(str(error), param_hint="--runtime") from None
    spec = _spec(asked)
    told = await described(runtimes)
    if asked.dry_run:
        _print_plan(told, groups, spec)
        return 0
    plan = Plan(
        runtimes=runtimes,
        described=told,
        groups=groups,
        program=program.given(asked.probe) if asked.probe is not None else await program.built(),
        profile=spec,
        quick=asked.quick,
        conmon=str(config.agent.conmon),
    )
    report = await _until_told(plan)
    return 130 if report is None else _told(report, telling)


def _told(report: Report, telling: _Telling) -> int:
    """Write the report where it is to go, and judge it."""
    comparison = compare(telling.old, report) if telling.old is not None else None
    width = max(80, shutil.get_terminal_size().columns)
    try:
        destinations.publish(report, forms(comparison, width), telling.wanted)
    except OSError as error:
        print_error(str(error))
        return 1
    if comparison is not None and telling.wanted[0].form != destinations.TABLE:
        print(table.changes(comparison, width), file=sys.stderr, end="")
    found = gate.broken(telling.terms, report, comparison)
    for line in found:
        print_error(f"--fail-on {line}")
    return 1 if found or any(column.error for column in report.columns) else 0


async def _until_told(plan: Plan) -> Report | None:
    """None: somebody pressed Ctrl-C, or hung up, and everything that was made is taken away."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        numbers.append(signal.SIGHUP)
    work = asyncio.create_task(evaluate(plan, lambda line: print(f"nodeagent: {line}", file=sys.stderr, flush=True)))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # once: a second one would interrupt what takes away
        for number in numbers:
            loop.add_signal_handler(number, lambda: print_error("what was made is being taken away"))
        work.cancel()

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        return await work
    except asyncio.CancelledError:
        return None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _chosen(only: Sequence[str]) -> tuple[Group, ...]:
    try:
        return chosen(tuple(only))
    except UnknownName as error:
        raise typer.BadParameter(str(error), param_hint="--only") from None


def _spec(asked: Asked) -> Profile:
    """What the probes' pods are like; of a file, which level it meets, and what is changed of it, is told."""
    try:
        found = of_file(asked.pod) if asked.pod is not None else profile(asked.profile)
    except ProfileError as error:
        raise typer.BadParameter(str(error), param_hint="--pod" if asked.pod is not None else "--profile") from None
    if found.told:
        lines = [f"{found.name} meets {found.judgement.level} of the Pod Security Standards"]
        lines += [f"not {each.level}: {each}: {', '.join(each.fields)}" for each in found.judgement.violations]
        lines += [f"as the probes' pod: {line}" for line in found.told]
        print("\n".join(f"nodeagent: {line}" for line in lines), file=sys.stderr, flush=True)
    return found


def _print_plan(told: dict[str, str], groups: Sequence[Group], spec: Profile) -> None:
    print_table(
        ("RUNTIME", "WHAT"), [["host", "the bare machine, as root"], *([name, what] for name, what in told.items())]
    )
    print()
    rows = []
    for group in groups:
        if group.sections:
            rows.append([group.name, "pod", f"{len(group.probes)} probes of one pod's facts, profile {spec.name}"])
        rows += [[group.name, "experiment", experiment.about] for experiment in group.experiments]
    print_table(("GROUP", "KIND", "WHAT"), rows)
    print(
        "\nEach runtime gets a private node (own folders, bridge, subnet, API); pods and the host's column get a cgroup with "
        "limits on CPU, memory and processes; everything is taken away in the end."
    )
