"""A disk's errors as errors of the contract."""

import errno
import os

import pytest

from runtimes import errors
from runtimes.oci.disk_errors import disk_errors


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, errors.ResourceExhausted),
        (errno.EDQUOT, errors.ResourceExhausted),
        (errno.EROFS, errors.Internal),
    ],
)
def test_what_a_disk_refuses(number: int, kind: type[Exception]) -> None:
    """In one line, with the file; a full disk is worth trying again."""
    with pytest.raises(kind) as caught, disk_errors("cannot make the sandbox"):
        raise OSError(number, os.strerror(number), "/state/x")
    assert str(caught.value) == f"cannot make the sandbox: {os.strerror(number)} (/state/x)"


@pytest.mark.parametrize("error", [TimeoutError(), errors.NotFound("x"), ValueError("x")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    """Those of the contract, deadlines, mistakes."""
    with pytest.raises(type(error)) as caught, disk_errors("x"):
        raise error
    assert caught.value is error
