"""What an agent finds around it. One process may run many agents: each is given its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from nodeagent.metrics.registry import agent_registry
from nodeagent.node.facts import Machine, read_machine
from runtimes.linux.cgroups.contract import Cgroups
from runtimes.linux.cgroups.detect import detect


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """`metrics`: where the agent's own metrics are registered. `now`: the time of day, with its zone."""

    machine: Machine
    cgroups: Cgroups
    metrics: CollectorRegistry
    now: Callable[[], datetime]


def this_host() -> Host:
    """The machine that this process runs on. Raises CgroupError where it has no cgroups."""
    return Host(
        machine=read_machine(),
        cgroups=detect(),
        metrics=agent_registry(),
        now=lambda: datetime.now(UTC),
    )
