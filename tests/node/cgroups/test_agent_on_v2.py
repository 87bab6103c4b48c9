"""The whole agent under pure cgroup v2: User-Mode Linux, booted once for all tests of agent_on_v2.py, one test here for each.

What that kernel (6.1) has no part of is not tested there: cpuset and hugetlb controllers, PSI, nf_tables' `inet` family (rules
are those of iptables), more than one CPU, systemd.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from uml import InnerTests, functions_of, run_tests_in_uml

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-on-v2"), pytest.mark.timeout(560)]

INNER = Path(__file__).with_name("agent_on_v2.py")


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InnerTests]:
    yield run_tests_in_uml(INNER, out=tmp_path_factory.mktemp("uml") / "out", seconds=500)


@pytest.mark.parametrize("function", functions_of(INNER))
def test_on_v2(inside: InnerTests, function: str) -> None:
    """The test of that name holds inside, its docstring being the promise."""
    inside.expect_passed(function)
