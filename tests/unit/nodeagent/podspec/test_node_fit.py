"""Whether a node has room for one more pod: docs/facts/node-resources.md 4.5."""

from fractions import Fraction

from nodeagent.podspec.node_fit import Lack, lacks

NODE = {"pods": Fraction(2), "cpu": Fraction(4), "memory": Fraction(100), "a.com/x": Fraction(1)}


def test_what_is_missing_in_order() -> None:
    """Pods, CPU, memory, disk, then the rest by name; a resource that the node does not have has nothing left."""
    wanted = {"z.com/y": 1, "memory": 60, "a.com/x": 2, "cpu": 4, "ephemeral-storage": 1}
    found = lacks(
        {name: Fraction(amount) for name, amount in wanted.items()},
        NODE,
        used={"cpu": Fraction(1, 2), "memory": Fraction(40)},
        pod_count=2,
    )
    assert found == [
        Lack(resource="pods", requested=Fraction(1), used=Fraction(2), allocatable=Fraction(2)),
        Lack(resource="cpu", requested=Fraction(4), used=Fraction(1, 2), allocatable=Fraction(4)),
        Lack(resource="ephemeral-storage", requested=Fraction(1), used=Fraction(0), allocatable=Fraction(0)),
        Lack(resource="a.com/x", requested=Fraction(2), used=Fraction(0), allocatable=Fraction(1)),
        Lack(resource="z.com/y", requested=Fraction(1), used=Fraction(0), allocatable=Fraction(0)),
    ]


def test_nothing_asked_for_fits() -> None:
    """A node whose resources are over-used still takes a pod that asks for none of them."""
    assert lacks({"cpu": Fraction(0)}, NODE, used={"cpu": Fraction(9)}, pod_count=1) == []


def test_a_node_that_says_nothing_takes_no_pod() -> None:
    """Without a figure for pods there is room for none."""
    assert [lack.resource for lack in lacks({}, {}, used={}, pod_count=0)] == ["pods"]
