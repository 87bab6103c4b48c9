"""How many files the agent may have open: what `maxOpenFiles` says, as far as this process may have it."""

import logging
import resource

log = logging.getLogger(__name__)


def raise_limit(wanted: int) -> int:
    """Raise RLIMIT_NOFILE, never lower it; returns the soft limit that is in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for new in ((max(wanted, soft), max(wanted, hard)), (max(soft, min(wanted, hard)), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, new)
        except (OSError, ValueError):  # no right to a higher hard limit, or more than the kernel's own bound
            continue
        break
    now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if now < wanted:
        log.warning("maxOpenFiles is %d; this process may have %d", wanted, now)
    return now
