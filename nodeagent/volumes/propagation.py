"""Mounts of CSI drivers are made in the drivers' containers; the pods' folders must see them."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from runtimes.linux.mounts import share, unshare

log = logging.getLogger(__name__)


@contextlib.contextmanager
def shared_root(root_dir: Path) -> Iterator[None]:
    """While the agent runs, mounts propagate from and to `root_dir` (docs/facts/storage.md 3).

    They go on doing so afterwards as long as pods have mounts there. Blocks for microseconds. Where it cannot be had it is
    reported: pods without such volumes do not need it.
    """
    try:
        share(root_dir)
    except OSError as error:
        log.warning("mounts of CSI drivers will not reach %s: %s", root_dir, error)
    try:
        yield
    finally:
        try:
            unshare(root_dir)
        except OSError as error:
            log.debug("%s stays a shared mount: %s", root_dir, error)
