"""The options of the CPU manager's static policy. Source: docs/facts/node-resources.md 11.2."""

from collections.abc import Mapping
from dataclasses import dataclass

FULL_PCPUS_ONLY = "full-pcpus-only"
STRICT = "strict-cpu-reservation"
BY_CACHE = "prefer-align-cpus-by-uncorecache"
ACROSS_NUMA = "distribute-cpus-across-numa"
ALIGN_BY_SOCKET = "align-by-socket"
ACROSS_CORES = "distribute-cpus-across-cores"

_ALPHA = (ALIGN_BY_SOCKET, ACROSS_CORES)
_EXCLUSIVE = (
    (FULL_PCPUS_ONLY, ACROSS_CORES),
    (ACROSS_NUMA, ACROSS_CORES),
    (BY_CACHE, ACROSS_CORES),
    (BY_CACHE, ACROSS_NUMA),
)
_KNOWN = (FULL_PCPUS_ONLY, STRICT, BY_CACHE, ACROSS_NUMA, *_ALPHA)
ALPHA_GATE = "CPUManagerPolicyAlphaOptions"


class BadOption(ValueError):
    """An option that the policy does not have, or not beside another. The text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUOptions:
    """`by_cache`: CPUs that share a last-level cache are preferred. `across_cores`: CPUs of many cores, rather than whole cores.
    `strict`: pods never run on reserved CPUs.
    """

    full_pcpus_only: bool = False
    strict: bool = False
    by_cache: bool = False
    across_numa: bool = False
    align_by_socket: bool = False
    across_cores: bool = False


def cpu_options(
    policy: str, given: Mapping[str, str], *, alpha: bool = False, topology_policy: str = "none"
) -> CPUOptions:
    """Raises BadOption. `alpha`: the gate that alpha options need is on."""
    if policy != "static" and given:
        raise BadOption(f"{policy} policy: received unsupported options={dict(given)}")
    values: dict[str, bool] = {}
    for name, text in given.items():
        if name not in _KNOWN:
            raise BadOption(f"unknown CPU Manager Policy option: {name!r}; known are {', '.join(_KNOWN)}")
        if name in _ALPHA and not alpha:
            raise BadOption(
                f"CPU Manager Policy Alpha-level Options not enabled ({ALPHA_GATE}), but option {name!r} provided"
            )
        if text.lower() not in ("true", "false", "1", "0", "t", "f"):
            raise BadOption(f"bad value for option {name!r}: {text!r} is neither true nor false")
        values[name] = text.lower() in ("true", "1", "t")
    for one, other in _EXCLUSIVE:
        if values.get(one) and values.get(other):
            raise BadOption(f"static policy options {one} and {other} can not be used at the same time")
    if values.get(ALIGN_BY_SOCKET) and topology_policy == "single-numa-node":
        raise BadOption(f"{ALIGN_BY_SOCKET} is not compatible with the topology manager policy single-numa-node")
    return CPUOptions(
        full_pcpus_only=values.get(FULL_PCPUS_ONLY, False),
        strict=values.get(STRICT, False),
        by_cache=values.get(BY_CACHE, False),
        across_numa=values.get(ACROSS_NUMA, False),
        align_by_socket=values.get(ALIGN_BY_SOCKET, False),
        across_cores=values.get(ACROSS_CORES, False),
    )
