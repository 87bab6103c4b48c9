"""The proof of the CSI suite as a list: what it says of each faulty driver, and that its page says the same."""

import re
from collections import Counter
from pathlib import Path

from tests.mutants.csi import MUTANTS, ODD, page
from tests.mutants.csi.driver import FORMS
from tests.mutants.csi.odd import TOGETHER

REPO = Path(__file__).resolve().parents[4]


def ids() -> set[str]:
    files = (REPO / "csi/testing/cases").glob("test_*.py")
    return {found.upper() for path in files for found in re.findall(r"def test_([a-z]\d+[a-z]?)_", path.read_text())}


def test_mutants_name_cases() -> None:
    """Each has a fault of its own, a form that there is, and cases that there are."""
    named = {case for mutant in MUTANTS.values() for case in (mutant.caught_by, *mutant.also)}
    assert named - ids() == set()
    assert {mutant.form for mutant in MUTANTS.values()} - set(FORMS) == set()
    assert {mutant.control for mutant in MUTANTS.values()} - {"", *ODD} == set()
    told = Counter(each.__doc__ for each in (*MUTANTS.values(), *ODD.values()))
    assert [text for text, number in told.items() if number > 1 or not text] == []
    assert len(MUTANTS) >= 40


def test_all_that_is_odd_is_run() -> None:
    """Each of them is one of a driver that the whole suite is run on."""
    assert sorted(each.__name__ for _, together, _ in TOGETHER for each in together) == sorted(ODD)


def test_the_page_is_up_to_date() -> None:
    """docs/testing-csi-proof.md lists them as they are; else run hack/generate-csi-proof."""
    assert page.PAGE.read_text() == page.text()
