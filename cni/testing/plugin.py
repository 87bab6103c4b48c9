"""The pytest plug-in: options that name a network to test, without a line of code. Installed with the package (`pytest11`).

Loaded in every run of a machine that has nodeagent installed, so it imports nothing of it before it is used.
"""

import json
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cni.testing.flaws import Flaw
    from cni.testing.implementation import Implementation

_TOLD = pytest.StashKey[bool]()
MARKER = "cni_level(level): how much a check of a network counts: must, should or may"
_HINT = "--cni-conf FILE or --cni-conf-dir FOLDER, with --cni-bin-dir FOLDER, or override the fixture `network_implementation`"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cni", "checks of CNI plugins (pytest --pyargs cni.testing)")
    group.addoption("--cni-conf", metavar="FILE", help="the network to test: a .conflist, .conf or .json")
    group.addoption("--cni-conf-dir", metavar="FOLDER", help="instead: the first usable file of a folder, as on a node")
    group.addoption(
        "--cni-bin-dir", metavar="FOLDER", action="append", default=[], help="where plugins are; may be repeated"
    )
    group.addoption(
        "--cni-exceptions", metavar="FILE", help='TOML of what the network does without: CHECK-ID = "the reason"'
    )
    group.addoption(
        "--cni-known-flaws",
        metavar="RELEASE",
        action="append",
        default=[],
        help="tell the known flaws of a release (containernetworking-1.1.1), rather than fail; may be repeated",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every check its id and level in reports (JUnit: properties)."""
    checks = [item for item in items if item.get_closest_marker("cni_level")]
    if checks:
        from cni.testing.levels import properties

        for item in checks:
            item.user_properties += properties(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A check that found nothing but known flaws is an expected failure, with their texts; when it cleans up, too."""
    report = yield
    implementation = getattr(item, "funcargs", {}).get("network_implementation")
    if report.failed and call.excinfo is not None and implementation:
        from cni.testing.flaws import explains

        if text := explains(call.excinfo.value, implementation.known_flaws):
            if item.stash.get(_TOLD, False):  # when the check ran: not again when it cleans up
                report.outcome, report.longrepr = "passed", None
            else:
                report.outcome, report.wasxfail = "skipped", f"known flaw of {text}"
            item.stash[_TOLD] = True
    return report


@pytest.fixture
def network_implementation(pytestconfig: pytest.Config) -> "Implementation":
    """The network under test: here what the options name. Override it in a test file or a conftest; with `params` for several."""
    return implementation_of(pytestconfig)


def implementation_of(config: pytest.Config) -> "Implementation":
    """Raises UsageError."""
    from cni import config as configs
    from cni.errors import CNIError
    from cni.testing.implementation import Implementation

    conf, folder, bin_dirs = (config.getoption(f"cni_{name}") for name in ("conf", "conf_dir", "bin_dir"))
    if bool(conf) == bool(folder) or not bin_dirs:
        raise pytest.UsageError(f"name the network to test: {_HINT}")
    try:
        network = configs.load(Path(conf)) if conf else configs.load_default(Path(folder))
        chosen = config.getoption("cni_exceptions")
        exceptions: dict[str, Any] = tomllib.loads(Path(chosen).read_text()) if chosen else {}
        return Implementation(
            name=network.name,
            document=json.loads(network.source),
            bin_dirs=tuple(Path(path).resolve() for path in bin_dirs),
            exceptions=exceptions,
            flaws=_flaws_of(config.getoption("cni_known_flaws")),
        )
    except (OSError, ValueError, CNIError) as error:
        raise pytest.UsageError(f"--cni-conf, --cni-conf-dir, --cni-exceptions: {error}") from error


def _flaws_of(releases: list[str]) -> "tuple[Flaw, ...]":
    from cni.testing.flaws import RELEASES

    if unknown := [name for name in releases if name not in RELEASES]:
        raise pytest.UsageError(f"--cni-known-flaws: {unknown[0]} is none of {', '.join(RELEASES)}")
    return tuple(flaw for name in releases for flaw in RELEASES[name])
