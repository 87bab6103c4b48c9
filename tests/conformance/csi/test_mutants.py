"""The suite tells faulty drivers from healthy ones, and blames nothing that the specification allows (tests/mutants/csi).

Here for each case that must catch something the first faulty driver that it must catch. hack/generate-csi-proof runs all of them,
with every case that is named for them, and the healthy drivers with the same cases, which test_drivers.py asks them here.
"""

import os

import pytest
from components import cannot_be_tested, needs

from runtimes.linux import loop
from tests.mutants.csi import page, proof
from tests.mutants.csi.odd import subjects
from tests.mutants.csi.proof import Outcome, Subject

pytestmark = [
    pytest.mark.node,
    pytest.mark.timeout(900),  # a run of the suite within a fixture
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    needs("mkfs.ext4", "resize2fs", "e2fsck", "mkfs.xfs"),
]
FAULTS, ODDITIES = pytest.mark.xdist_group("csi-faults"), pytest.mark.xdist_group("csi-oddities")
FAULTY, ODD = page.one_for_each_case(), subjects(whole=False)
assert len(FAULTY) >= 60


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return outcomes(FAULTY, tmp_path_factory)


@pytest.fixture(scope="module")
def oddities(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return outcomes(ODD, tmp_path_factory)


def outcomes(subjects: list[Subject], tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    if not loop.available():
        cannot_be_tested("CSI volumes on loop devices: there are none here")
    return proof.run(subjects, tmp_path_factory.mktemp("proof"))


@FAULTS
@pytest.mark.parametrize("subject", FAULTY, ids=[each.name for each in FAULTY])
def test_a_fault_is_caught(faults: list[Outcome], subject: Subject) -> None:
    """By the case that is named for it."""
    assert page.missed(faults, [subject]) == []


@ODDITIES
@pytest.mark.parametrize("subject", ODD, ids=[each.name[:60] for each in ODD])
def test_what_is_allowed_is_not_blamed(oddities: list[Outcome], subject: Subject) -> None:
    """Of all cases that it is asked no `must` fails, and some pass."""
    assert page.blamed(oddities, [subject]) == []
