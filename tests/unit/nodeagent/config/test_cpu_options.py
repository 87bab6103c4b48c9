"""nodeagent.config.cpu_options: docs/facts/node-resources.md 11.2."""

import pytest

from nodeagent.config.cpu_options import BadOption, CPUOptions, cpu_options


def test_all_that_go_together() -> None:
    """Each by its name; what is given as false is off."""
    given = {"full-pcpus-only": "true", "strict-cpu-reservation": "true", "distribute-cpus-across-numa": "false"}
    assert cpu_options("static", given) == CPUOptions(full_pcpus_only=True, strict=True)
    given = {"align-by-socket": "true", "prefer-align-cpus-by-uncorecache": "1"}
    assert cpu_options("static", given, alpha=True) == CPUOptions(align_by_socket=True, by_cache=True)


@pytest.mark.parametrize(
    ("policy", "given", "why"),
    [
        ("none", {"full-pcpus-only": "true"}, "none policy: received unsupported options"),
        ("static", {"fast": "true"}, "unknown CPU Manager Policy option: 'fast'"),
        ("static", {"full-pcpus-only": "yes"}, "bad value for option 'full-pcpus-only': 'yes'"),
        ("static", {"align-by-socket": "true"}, r"Alpha-level Options not enabled \(CPUManagerPolicyAlphaOptions\)"),
        (
            "static",
            {"prefer-align-cpus-by-uncorecache": "true", "distribute-cpus-across-numa": "true"},
            "can not be used at the same time",
        ),
    ],
)
def test_refused(policy: str, given: dict[str, str], why: str) -> None:
    """The text names the option."""
    with pytest.raises(BadOption, match=why):
        cpu_options(policy, given)


def test_refused_alpha_options() -> None:
    """One that this agent does not have, and one that the topology manager's policy excludes."""
    with pytest.raises(BadOption, match="'distribute-cpus-across-cores' is not supported"):
        cpu_options("static", {"distribute-cpus-across-cores": "true"}, alpha=True)
    with pytest.raises(BadOption, match="single-numa-node"):
        cpu_options("static", {"align-by-socket": "true"}, alpha=True, topology_policy="single-numa-node")
