"""A disk's errors as errors of the contract: reported in one line, not as a bug."""

import contextlib
from collections.abc import Iterator

from runtimes.oci.images.intake import disk_fault


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Around a verb. Raises ResourceExhausted for a full disk, Internal for other errors of the system's."""
    try:
        yield
    except TimeoutError:  # an OSError by its class only
        raise
    except OSError as error:
        raise disk_fault(error, what) from error
