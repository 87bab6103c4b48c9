"""How much of a group's risk is closed: 100 when nothing is open, 0 when everything is.

    score = 100 × (1 − Σ risk × exposure ÷ Σ risk), over the probes of the group that have a risk and were answered

OPEN exposes all of a probe's risk, LIMITED half of it, BLOCKED nothing; a finding may say its own share. What is only MEASURED
counts when it says a share; what is NOT_APPLICABLE counts nowhere. Nor does what FAILED, which is shown beside the score: a
score over few answers says little.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nodeagent.isolation.contract import Finding, Question, Verdict

_EXPOSURE = {Verdict.OPEN: 1.0, Verdict.LIMITED: 0.5, Verdict.BLOCKED: 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """`value` None: nothing of it was answered. `failed`: probes without an answer."""

    value: int | None
    failed: int = 0


def exposure(finding: Finding) -> float | None:
    """Which share of the risk is there, 0 to 1; None: the finding does not count."""
    return finding.exposure if finding.exposure is not None else _EXPOSURE.get(finding.verdict)


def score(findings: Iterable[Finding], questions: Mapping[str, Question]) -> Score:
    """Of findings of one group; `questions` by id."""
    risk, exposed, failed = 0.0, 0.0, 0
    for finding in findings:
        weight = float(questions[finding.probe].risk)
        share = exposure(finding)
        failed += finding.verdict is Verdict.FAILED
        if share is not None:
            risk += weight
            exposed += weight * min(1.0, max(0.0, share))
    return Score(value=round(100 * (1 - exposed / risk)) if risk else None, failed=failed)
