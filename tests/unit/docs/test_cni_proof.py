"""The published table of faults is that of the mutants, and each names checks that there are."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from cni.testing.levels import check_id
from tests.mutants.cni.table import MUTANTS, ODD, one_for_each_check

REPO = Path(__file__).resolve().parents[3]


def checks() -> set[str]:
    texts = [path.read_text() for path in (REPO / "cni" / "testing" / "cases").glob("test_*.py")]
    return {check_id(name) for text in texts for name in re.findall(r"^async def (test_\w+)", text, re.MULTILINE)}


def test_the_table_is_up_to_date() -> None:
    """After a change of tests/mutants/cni: hack/generate-cni-proof."""
    done = subprocess.run([sys.executable, str(REPO / "hack" / "generate-cni-proof"), "--check"], check=False)
    assert done.returncode == 0


def test_mutants() -> None:
    """Enough of them, each with a name of its own, one fault in words, and a check that must catch it."""
    assert len(MUTANTS) >= 50
    assert len(ODD) >= 8
    assert {name: count for name, count in Counter(each.name for each in (*MUTANTS, *ODD)).items() if count > 1} == {}
    assert [each.name for each in MUTANTS if not (each.fault.endswith(".") and each.caught_by)] == []
    assert [each.name for each in ODD if not (each.fact.endswith(".") and each.touches)] == []
    named = {check for each in MUTANTS for check in (*each.caught_by, *each.also)}
    assert named | {check for each in ODD for check in each.touches} <= checks()


def test_each_check_is_proven() -> None:
    """Those that are run each time leave no check out that must catch something."""
    assert {c for each in one_for_each_check() for c in each.caught_by} == {
        c for each in MUTANTS for c in each.caught_by
    }
