"""The host ids that the machine's owner sets aside for pods: those of user `kubelet` in /etc/subuid, as getsubids tells.

Source: docs/facts/pod-lifecycle.md 11.6.
"""

import logging
import pwd
import shutil
from collections.abc import Callable

from nodeagent.pods.user_namespaces import IdPool
from runtimes.linux.process import ProcessError, run

log = logging.getLogger(__name__)

USER = "kubelet"
PROGRAM = "getsubids"
TIMEOUT_SECONDS = 5.0


class InvalidPool(Exception):
    """The ids set aside for pods cannot be used; one line for the operator."""


async def find_pool(*, per_pod: int, max_pods: int) -> IdPool:
    """The pool of this machine; all ids where none are set aside. Raises InvalidPool."""
    program = shutil.which(PROGRAM)
    if not _has_user():
        return checked(lambda: IdPool.whole(per_pod))
    if program is None:
        log.info("user %s exists, but %s does not: pods may have all ids", USER, PROGRAM)
        return checked(lambda: IdPool.whole(per_pod))
    users = await _list(program, USER)
    groups = await _list(program, "-g", USER)
    if users != groups:
        raise InvalidPool(f'mismatched subuids and subgids for user "{USER}"')
    first, length = parse(users)
    pool = checked(lambda: IdPool(first=first, length=length, per_pod=per_pod))
    if pool.pods < max_pods:
        raise InvalidPool(f"kubelet user assigned IDs are not enough to support {max_pods} pods")
    return pool


def parse(text: str) -> tuple[int, int]:
    """First id and their number of one line of getsubids: `0: kubelet 65536 7208960`. Raises InvalidPool."""
    lines = text.strip().splitlines()
    if len(lines) != 1:
        raise InvalidPool(f"error parsing subids of user {USER}: one range is needed, not {len(lines)}")
    try:
        first, length = lines[0].split()[2:]
        return int(first), int(length)
    except ValueError:
        raise InvalidPool(f"error parsing subids of user {USER}: {lines[0]!r}") from None


def checked(make: Callable[[], IdPool]) -> IdPool:
    """Raises InvalidPool."""
    try:
        return make()
    except ValueError as error:
        raise InvalidPool(str(error)) from error


def _has_user() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


async def _list(program: str, *arguments: str) -> str:
    try:
        done = await run((program, *arguments), timeout_seconds=TIMEOUT_SECONDS)
    except (ProcessError, OSError) as error:
        raise InvalidPool(f'error retrieving additional ids for user "{USER}": {error}') from error
    if not done.ok:
        raise InvalidPool(f'error retrieving additional ids for user "{USER}": {done.error_text}')
    return done.stdout.decode()
