"""JUnit's XML, as CI systems read it: a testsuite a group, a testcase a check with its id, level, section and figures."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final
from xml.etree import ElementTree

from nodeagent.reports.printable import one_line, printable
from nodeagent.testers.record import Record, Run, Verdict

_SILENT: Final = frozenset({Verdict.PASSED, Verdict.FAILED})


def write(run: Run) -> str:
    root = ElementTree.Element("testsuites", _totals(run.records) | {"name": f"{run.suite}: {one_line(run.subject)}"})
    for group, found in groupby(sorted(run.records, key=lambda record: record.group), key=lambda record: record.group):
        records = list(found)
        suite = ElementTree.SubElement(
            root, "testsuite", _totals(records) | {"name": f"{run.suite}.{group}", "timestamp": run.began}
        )
        for record in records:
            _case(suite, run, record)
    if run.stopped:
        broken = ElementTree.SubElement(root, "testsuite", {"name": run.suite, "tests": "1", "errors": "1"})
        case = ElementTree.SubElement(broken, "testcase", {"name": "the run", "classname": run.suite})
        ElementTree.SubElement(case, "error", {"message": one_line(run.stopped)})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _totals(records: Sequence[Record]) -> dict[str, str]:
    return {
        "tests": str(len(records)),
        "failures": str(sum(record.verdict is Verdict.FAILED for record in records)),
        "errors": "0",
        "skipped": str(sum(record.verdict not in _SILENT for record in records)),
        "time": f"{sum(record.seconds for record in records):.3f}",
    }


def _case(suite: ElementTree.Element, run: Run, record: Record) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            "name": one_line(f"{record.name} {record.title}"),
            "classname": f"{run.suite}.{record.group.replace(' ', '_')}",
            "time": f"{record.seconds:.3f}",
        },
    )
    properties = ElementTree.SubElement(case, "properties")
    told = {"id": record.id, "level": str(record.level), "verdict": str(record.verdict), "spec": record.spec}
    for name, value in {**told, "promise": record.promise, **record.figures}.items():
        ElementTree.SubElement(properties, "property", {"name": one_line(name), "value": one_line(str(value))})
    if record.verdict is Verdict.FAILED:
        failure = ElementTree.SubElement(
            case, "failure", {"message": one_line(record.reason), "type": str(record.level)}
        )
        failure.text = printable(f"{record.evidence}\n\nreproduce:\n{record.reproduce}\n")
    elif record.verdict not in _SILENT:
        message = one_line(f"{record.verdict}: {record.reason}")
        ElementTree.SubElement(case, "skipped", {"message": message})
