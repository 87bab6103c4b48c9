"""The pytest plug-in: options that name a runtime to test, without a line of code. Installed with the package (`pytest11`).

Loaded in every run of a machine that has nodeagent installed, so it imports nothing of it before it is used.
"""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from runtimes.testing.implementation import Implementation

MARKER = "image_store: is about a runtime's image store alone; runtimes that share one need it once"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("runtimes", "conformance of container runtimes (pytest --pyargs runtimes.testing)")
    group.addoption("--runtime-endpoint", metavar="unix:///PATH", help="a CRI endpoint to test, with no pods of others")
    group.addoption("--runtime-handler", metavar="NAME", default="", help="the endpoint's own handler (its default)")
    group.addoption(
        "--runtime-type", metavar="TYPE", help="instead: a runtime type of an installed package, or built in"
    )
    group.addoption(
        "--runtime-settings", metavar="JSON", default="{}", help="the type's settings, as under `runtimes.x`"
    )
    group.addoption(
        "--runtime-exceptions", metavar="FILE", help='TOML of what it cannot do: "ability or case" = "the reason"'
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def runtime_implementation(pytestconfig: pytest.Config) -> "Implementation":
    """The runtime under test: here what the options name. Override it in a test file or a conftest; with `params` for several."""
    return _implementation_of(pytestconfig)


def _implementation_of(config: pytest.Config) -> "Implementation":
    """Raises UsageError."""
    from runtimes.testing.implementation import Implementation

    endpoint, kind = config.getoption("runtime_endpoint"), config.getoption("runtime_type")
    if bool(endpoint) == bool(kind):
        raise pytest.UsageError(
            "name the runtime to test: --runtime-endpoint unix:///PATH or --runtime-type TYPE, or override the fixture "
            "`runtime_implementation`"
        )
    try:
        settings: dict[str, Any] = json.loads(config.getoption("runtime_settings"))
        if endpoint:
            settings |= {"endpoint": endpoint, "handler": config.getoption("runtime_handler")}
        chosen = config.getoption("runtime_exceptions")
        exceptions = tomllib.loads(Path(chosen).read_text()) if chosen else {}
        return Implementation(name=kind or "endpoint", type=kind or "cri", settings=settings, exceptions=exceptions)
    except (OSError, ValueError, TypeError) as error:
        raise pytest.UsageError(f"--runtime-settings, --runtime-exceptions: {error}") from error
