"""What the options of the suite make of a run, on small test files of the test's own."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
OPTIONS = ("-p", "csi.testing.plugin", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")
CASE = """
from csi.testing.levels import must, should
@must("NodePublishVolume")
def test_n1_holds(): "Promised."
@should("NodePublishVolume")
def test_n2_recommended(): assert False
@must("NodePublishVolume")
def test_n3_broken(): assert False
"""


@pytest.fixture
def site(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(CASE)
    return pytester


def test_a_recommendation_is_no_failure(site: pytest.Pytester) -> None:
    """What must hold fails, with its id and section; what should is told, and fails with --csi-strict alone."""
    options = (*OPTIONS, "-rx")
    done = site.runpytest_inprocess(*options)
    done.assert_outcomes(passed=1, failed=1, xfailed=1)
    done.stdout.fnmatch_lines(["*CSI case N3, MUST, specification: NodePublishVolume*", "*N2: a recommendation*"])
    site.runpytest_inprocess(*options, "--csi-strict").assert_outcomes(passed=1, failed=2)


def test_reports_have_ids(site: pytest.Pytester, tmp_path: Path) -> None:
    """JUnit: id, level, section and promise of each case."""
    report = tmp_path / "report.xml"
    site.runpytest_inprocess(*OPTIONS, f"--junitxml={report}")
    text = report.read_text()
    for name, value in (("id", "N1"), ("level", "should"), ("spec", "NodePublishVolume"), ("promise", "Promised.")):
        assert f'<property name="{name}" value="{value}"' in text


def test_a_restart_and_a_second_node(pytester: pytest.Pytester) -> None:
    """Options that let more cases run: a command, a node's id, a log."""
    pytester.makepyfile("""
        def test_it(csi_implementation):
            assert csi_implementation.restart is not None
            assert (csi_implementation.second_node_id, str(csi_implementation.log)) == ("node-2", "/log")
    """)
    given = (
        "--csi-endpoint=unix:///s",
        "--csi-restart=docker restart x",
        "--csi-second-node-id=node-2",
        "--csi-log=/log",
    )
    pytester.runpytest_inprocess(*OPTIONS, *given).assert_outcomes(passed=1)


def test_defaults_are_the_same(pytester: pytest.Pytester) -> None:
    """Of the options and of what they make."""
    pytester.makepyfile("""
        from csi.testing.chosen import Chosen, implementation
        def test_it(csi_implementation):
            assert csi_implementation == implementation(Chosen(endpoint="unix:///s"))
    """)
    pytester.runpytest_inprocess(*OPTIONS, "--csi-endpoint=unix:///s").assert_outcomes(passed=1)
