"""The suite tells faulty drivers from healthy ones, and blames nothing that the specification allows (tests/mutants/csi)."""

import os

import pytest
from components import cannot_be_tested, needs

from runtimes.linux import loop
from tests.mutants.csi import MUTANTS, page, proof
from tests.mutants.csi.odd import TOGETHER
from tests.mutants.csi.proof import Outcome, Subject

pytestmark = [
    pytest.mark.node,
    pytest.mark.timeout(900),  # a run of the suite within a fixture
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs("mkfs.ext4", "resize2fs", "e2fsck", "mkfs.xfs"),
]
FAULTS, ODDITIES = pytest.mark.xdist_group("csi-faults"), pytest.mark.xdist_group("csi-oddities")
PLAN = page.plan(thorough=False)
ODD = [
    Subject(form=form, drivers=tuple(each.__name__ for each in together), cases=cases)
    for form, together, cases in TOGETHER
]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """Of all faulty drivers, and of the healthy ones beside them."""
    return outcomes(PLAN, tmp_path_factory)


@pytest.fixture(scope="module")
def oddities(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return outcomes(ODD, tmp_path_factory)


def outcomes(subjects: list[Subject], tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    if not loop.available():
        cannot_be_tested("CSI volumes on loop devices: there are none here")
    return proof.run(subjects, tmp_path_factory.mktemp("proof"))


@FAULTS
@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_is_caught(faults: list[Outcome], name: str) -> None:
    """By the case that is named for it."""
    assert page.missed(faults, [subject for subject in PLAN if subject.name == name]) == []


@FAULTS
def test_the_healthy_driver_passes_the_same(faults: list[Outcome]) -> None:
    """Each of these cases, on the driver that the faulty one was made of."""
    assert page.missed(faults, [subject for subject in PLAN if subject.name not in MUTANTS]) == []


@ODDITIES
@pytest.mark.parametrize("subject", ODD, ids=[each.name[:60] for each in ODD])
def test_what_is_allowed_is_not_blamed(oddities: list[Outcome], subject: Subject) -> None:
    """Of all cases that it is asked no `must` fails, and some pass."""
    assert proof.broken(oddities, subject.name, level="must") == {}
    passed = {each.case for each in oddities if (each.subject, each.outcome) == (subject.name, "passed")}
    assert len(passed) > 30 if not subject.cases else passed == set(subject.cases)
