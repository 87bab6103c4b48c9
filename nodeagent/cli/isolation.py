"""`nodeagent isolation`: check what is asked for, evaluate, print."""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from nodeagent.cli.output import print_error, print_table
from nodeagent.config import Config, ConfigProblem, Options, load
from nodeagent.isolation.contract import Group, Report, Risk, Verdict
from nodeagent.isolation.evaluation import Plan, evaluate
from nodeagent.isolation.groups.registry import UnknownName, chosen
from nodeagent.isolation.probe import program
from nodeagent.isolation.profiles import Profile, ProfileError, of_file, profile
from nodeagent.isolation.report import document, matrix
from nodeagent.isolation.runtimes import NoRuntime, described, runtimes_of
from runtimes.linux.cgroups.contract import CgroupError


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command line. `pod`: a Pod's file, in place of a profile. `probe`: a binary that was made elsewhere."""

    config: Path | None
    runtimes: Sequence[str]
    only: Sequence[str]
    profile: str
    pod: Path | None
    quick: bool
    output: str
    dry_run: bool
    probe: Path | None


def run(asked: Asked) -> int:
    """0: every runtime was evaluated. 1: one was not, or nothing could be. Raises typer.BadParameter for unknown names."""
    if asked.output not in FORMS:
        raise typer.BadParameter(f"{asked.output!r} is none of {', '.join(FORMS)}", param_hint="--output")
    try:
        config = load(Options(config_file=asked.config))
    except ConfigProblem as problem:
        print("\n".join(problem.problems), file=sys.stderr)
        return 2
    groups = _chosen(asked.only)
    try:
        return asyncio.run(_run(asked, config, groups))
    except (program.ProgramError, CgroupError) as error:
        print_error(str(error))
        return 1


async def _run(asked: Asked, config: Config, groups: tuple[Group, ...]) -> int:
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
    if report is None:
        return 130
    FORMS[asked.output](report)
    return 1 if any(column.error for column in report.columns) else 0


async def _until_told(plan: Plan) -> Report | None:
    """None: somebody pressed Ctrl-C, and everything that was made is taken away."""
    work = asyncio.create_task(evaluate(plan, lambda line: print(f"nodeagent: {line}", file=sys.stderr, flush=True)))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # once: a second one would interrupt what takes away
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: print_error("what was made is being taken away"))
        work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await work
    except asyncio.CancelledError:
        return None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
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
        "\nEach runtime gets a private node (own folders, bridge, subnet, API), and all of it a cgroup with limits on CPU, "
        "memory and processes; everything is taken away in the end."
    )


def _print_table(report: Report) -> None:
    names = [column.name for column in report.columns]
    print(f"{report.machine.get('kernel')}, {report.machine.get('processors')} processors; profile {report.profile}\n")
    scores = matrix.scores(report)
    rows = [
        [title, *(matrix.shown(scores[name][each]) if each in scores.get(name, {}) else "-" for each in names)]
        for name, title in report.groups.items()
    ]
    print_table(("SCORE (100: nothing open)", *names), rows)
    for group, title in report.groups.items():
        print()
        findings = [matrix.by_probe(column) for column in report.columns]
        rows = [
            [question.title, _risk(question.risk), *(matrix.cell(found.get(question.id)) for found in findings)]
            for question in report.questions
            if question.group == group
        ]
        print_table((title.upper(), "RISK", *names), rows)
    _print_changes(report)
    for column in report.columns:
        if column.error:
            print(f"\n{column.name} was not evaluated: {column.error}")


def _print_changes(report: Report) -> None:
    """Which line of a spec closes what is open."""
    closes: dict[str, list[str]] = {}
    for column in report.columns:
        for finding in column.findings:
            if finding.change and finding.verdict in (Verdict.OPEN, Verdict.LIMITED):
                known = closes.setdefault(finding.change, [])
                if finding.probe not in known:
                    known.append(finding.probe)
    if closes:
        print()
        print_table(
            ("WHAT WOULD CHANGE IT", "PROBES"), [[change, ", ".join(probes)] for change, probes in closes.items()]
        )


def _risk(risk: Risk) -> str:
    return "" if risk is Risk.NONE else risk.name.lower()


FORMS: dict[str, Callable[[Report], None]] = {
    "table": _print_table,
    "json": lambda report: print(document.written(report)),
}
"""Name -> how a report is printed."""
