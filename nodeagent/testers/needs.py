"""What the testers need of the Python environment. Imports none of it."""

import importlib.util
from typing import Final

_PACKAGES: Final = ("pytest", "pytest_asyncio", "pytest_timeout")
_HOW_TO_GET_THEM: Final = "pip install 'nodeagent[test]'"


class Unusable(Exception):
    """What was given cannot be tested, or not here: one line, and exit status 2."""


def must_be_there() -> None:
    """Raises Unusable, with the command that brings what is missing."""
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise Unusable(f"{', '.join(missing)} not installed: {_HOW_TO_GET_THEM}")
