"""nodeagent.config.cpu_options: docs/facts/node-resources.md 11.2."""

import pytest

from nodeagent.config.cpu_options import BadOption, CPUOptions, cpu_options


def test_all_that_go_together() -> None:
    """Each by its name; what is given as false is off."""
    given = {"full-pcpus-only": "true", "strict-cpu-reservation": "true", "distribute-cpus-across-numa": "false"}
    assert cpu_options("static", given) == CPUOptions(full_pcpus_only=True, strict=True)
    given = {"align-by-socket": "true", "distribute-cpus-across-cores": "T"}
    assert cpu_options("static", given, alpha=True) == CPUOptions(align_by_socket=True, across_cores=True)
    given = {"align-by-socket": "true", "prefer-align-cpus-by-uncorecache": "1"}
    assert cpu_options("static", given, alpha=True) == CPUOptions(align_by_socket=True, by_cache=True)


@pytest.mark.parametrize(
    ("policy", "given", "why"),
    [
        ("none", {"full-pcpus-only": "true"}, "none policy: received unsupported options"),
        ("static", {"fast": "true"}, "unknown CPU Manager Policy option: 'fast'"),
        ("static", {"full-pcpus-only": "yes"}, "bad value for option 'full-pcpus-only': 'yes'"),
        ("static", {"align-by-socket": "true"}, r"Alpha-level Options not enabled \(CPUManagerPolicyAlphaOptions\)"),
    ],
)
def test_refused(policy: str, given: dict[str, str], why: str) -> None:
    """The text names the option."""
    with pytest.raises(BadOption, match=why):
        cpu_options(policy, given)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("full-pcpus-only", "distribute-cpus-across-cores"),
        ("distribute-cpus-across-numa", "distribute-cpus-across-cores"),
        ("prefer-align-cpus-by-uncorecache", "distribute-cpus-across-cores"),
        ("prefer-align-cpus-by-uncorecache", "distribute-cpus-across-numa"),
    ],
)
def test_contradictions(one: str, other: str) -> None:
    """Both are named; one that is given as false contradicts nothing."""
    with pytest.raises(BadOption, match=f"^static policy options {one} and {other} can not be used at the same time$"):
        cpu_options("static", {other: "true", one: "true"}, alpha=True)
    cpu_options("static", {other: "true", one: "false"}, alpha=True)


def test_excluded_by_the_topology_manager() -> None:
    """CPUs of a socket are not those of a single NUMA node."""
    with pytest.raises(BadOption, match="single-numa-node"):
        cpu_options("static", {"align-by-socket": "true"}, alpha=True, topology_policy="single-numa-node")
