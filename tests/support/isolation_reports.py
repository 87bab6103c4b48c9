"""Reports of evaluations that nobody made, for tests of how they are told."""

from dataclasses import replace
from typing import Any

from nodeagent.isolation.contract import By, Column, Figure, Finding, Question, Report, Risk, Verdict

HOSTILE = (
    "</style></svg><img src=http://127.0.0.1:1/x onerror=alert(1)><script>document.title = 'taken'</script>"
    "\x1b[2J\u202e\" '"
)


def finding(probe: str, verdict: Verdict = Verdict.OPEN, by: By = By.UNKNOWN, **more: Any) -> Finding:
    return Finding(probe=probe, verdict=verdict, by=by, **{"value": "ok", "evidence": f"looked at {probe}", **more})


def measured(probe: str, unit: str, *runs: float, host: float | None = None) -> Finding:
    low, median, high = runs[0], runs[len(runs) // 2], runs[-1]
    figure = Figure(unit=unit, median=median, low=low, high=high, runs=runs, host=host)
    return Finding(probe=probe, verdict=Verdict.MEASURED, value=f"{median:g} {unit}", figure=figure)


QUESTIONS = (
    Question(id="surface.bpf", group="surface", title="BPF", risk=Risk.HIGH, why="code in the kernel"),
    Question(id="surface.raw", group="surface", title="raw sockets", risk=Risk.MEDIUM, why="packets of others"),
    Question(id="surface.names", group="surface", title="names", risk=Risk.NONE, why="to know"),
    Question(id="cost.call", group="cost", title="a system call", risk=Risk.NONE, why="the price of every call"),
    Question(id="cost.rate", group="cost", title="requests", risk=Risk.NONE, why="what gets done"),
)


def report(*columns: Column, **more: Any) -> Report:
    """Of a machine with two runtimes, one of which has a kernel of its own, and one that did not start."""
    given = {
        "made": "2026-11-28T20:00:00+00:00",
        "machine": {"kernel": "Linux 6.18", "processors": "2"},
        "profile": "baseline",
        "level": "baseline",
        "quick": False,
        "groups": {"surface": "Attack surface", "cost": "Cost of isolation"},
        "questions": QUESTIONS,
        "columns": columns or (HOST_COLUMN, RUNC, GVISOR, BROKEN),
    }
    return Report(**{**given, **more})


HOST_COLUMN = Column(name="host", runtime="the bare machine", findings=(finding("surface.bpf"), finding("surface.raw")))
RUNC = Column(
    name="runc",
    runtime="runc 1.1.5",
    seconds=4.5,
    facts={"identity": {"uid": 0, "limits": [1.5, None, True]}},
    findings=(
        finding("surface.bpf", Verdict.BLOCKED, By.SECCOMP),
        finding("surface.raw", change="securityContext.capabilities.drop: [NET_RAW]"),
        finding("surface.names", Verdict.MEASURED, value="three"),
        measured("cost.call", "ns", 90, 100, 110, host=80),
        measured("cost.rate", "1/s", 900, 1000, 1100),
    ),
)
GVISOR = Column(
    name="gvisor",
    runtime="runsc",
    findings=(
        finding("surface.bpf", Verdict.BLOCKED, By.RUNTIME),
        finding("surface.raw", Verdict.LIMITED, By.RUNTIME, exposure=0.25),
        finding("surface.names", Verdict.FAILED, value="", evidence="no answer"),
        measured("cost.call", "ns", 9000, 9500, 11000, host=80),
        measured("cost.rate", "1/s", 850, 980, 1200),
    ),
)
BROKEN = Column(name="kata", runtime="kata", error="this machine has no /dev/kvm")


def with_findings(column: Column, *found: Finding) -> Column:
    """The column with these in place of its own of the same probes."""
    new = {each.probe: each for each in found}
    return replace(column, findings=tuple(new.get(each.probe, each) for each in column.findings))


def hostile() -> Report:
    """Every text that comes from somewhere else is an attack on who reads it."""
    questions = tuple(replace(question, title=HOSTILE, why=HOSTILE) for question in QUESTIONS)
    columns = tuple(
        replace(
            column,
            name=f"{column.name}{HOSTILE}" if column is not HOST_COLUMN else column.name,
            runtime=HOSTILE,
            error=HOSTILE if column.error else "",
            findings=tuple(replace(each, value=HOSTILE, evidence=HOSTILE, change=HOSTILE) for each in column.findings),
        )
        for column in (HOST_COLUMN, RUNC, GVISOR, BROKEN)
    )
    machine = {"kernel": HOSTILE, "processors": HOSTILE}
    titles = {"surface": HOSTILE, "cost": HOSTILE}
    return report(
        *columns,
        questions=questions,
        machine=machine,
        profile=HOSTILE,
        groups=titles,
        made=HOSTILE,
        level=HOSTILE,
        violations=(HOSTILE,),
    )
