"""What pytest reports becomes records, on small test files of the test's own."""

import json
import os
from typing import Any

import pytest

pytest_plugins = ["pytester"]
OPTIONS = (
    *("-p", "csi.testing.plugin", "-p", "nodeagent.testers.recorder", "-p", "no:cacheprovider", "--csi-strict"),
    *("-o", "asyncio_default_fixture_loop_scope=function"),
)
CASES = """
import pytest
from csi.testing.levels import must, should

@pytest.fixture
def untidy():
    yield
    assert False, "left behind"

@must("NodePublishVolume")
def test_n1_it_holds(record_property):
    "Promised."
    record_property("publish_p50_ms", 2.5)

@should("NodePublishVolume")
def test_n2_recommended(): assert 1 == 2, "as said"

@must("CreateVolume")
@pytest.mark.parametrize("field", ["name", "mode"])
def test_n3_fields(field): assert field == "name"

@must("X")
def test_n4_untidy(untidy): pass

@must("X")
def test_n5_cannot(): pytest.skip("not claimed: GET_CAPACITY")

@must("X")
def test_n6_will_not(): pytest.skip("excepted: on purpose")

@must("X")
def test_n7_not_here(): pytest.skip("no xfs: here")

def test_no_case(): pass
"""


def recorded(pytester: pytest.Pytester, *options: str) -> list[dict[str, Any]]:
    """The lines that a run over CASES writes."""
    pytester.makepyfile(test_volumes=CASES)
    file = pytester.path / "records"
    fd = os.open(file, os.O_CREAT | os.O_WRONLY)
    try:
        pytester.runpytest_inprocess(*OPTIONS, f"--nodeagent-records={fd}", *options)
    finally:
        os.close(fd)
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_record_each(pytester: pytest.Pytester) -> None:
    """With verdict and reason; variants are records; what fails in taking down has failed; what is no check is none."""
    found = [line["record"] for line in recorded(pytester)]
    assert [(each["id"], each["variant"], each["verdict"]) for each in found] == [
        ("N1", "", "passed"),
        ("N2", "", "failed"),
        ("N3", "name", "passed"),
        ("N3", "mode", "failed"),
        ("N4", "", "failed"),
        ("N5", "", "not claimed"),
        ("N6", "", "excepted"),
        ("N7", "", "skipped"),
    ]
    first, second = found[:2]
    assert (first["title"], first["group"], first["level"]) == ("it holds", "volumes", "must")
    assert (first["spec"], first["promise"], first["figures"]) == (
        "NodePublishVolume",
        "Promised.",
        {"publish_p50_ms": 2.5},
    )
    assert (second["level"], second["reason"]) == ("should", "AssertionError: as said assert 1 == 2")
    assert "nothing was asked" in second["evidence"]
    assert [each["reason"] for each in found[5:]] == ["GET_CAPACITY", "on purpose", "no xfs: here"]


def test_what_cannot_be_collected(pytester: pytest.Pytester) -> None:
    """Is a problem, with its text, and no empty run."""
    pytester.makepyfile(test_broken="import nothing_of_that_name")
    (problem,) = [line["problem"] for line in recorded(pytester) if "problem" in line]
    assert "nothing_of_that_name" in problem
