"""Long lists in pages. A token names the last id of the page before, so that it holds whatever is made and deleted meanwhile."""

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

from csi import errors

_TOKEN = re.compile(r"[a-z]{3,4}-[0-9a-f]{32}")


class Listed(Protocol):
    @property
    def id(self) -> str: ...


L = TypeVar("L", bound=Listed)


def page(entries: Sequence[L], max_entries: int, token: str) -> tuple[Sequence[L], str]:
    """Those of `entries`, in the order of their ids, that belong to a page, and the token for the next; empty: it is the last.

    `max_entries` 0: all. Raises InvalidArgument, Pending (ABORTED, as CSI has it) for a token that is none.
    """
    if max_entries < 0:
        raise errors.InvalidArgument("max_entries is negative")
    if token and not _TOKEN.fullmatch(token):
        raise errors.Pending("starting_token is none of ours: begin with the first page")
    rest = [entry for entry in entries if entry.id > token]
    if not 0 < max_entries < len(rest):
        return rest, ""
    return rest[:max_entries], rest[max_entries - 1].id
