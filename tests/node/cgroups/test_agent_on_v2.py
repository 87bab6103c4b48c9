"""Engine and whole agent under pure cgroup v2: User-Mode Linux, booted once, one test here for each test that runs there.

They are those of engine_on_v2.py, agent_on_v2.py and, with a node of their own, the tests of limits. What that kernel (6.1) has
no part of is not tested there: cpuset and hugetlb controllers, PSI, nf_tables' `inet` family (rules are those of iptables), more
than one CPU, systemd.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from uml import InnerTests, functions_of, run_tests_in_uml

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("agent-on-v2"), pytest.mark.timeout(960)]

HERE = Path(__file__).parent
LIMITS = tuple(HERE.parent / "limits" / f"test_{name}.py" for name in ("cpu", "memory", "node"))
FILES = (HERE / "engine_on_v2.py", HERE / "agent_on_v2.py", *LIMITS)
LEFT_OUT = {
    "test_huge_pages",  # no hugetlb
    "test_oom_scores",  # not about cgroups
    "test_orphans_go_and_others_stay",  # what is taken away is decided by names, the same on both
}


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InnerTests]:
    others = ("-k", f"not ({' or '.join(sorted(LEFT_OUT))})")
    yield run_tests_in_uml(*FILES, out=tmp_path_factory.mktemp("uml") / "out", seconds=900, options=others)


@pytest.mark.parametrize("function", [name for file in FILES for name in functions_of(file) if name not in LEFT_OUT])
def test_on_v2(inside: InnerTests, function: str) -> None:
    """The test of that name holds inside, its docstring being the promise."""
    inside.expect_passed(function)
