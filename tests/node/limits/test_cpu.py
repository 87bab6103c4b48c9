"""CPU: quotas, of a container and of a pod, and shares under contention, with processes that take what they get."""

from collections.abc import Sequence

import pytest
from cgroup_files import VERSION, CgroupFiles, container_cgroup, pod_cgroup
from node_under_test import NodeUnderTest, eventually
from pods_under_test import make_pod, shell

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("limits")]

BURNS = "while :; do :; done"
ENOUGH_SECONDS = 1.0
PERIODS = 100  # 100 ms each; the first and the last are counted in part, which is a hundredth of the whole


def limits(**amounts: str) -> dict[str, dict[str, str]]:
    return {"limits": amounts, "requests": amounts}


def used_of_quotas(cgroups: Sequence[CgroupFiles]) -> list[float]:
    """What each used of its quota for some time, by the periods that the kernel counted: 1 is all of it."""

    def now() -> list[tuple[int, float]]:
        return [(cgroup.cpu_periods()[0], cgroup.cpu_usage_seconds()) for cgroup in cgroups]

    begin = now()
    eventually(
        lambda: all(end[0] >= first[0] + PERIODS for first, end in zip(begin, now(), strict=True)),
        f"{PERIODS} periods",
    )
    quotas = [quota[0] / 1e6 for cgroup in cgroups if (quota := cgroup.cpu_quota()) is not None]
    return [
        (end[1] - first[1]) / (quota * (end[0] - first[0]))
        for first, end, quota in zip(begin, now(), quotas, strict=True)
    ]


def are_throttled_to_their_quotas(*cgroups: CgroupFiles) -> None:
    """Never more than 5 % beyond it; and no less than 95 % of it, as soon as the machine has so much for it."""
    before = [cgroup.cpu_periods()[1] for cgroup in cgroups]
    seen: list[list[float]] = []

    def all_of_it() -> bool:
        seen.append(used_of_quotas(cgroups))
        return all(max(ratios) >= 0.95 for ratios in zip(*seen, strict=True))

    eventually(all_of_it, f"95 % of the quota; {seen}", 90)
    assert max(map(max, seen)) <= 1.05, seen
    assert all(cgroup.cpu_periods()[1] > earlier for cgroup, earlier in zip(cgroups, before, strict=True))


def test_quotas(node: NodeUnderTest) -> None:
    """A burner is held to its container's quota, by runc and by crun; containers that burn together, to that of their pod."""
    node.apply(
        make_pod("runc", shell("c", BURNS, resources=limits(cpu="100m", memory="16Mi"))),
        make_pod("crun", shell("c", BURNS, resources=limits(cpu="50m", memory="16Mi")), runtimeClassName="crun"),
        make_pod("shared", shell("c", BURNS), shell("d", BURNS), resources=limits(cpu="80m", memory="32Mi")),
    )
    runc, crun, shared = (node.running(name) for name in ("runc", "crun", "shared"))
    assert container_cgroup(node, runc).cpu_quota() == pod_cgroup(node, runc).cpu_quota() == (10_000, 100_000)
    assert container_cgroup(node, crun).cpu_quota() == pod_cgroup(node, crun).cpu_quota() == (5_000, 100_000)
    assert [container_cgroup(node, shared, name).cpu_quota() for name in "cd"] == [(8_000, 100_000)] * 2
    assert pod_cgroup(node, shared).cpu_quota() == (8_000, 100_000)
    are_throttled_to_their_quotas(container_cgroup(node, runc), container_cgroup(node, crun), pod_cgroup(node, shared))
    node.delete_pods("runc", "crun", "shared")


def test_shares(node: NodeUnderTest) -> None:
    """Pods that want the same CPU get it in the ratio of their requests; one that asks for nothing gets the least that the kernel
    gives, which the coarse weights of version 2 make a sixteenth of what the others have together.
    """
    node.apply(make_pod("nothing", shell("c", BURNS)))
    node.running("nothing")  # which takes long beside the others
    node.apply(
        make_pod("little", shell("c", BURNS, resources={"requests": {"cpu": "100m"}})),
        make_pod("much", shell("c", BURNS, resources={"requests": {"cpu": "300m"}})),
    )
    little, much, nothing = (pod_cgroup(node, node.running(name)) for name in ("little", "much", "nothing"))
    assert [each.cpu_quota() for each in (little, much, nothing)] == [None, None, None]

    def shared() -> bool:
        cgroups = (little, much, nothing)
        before = [each.cpu_usage_seconds() for each in cgroups]
        eventually(
            lambda: much.cpu_usage_seconds() >= before[1] + ENOUGH_SECONDS, "a busy machine has some CPU for pods, too"
        )
        used = [each.cpu_usage_seconds() - earlier for each, earlier in zip(cgroups, before, strict=True)]
        seen.append(used)
        return 2.7 < used[1] / used[0] < 3.3 and used[2] < used[0] / (10 if VERSION == 1 else 2)

    seen: list[list[float]] = []
    eventually(shared, f"1 : 3 : nothing; {seen}")
    node.delete_pods("little", "much", "nothing")
