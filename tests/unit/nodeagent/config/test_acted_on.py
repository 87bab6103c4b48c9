"""The list of what is acted on is what the code reads, and the warning is what is left of an operator's file."""

import ast
import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from nodeagent.config.acted_on import ACTED_ON
from nodeagent.config.unused import unused

REPO = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("generate_acted_on", str(REPO / "hack" / "generate-acted-on"))
    spec = importlib.util.spec_from_loader("generate_acted_on", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_list_is_what_the_code_reads(generator: ModuleType) -> None:
    """Found in the code again, it is what is checked in; else run hack/generate-acted-on."""
    assert sorted(ACTED_ON) == generator.acted_on()


def test_what_a_read_is(generator: ModuleType) -> None:
    """Attributes of the configuration, also by another name and of its parts; gates by name; not those of other things."""
    code = """
def f(config, other):
    kubelet, x = config.kubelet, 1
    kubelet = config.kubelet
    logs = kubelet.logging
    gates = kubelet.featureGates
    print(self.config.kubelet.maxPods, kubelet.cgroupRoot.split("/"), logs.verbosity, gates.get("A", True))
    print(other.port, config.options.port, logging.format)
    kubelet.address = "written, not read"
"""
    found = set(generator.reads(ast.parse(code)))
    assert found == {
        "maxPods",
        "cgroupRoot.split./",
        "logging",
        "logging.verbosity",
        "featureGates",
        "featureGates.get.A",
    }


def test_examples() -> None:
    """Some that are known to act, and some that are known not to."""
    assert {
        "singleProcessOOMKill",
        "failSwapOn",
        "enforceNodeAllocatable",
        "logging.verbosity",
        "logging.format",
    } <= ACTED_ON
    assert (
        not {"contentType", "cgroupsPerQOS", "cpuManagerReconcilePeriod", "hairpinMode", "logging.options"} & ACTED_ON
    )


def test_unused_fields_of_a_file() -> None:
    """The outermost name of what nothing reads; a part of which something is read is looked into."""
    given = {
        "maxPods": 3,
        "contentType": "x",
        "logging": {"format": "json", "vmodule": [], "options": {"json": {}}},
        "qosReserved": {},
        "featureGates": {"PodLevelResources": True, "NodeSwap": True},
        "evictionHard": {"memory.available": "1Mi"},
    }
    assert list(unused(given, ACTED_ON)) == [
        *("contentType", "logging.options", "qosReserved", "featureGates.NodeSwap")
    ]
