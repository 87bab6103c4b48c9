"""Real components that a test needs: where one is absent, the test is skipped and the absence is told as NOT TESTED.

`tests/conftest.py` lists these lines at the end of a run; `hack/test` repeats them, and with CI=true those fail the run that
`hack/install-deps --test` could have prevented.
"""

import shutil
from pathlib import Path
from typing import NoReturn

import pytest

MARK = "NOT TESTED: "
INSTALLABLE = "hack/install-deps --test brings it"


def _absent(component: str) -> str:
    """Why a test is skipped whose component the project's own scripts install."""
    return f"{MARK}{component} is not installed; {INSTALLABLE}"


def _is_there(component: str) -> bool:
    """`component`: the name of a program, or an absolute path."""
    return Path(component).exists() if component.startswith("/") else shutil.which(component) is not None


def needs(*components: str) -> pytest.MarkDecorator:
    """A mark: skip where one of the programs, or of the files with absolute paths, is missing."""
    missing = [component for component in components if not _is_there(component)]
    return pytest.mark.skipif(bool(missing), reason=_absent(", ".join(missing)))


def require(*components: str) -> None:
    """Inside a test or a fixture: skip where one of `components` is missing."""
    missing = [component for component in components if not _is_there(component)]
    if missing:
        pytest.skip(_absent(", ".join(missing)))


def cannot_be_tested(what: str) -> NoReturn:
    """Skip what this machine (its kernel, its processor, its network) cannot do; told, and no failure anywhere."""
    pytest.skip(f"{MARK}{what}")
