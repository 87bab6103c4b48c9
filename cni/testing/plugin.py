"""The pytest plug-in: options that name a network to test, without a line of code. Installed with the package (`pytest11`).

Loaded in every run of a machine that has nodeagent installed, so it imports nothing of it before it is used.
"""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cni.testing.implementation import Implementation

_TOLD = pytest.StashKey[bool]()
MARKER = "cni_level(level): how much a check of a network counts: must, should or may"
_HINT = (
    "--cni-conf FILE or --cni-conf-dir FOLDER or --cni-plugin NAME, with --cni-bin-dir FOLDER, or override the fixture "
    "`network_implementation`"
)
# title of the section of a report with a shell line that does again what a check did
REPRODUCE = "reproduce"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cni", "checks of CNI plugins (pytest --pyargs cni.testing)")
    group.addoption("--cni-conf", metavar="FILE", help="the network to test: a .conflist, .conf or .json")
    group.addoption("--cni-conf-dir", metavar="FOLDER", help="instead: the first usable file of a folder, as on a node")
    group.addoption("--cni-plugin", metavar="NAME", help="instead: a network of that plugin, made for the purpose")
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
    """A check that found nothing but known flaws is an expected failure, with their texts; when it cleans up, too.

    Any other failure says what was sent and what came back, what the specification asks, and how to do it again.
    """
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
        else:
            report.sections += _sections(item)
    return report


def _sections(item: pytest.Item) -> list[tuple[str, str]]:
    from cni.testing import journal
    from cni.testing.levels import described

    check = described(getattr(item, "function", None))
    if not check:
        return []
    title = f"CNI check {check['id']}, {check['level'].upper()}: {check['spec'] or 'the specification is silent'}"
    again = journal.reproduction()
    return [(title, f"{check['promise']}\n\n{journal.told()}"), *([(REPRODUCE, again)] if again else [])]


@pytest.fixture
def network_implementation(pytestconfig: pytest.Config) -> "Implementation":
    """The network under test: here what the options name. Override it in a test file or a conftest; with `params` for several."""
    return implementation_of(pytestconfig)


def implementation_of(config: pytest.Config) -> "Implementation":
    """Raises UsageError."""
    from cni.testing.chosen import Chosen, implementation

    def option(name: str) -> Any:
        return config.getoption(f"cni_{name}")

    given = [name for name in ("conf", "conf_dir", "plugin") if option(name)]
    if len(given) != 1 or not option("bin_dir"):
        raise pytest.UsageError(f"name the network to test: {_HINT}")
    try:
        return implementation(
            Chosen(
                conf=Path(option("conf")) if option("conf") else None,
                conf_dir=Path(option("conf_dir")) if option("conf_dir") else None,
                plugin=option("plugin") or "",
                bin_dirs=tuple(Path(path) for path in option("bin_dir")),
                exceptions=Path(option("exceptions")) if option("exceptions") else None,
                known_flaws=tuple(option("known_flaws")),
            )
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
