"""How many watches there may be: of one client, and in all. A watch costs a connection, a queue and a turn at every change."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from nodeagent.apiserver.contract import UserInfo
from nodeagent.apiserver.errors import ApiError

MAX_WATCHES = 1000
"""Of all clients but the node and administrators: half of the connections there may be, so that the other half is theirs."""
MAX_WATCHES_OF_ONE = 200
"""Of one client: an informer has one a kind, and there are about 40 kinds."""
# the agent watches each Secret and ConfigMap of its pods by itself
_UNCOUNTED = frozenset({"system:nodes", "system:masters"})


class WatchQuota:
    def __init__(self, *, most: int = MAX_WATCHES, most_of_one: int = MAX_WATCHES_OF_ONE) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._of: Counter[str] = Counter()

    @contextmanager
    def taken(self, user: UserInfo) -> Iterator[None]:
        """One watch of `user` for the time of the body. Raises `ApiError` 429."""
        if _UNCOUNTED & set(user.groups):
            yield
            return
        if self._of[user.name] >= self._most_of_one:
            raise _too_many(
                f'user "{user.name}" has {self._most_of_one} watches already, the most that one client may have'
            )
        if self._of.total() >= self._most:
            raise _too_many(f"there are {self._most} watches already, the most that there may be")
        self._of[user.name] += 1
        try:
            yield
        finally:
            self._of[user.name] -= 1
            if not self._of[user.name]:
                del self._of[user.name]


def _too_many(why: str) -> ApiError:
    return ApiError.too_many_requests(
        f"too many watches: {why}; end some, or select less by fieldSelector and labelSelector"
    )
