"""The suite over mutants: what an author's test file is, with a list of networks. Run by name, with the installed suite:

    MUTANTS=deletes,checks pytest over_mutants.py

`MUTANTS`: files of mutants (each with its `caught_by`, and the real plugins with the same checks); "each check" (one mutant for
each, and nothing else); "odd" (with `touches`); "all also" (every mutant, with `also`, too); "all odd" (with every check of the
suite). `MUTANTS_FOLDER` takes the programs, `MUTANTS_REAL` are the folders of the real ones.
"""

import os
from pathlib import Path

import pytest
from cni.testing import implementation as implementations
from cni.testing import wire
from cni.testing.cases import test_concurrency
from cni.testing.flaws import RELEASES
from cni.testing.implementation import Implementation
from cni.testing.levels import check_id
from cni.testing.suite import *

from .mutant import Mutant, Odd
from .networks import NETWORKS
from .program import write
from .table import GROUPS, MUTANTS, ODD, one_for_each_check

WHAT = os.environ["MUTANTS"]
# workers of one run do not share programs
FOLDER = Path(os.environ["MUTANTS_FOLDER"], os.environ.get("PYTEST_XDIST_WORKER", "all"))
REAL = os.environ["MUTANTS_REAL"].split(":")
# of a network whose plugin hangs: its checks would take half a minute each
HANGING_SECONDS = 3.0
# what fifty at once get wrong, eight do
AT_ONCE = 8
# nobody is judged by times
ROUNDS = 5
EVERYTHING = "everything"


def wanted() -> list[tuple[str, Mutant | Odd | None, str, frozenset[str]]]:
    """(name, whose fault, network, checks) of everything that is run."""
    if WHAT == "odd":
        return [(odd.name, odd, odd.network, frozenset(odd.touches)) for odd in ODD]
    if WHAT == "all odd":
        return [(odd.name, odd, odd.network, frozenset({EVERYTHING})) for odd in ODD]
    if WHAT == "each check":
        return [(mutant.name, mutant, mutant.network, frozenset(mutant.caught_by)) for mutant in one_for_each_check()]
    more = WHAT == "all also"
    mutants = MUTANTS if more else [mutant for group in WHAT.split(",") for mutant in GROUPS[group]]
    checks = {mutant: frozenset((*mutant.caught_by, *(mutant.also if more else ()))) for mutant in mutants}
    controls: dict[str, frozenset[str]] = {}
    for mutant in mutants:
        controls[mutant.network] = controls.get(mutant.network, frozenset()) | checks[mutant]
    found = [(f"real {network}", None, network, chosen) for network, chosen in controls.items()]
    return [*found, *((mutant.name, mutant, mutant.network, checks[mutant]) for mutant in mutants)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "network_implementation" in metafunc.fixturenames:
        check = check_id(metafunc.function.__name__)
        chosen = [each for each in wanted() if each[3] & {check, EVERYTHING}]
        metafunc.parametrize("network_implementation", chosen, ids=[each[0] for each in chosen], indirect=True)


@pytest.fixture
def network_implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Implementation:
    name, mutant, network, _ = request.param
    monkeypatch.setattr(test_concurrency, "AT_ONCE", AT_ONCE)
    bin_dirs = [Path(folder) for folder in REAL]
    if mutant is not None and mutant.plugin:
        home = FOLDER / mutant.name
        bin_dirs.insert(0, home if home.exists() else write(FOLDER, mutant, REAL))
        if mutant.hangs:
            monkeypatch.setattr(wire, "TIMEOUT_SECONDS", HANGING_SECONDS)
            monkeypatch.setattr(implementations, "TIMEOUT_SECONDS", HANGING_SECONDS)
    return Implementation(
        name=name,
        document=NETWORKS[network],
        bin_dirs=tuple(bin_dirs),
        flaws=RELEASES["containernetworking-1.1.1"],
        timed_rounds=ROUNDS,
    )
