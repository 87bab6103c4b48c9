"""The pytest plug-in: options that name a driver to test, without a line of code. Installed with the package (`pytest11`).

Loaded in every run of a machine that has nodeagent installed, so it imports next to nothing of it before it is used.
"""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from csi.testing.levels import properties

if TYPE_CHECKING:
    from csi.testing.implementation import Implementation

CALLS = pytest.StashKey[list[str]]()  # what a case asked, and what was answered
MARKER = "csi_level(level, spec): how much a case of a CSI driver counts, must or should, and the section it is about"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("csi", "conformance of CSI drivers (pytest --pyargs csi.testing)")
    add = group.addoption
    add("--csi-endpoint", metavar="unix:///PATH", help="the driver to test")
    add("--csi-controller-endpoint", metavar="unix:///PATH", default="", help="its Controller service, if elsewhere")
    add("--csi-node-only", action="store_true", help="leave the Controller service alone")
    add("--csi-volume-id", metavar="ID", default="", help="a volume that is there, where none can be made")
    add("--csi-volume-context", metavar="KEY=VALUE", action="append", default=[], help="its context (repeat)")
    add("--csi-parameters", metavar="KEY=VALUE", action="append", default=[], help="of CreateVolume (repeat)")
    add("--csi-mutable-parameters", metavar="KEY=VALUE", action="append", default=[], help="to modify (repeat)")
    add("--csi-secrets", metavar="FILE", help="YAML or JSON: call (NodeStageVolume) -> its secrets")
    add("--csi-volume-size", metavar="QUANTITY", default="10Gi", help="default: %(default)s")
    add("--csi-expand-by", metavar="QUANTITY", default="1Gi", help="default: %(default)s")
    add("--csi-fs-type", metavar="NAME", default="", help="to ask for; default: the driver's choice")
    add("--csi-workdir", metavar="DIR", help="where to mount; the driver must see it by the same path")
    add("--csi-exceptions", metavar="FILE", help='TOML of what it does without: "id of a case" = "the reason"')
    add("--csi-second-node-id", metavar="ID", default="", help="another node that the Controller knows")
    add("--csi-restart", metavar="COMMAND", help="ends the driver at once and starts it again; no shell")
    add("--csi-log", metavar="FILE", help="what the driver writes to: it is searched for secrets")
    add(
        "--csi-patience",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="for ABORTED to end, and snapshots to be ready",
    )
    add("--csi-strict", action="store_true", help="let a recommendation that is not kept be a failure")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every case its id, level, section and promise in reports (JUnit: properties)."""
    for item in items:
        item.user_properties += properties(item).items()


@pytest.fixture
def csi_implementation(pytestconfig: pytest.Config) -> "Implementation":
    """The driver under test: here what the options name. Override it in a test file or a conftest; with `params` for several."""
    return _implementation_of(pytestconfig)


def _implementation_of(config: pytest.Config) -> "Implementation":
    """Raises UsageError."""
    from csi.testing.chosen import Chosen, implementation

    def option(name: str) -> Any:
        return config.getoption(f"csi_{name}")

    def path(name: str) -> Path | None:
        return Path(option(name)) if option(name) else None

    if not option("endpoint"):
        raise pytest.UsageError(
            "name the driver to test: --csi-endpoint unix:///PATH, or override the fixture `csi_implementation`"
        )
    try:
        return implementation(
            Chosen(
                endpoint=option("endpoint"),
                controller_endpoint=option("controller_endpoint"),
                node_only=option("node_only"),
                volume_id=option("volume_id"),
                volume_context=option("volume_context"),
                parameters=option("parameters"),
                mutable_parameters=option("mutable_parameters"),
                secrets=path("secrets"),
                volume_size=option("volume_size"),
                expand_by=option("expand_by"),
                fs_type=option("fs_type"),
                workdir=path("workdir"),
                second_node_id=option("second_node_id"),
                patience=option("patience"),
                restart=option("restart") or "",
                log=path("log"),
                exceptions=path("exceptions"),
            )
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a case, say which rule it is about and what was asked; a recommendation that is not kept is no failure."""
    report = yield
    if report.failed and (told := properties(item)):
        calls = item.stash.get(CALLS, [])
        title = f"CSI case {told['id']}, {told['level'].upper()}, specification: {told['spec']}"
        report.sections.append((title, "\n".join(calls) or "nothing was asked"))
        if told["level"] == "should" and call.when == "call" and not item.config.getoption("csi_strict"):
            report.outcome, report.wasxfail = "skipped", f"{told['id']}: a recommendation that is not kept"
    return report
