"""How many watches there may be."""

from contextlib import ExitStack

import pytest

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError
from nodeagent.apiserver.rest.watch_quota import WatchQuota


def test_of_one_and_of_all() -> None:
    """Each client has a bound, and all together; what ends makes room."""
    quota = WatchQuota(most=3, most_of_one=2)
    a, b = UserInfo(name="a"), UserInfo(name="b")
    with ExitStack() as stack:
        for user in (a, a):
            stack.enter_context(quota.taken(user))
        with pytest.raises(ApiError) as caught, quota.taken(a):
            pass
        assert (caught.value.code, caught.value.reason, caught.value.headers) == (
            429,
            "TooManyRequests",
            {"Retry-After": "1"},
        )
        assert caught.value.message == (
            'too many watches: user "a" has 2 watches already, the most that one client may have; '
            "end some, or select less by fieldSelector and labelSelector"
        )
        stack.enter_context(quota.taken(b))
        with pytest.raises(ApiError, match="there are 3 watches already"), quota.taken(b):
            pass
    with quota.taken(a), quota.taken(a), quota.taken(b):
        pass


def test_the_node_and_administrators() -> None:
    """Strangers' watches never keep out the agent and who looks after it."""
    quota = WatchQuota(most=1, most_of_one=1)
    node, admin = (
        UserInfo(name="system:node:n", groups=("system:nodes",)),
        UserInfo(name="x", groups=("system:masters",)),
    )
    with quota.taken(UserInfo(name="a")), quota.taken(node), quota.taken(node), quota.taken(admin):
        pass
