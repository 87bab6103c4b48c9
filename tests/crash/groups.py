"""Which cases may run together."""

from collections.abc import Iterable

from tests.crash.cases import Case

GROUP = 6  # cases that strike one pod only, side by side


def groups(cases: Iterable[Case]) -> list[list[Case]]:
    """Cases that may run together, in the order of the first of each group."""
    made: list[list[Case]] = []
    open_groups: dict[str, list[Case]] = {}
    for case in cases:
        if case.alone:
            made.append([case])
            continue
        group = open_groups.get(case.way)
        if group is None or len(group) >= GROUP:
            group = open_groups[case.way] = []
            made.append(group)
        group.append(case)
    return made
