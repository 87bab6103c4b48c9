"""`--fail-on`: what makes an evaluation fail, for CI.

    TERM   open[:WHERE] | failed[:WHERE] | score:GROUP<N
           worse[:WHERE] | costlier[:WHERE] | lost[:WHERE] | changed[:WHERE]      of what --compare finds
    WHERE  a group, a probe's id, or a risk (low, medium, high: probes of at least that)

Several terms are separated by commas, or given one by one. The bare host's column is never what fails.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nodeagent.isolation.contract import HOST, Column, Finding, Question, Report, Risk, Verdict
from nodeagent.isolation.report import matrix
from nodeagent.isolation.report.comparison import Comparison, Kind
from nodeagent.reports.printable import one_line

OF_FINDINGS = {"open": Verdict.OPEN, "failed": Verdict.FAILED}
OF_CHANGES = {
    "worse": (Kind.WORSE,),
    "costlier": (Kind.COSTLIER,),
    "lost": (Kind.LOST,),
    "changed": tuple(Kind),
}
RISKS = {risk.name.lower(): risk for risk in Risk if risk is not Risk.NONE}
_SCORE = re.compile(r"([^<]*)<(\d{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`where`: empty: everywhere. `below`: of a score."""

    text: str
    word: str
    where: str = ""
    below: int = 0

    def covers(self, question: Question) -> bool:
        """Whether it speaks of that probe."""
        if self.where in RISKS:
            return question.risk >= RISKS[self.where]
        return self.where in ("", question.group, question.id)


def parse(texts: Sequence[str], questions: Sequence[Question], *, compares: bool) -> tuple[Term, ...]:
    """The terms, for reports with these questions. Raises ValueError, with the valid words."""
    pieces = [piece.strip() for text in texts for piece in text.split(",")]
    terms = tuple(_term(piece, questions) for piece in pieces if piece)
    for term in terms:
        if term.word in OF_CHANGES and not compares:
            raise ValueError(f"{term.text!r} is about what changed: it needs --compare FILE")
    return terms


def _term(text: str, questions: Sequence[Question]) -> Term:
    word, _, where = text.partition(":")
    groups = list(dict.fromkeys(question.group for question in questions))
    if word == "score":
        match = _SCORE.fullmatch(where)
        if match is None or int(match[2]) > 100:
            raise ValueError(f"{text!r} is no score:GROUP<N, with N from 0 to 100")
        _known(match[1], groups)
        return Term(text=text, word=word, where=match[1], below=int(match[2]))
    if word not in (*OF_FINDINGS, *OF_CHANGES):
        raise ValueError(f"{word!r} is none of {', '.join((*OF_FINDINGS, *OF_CHANGES, 'score'))}")
    if where:
        group, dot, _ = where.partition(".")
        own = [question.id for question in questions if question.group == group]
        _known(where, own if dot and own else [*RISKS, *groups])
    elif text != word:
        raise ValueError(f"{text!r} does not say where")
    return Term(text=text, word=word, where=where)


def _known(name: str, valid: Sequence[str]) -> None:
    if name not in valid:
        raise ValueError(f"{name!r} is none of {', '.join(valid)}")


def broken(terms: Sequence[Term], report: Report, comparison: Comparison | None) -> list[str]:
    """What the terms find, a line each; empty: the evaluation passes."""
    return [one_line(f"{term.text}: {line}") for term in terms for line in _found(term, report, comparison)]


def _found(term: Term, report: Report, comparison: Comparison | None) -> Iterator[str]:
    questions = {question.id: question for question in report.questions}
    if term.word == "score":
        yield from _low_scores(term, report)
    elif term.word in OF_FINDINGS:
        for column, finding in _findings(report):
            if finding.verdict is OF_FINDINGS[term.word] and term.covers(questions[finding.probe]):
                yield f"{column.name}: {finding.probe}: {finding.value or finding.evidence}"
    elif comparison is not None:
        for each in comparison.differences:
            if (
                each.column != HOST
                and each.kind in OF_CHANGES[term.word]
                and each.probe in questions
                and term.covers(questions[each.probe])
            ):
                yield f"{each.column}: {each.probe}: {matrix.cell(each.before)}, now {matrix.cell(each.after)}"


def _low_scores(term: Term, report: Report) -> Iterator[str]:
    scores = matrix.scores(report).get(term.where, {})
    for name, score in scores.items():
        if name != HOST and (score.value is None or score.value < term.below):
            yield f"{name}: {'nothing was answered' if score.value is None else score.value}"


def _findings(report: Report) -> Iterator[tuple[Column, Finding]]:
    return ((column, finding) for column in report.columns if column.name != HOST for finding in column.findings)
