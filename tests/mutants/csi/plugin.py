"""The shipped suite on drivers that are named in a file, and what became of each case in another (proof.py: the form of both)."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from csi_driver import clear_folder

from csi.testing.implementation import Implementation
from csi.testing.levels import case_id, properties
from tests.mutants.csi import MUTANTS, ODD
from tests.mutants.csi.driver import FORMS, MEBIBYTE
from tests.mutants.csi.proof import Outcome, Subject

REPO = Path(__file__).resolve().parents[3]
OUTCOMES = pytest.StashKey[list[Outcome]]()
PLAN = pytest.StashKey[list[Subject]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--plan", type=Path, help="JSON: the drivers, and which cases each")
    parser.addoption("--outcomes", type=Path, help="where to write what became of them")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[PLAN] = msgspec.json.decode(config.getoption("plan").read_bytes(), type=list[Subject])
    config.stash[OUTCOMES] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    identity = case_id(metafunc.function.__name__)
    chosen = [each for each in metafunc.config.stash[PLAN] if not each.cases or identity in each.cases]
    if "driver" in metafunc.fixturenames:
        metafunc.parametrize("csi_implementation", chosen, indirect=True, ids=[each.name for each in chosen])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cases that no driver is to be asked are not there, rather than skipped."""
    items[:] = [item for item in items if "NOTSET" not in item.name]


class Drivers:
    """The process that serves them (serving.py), and where: a folder each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.csi.serving"],
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._folders: dict[str, Path] = {}

    def folder(self, subject: Subject) -> Path:
        """Of the driver, which is started where it has not been yet."""
        if subject.name not in self._folders:
            folder = self._folders[subject.name] = self._folder / str(len(self._folders))
            (folder / "work").mkdir(parents=True)
            (folder / "log").touch()
            self.start(subject)
        return self._folders[subject.name]

    def start(self, subject: Subject) -> None:
        """Again, where it is running. A driver that does not start ends the run: that is no fault that was caught."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = " ".join((str(self._folders[subject.name]), subject.form, *subject.drivers))
        with contextlib.suppress(OSError):
            print(line, file=self._process.stdin, flush=True)
        if self._process.stdout.readline().strip() != line:
            pytest.exit(f"{subject.name} does not start: {self.said}", returncode=3)

    @property
    def said(self) -> str:
        return (self._folder / "log").read_text()

    def end(self) -> str:
        """All are gone, and what they left; returns what they reported of themselves."""
        self._process.communicate(timeout=60)
        self._log.close()
        said = self.said
        clear_folder(self._folder)
        return said


@pytest.fixture(scope="session")
def drivers() -> Iterator[Drivers]:
    made = Drivers(Path(tempfile.mkdtemp(prefix="csim-")))
    yield made
    if said := made.end():
        pytest.exit(f"a driver has failed in a way that nobody meant: {said}", returncode=3)


@pytest.fixture
def csi_implementation(request: pytest.FixtureRequest, drivers: Drivers) -> Implementation:
    subject: Subject = request.param
    folder = drivers.folder(subject)
    asked = {"volume_bytes": 16 * MEBIBYTE, "expand_bytes": 16 * MEBIBYTE, **FORMS[subject.form].asked}
    for name in subject.drivers:
        asked |= (MUTANTS | ODD)[name].asked

    async def restart() -> None:
        await asyncio.sleep(sum((MUTANTS | ODD)[name].end_seconds for name in subject.drivers))
        drivers.start(subject)

    asked |= {"directory": folder / "work", "log": folder / "log", "restart": restart}
    return Implementation(endpoint=f"unix://{folder}/s", **asked)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    told = properties(item)
    if told and (report.when == "call" or report.outcome != "passed"):
        subject: Any = item.callspec.params["csi_implementation"]
        broken = report.failed or hasattr(report, "wasxfail")
        item.config.stash[OUTCOMES].append(
            Outcome(
                subject=subject.name,
                case=told["id"],
                level=told["level"],
                outcome="failed" if broken else report.outcome,
                why=str(call.excinfo.value)[:300] if call.excinfo else "",
            )
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.getoption("outcomes").write_bytes(msgspec.json.encode(session.config.stash[OUTCOMES]))
