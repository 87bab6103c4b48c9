"""Which checks there are, and how some are chosen."""

from collections import Counter

import pytest

from nodeagent.testers.suites import CNI, CSI, NoSuchCheck, Suite, chosen


@pytest.mark.parametrize("suite", [CNI, CSI], ids=lambda suite: suite.name)
def test_every_check_is_known(suite: Suite) -> None:
    """By an id that no other has, with a level, a promise and the place where pytest finds it."""
    checks = suite.checks()
    assert len(checks) > 50
    assert [name for name, count in Counter(check.id for check in checks).items() if count > 1] == []
    assert [check for check in checks if not (check.id and check.title and check.promise and check.group)] == []
    assert all(check.node.startswith(f"{suite.package}.cases.test_") for check in checks)


@pytest.mark.parametrize(
    ("run", "skip", "expected"),
    [
        ((), (), ["D1", "D2", "D12", "K1"]),
        (["D1"], (), ["D1"]),
        (["d1", "K*"], (), ["D1", "K1"]),
        (["D?"], (), ["D1", "D2"]),
        ((), ["D*"], ["K1"]),
        (["D*"], ["D12"], ["D1", "D2"]),
        (["D[12]"], (), ["D1", "D2"]),
    ],
)
def test_patterns(run: list[str], skip: list[str], expected: list[str]) -> None:
    """Globs of whole ids, in any case: what is skipped is skipped, whatever chose it."""
    some = [check for check in CNI.checks() if check.id in ("D1", "D2", "D12", "K1")]
    order = ["D1", "D2", "D12", "K1"]
    some.sort(key=lambda check: order.index(check.id))
    assert [check.id for check in chosen(some, run, skip)] == expected


@pytest.mark.parametrize(("run", "skip"), [(["D99"], ()), (["D1", "Q*"], ()), ((), ["nothing"])])
def test_a_pattern_that_fits_nothing(run: list[str], skip: list[str]) -> None:
    """Is an error, told with the pattern, and no run that passes."""
    with pytest.raises(NoSuchCheck, match=f"'{(run or skip)[-1].upper()}'".replace("*", r"\*")):
        chosen(CNI.checks(), run, skip)
