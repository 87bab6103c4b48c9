"""Runs of the host, before and after a pod's."""

from nodeagent.isolation.experiments.costs import own_address, together


def test_both_halves_are_one_series() -> None:
    """What one of them could not do is told, and no run is made up."""
    before = {"calls": {"getpid": [1, 2], "epoll": "ENOSYS"}, "tcp": {"error": "ECONNREFUSED"}}
    after = {"calls": {"getpid": [3], "epoll": [9]}, "tcp": {"round trip": [5]}, "work": {"copy": [1.5]}}
    assert together(before, after) == {
        "calls": {"getpid": [1, 2, 3], "epoll": [9]},
        "tcp": {"round trip": [5]},
        "work": {"copy": [1.5]},
    }


def test_the_address_that_a_pod_sees_of_the_machine() -> None:
    assert own_address("127.0.0.1") == "127.0.0.1"
