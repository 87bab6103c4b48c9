"""What a fleet is to be."""

from dataclasses import dataclass, field
from pathlib import Path

from runtimes.hollow.runtime import HollowSettings

FLEET_LABEL = "hollow.nodeagent.dev/fleet"  # of nodes and pods that a fleet has made; its value: the fleet's name
TAINT = "hollow.nodeagent.dev/node"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """`name`: nodes are `<name>-<number>`. `pods`: of all nodes together, made by the fleet and spread evenly.

    `kubeconfig` None: an embedded API, with its store in `state_dir`. `as_nodes`: each node speaks to the API with no more than a
    node's rights, which the kubeconfig's user has to be allowed to take (verb `impersonate`). `tokens`: pods ask for tokens of
    their service account. `runtime`: how each node's behaves, but for its seed, which is made of this one.
    `duration_seconds`: how long the fleet stays once all runs; None: until it is told to go. `keep`: what it has made stays in
    the API. `report`: file for a JSON line a sample (`report.Sample`).
    """

    nodes: int
    pods: int = 0
    name: str = "hollow"
    namespace: str = "default"
    kubeconfig: Path | None = None
    state_dir: Path | None = None
    api_port: int = 0
    as_nodes: bool = True
    taint: bool = True
    tokens: bool = True
    keep: bool = False
    cpus: int = 8
    memory_bytes: int = 32 << 30
    runtime: HollowSettings = field(default_factory=HollowSettings)
    duration_seconds: float | None = None
    interval_seconds: float = 10.0
    report: Path | None = None

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"{self.name}-{number}" for number in range(self.nodes))

    @property
    def most_pods(self) -> int:
        """Of one node."""
        return -(-self.pods // self.nodes)

    def pods_of(self, node: int) -> tuple[str, ...]:
        """The names of the pods that the fleet makes on the node of this number: the first nodes have one more."""
        each, more = divmod(self.pods, self.nodes)
        return tuple(f"{self.name}-{node}-{number}" for number in range(each + (node < more)))
