"""Which driver is tested, and how it wants to be asked."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from csi.endpoint import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    """A driver that listens.

    `controller_endpoint`: where the Controller service is, if not at `endpoint`. `node_only`: leave the Controller alone; then
    `volume_id` (with `volume_context`) is a volume that is there, for the cases that need one.
    `parameters`: of CreateVolume; `mutable_parameters`: of ControllerModifyVolume.
    `secrets`: call ("NodeStageVolume") -> what goes with it.
    `volume_bytes`, `expand_bytes`: how large volumes are made, and by how much they grow. `fs_type`: empty: the driver's own.
    `patience_seconds`: how long ABORTED is asked again, and a snapshot looked at until it is ready.
    `directory`: where staging and target paths are made; the driver must see it by the same path.
    `exceptions`: id of a case -> why this driver does without.
    `second_node_id`: another node that the Controller knows. `log`: a file that the driver writes to, read for secrets.
    `before_call`: awaited with the name of each call before it is made; `restart`: ends the driver and starts it again.
    Raises ValueError for an endpoint that is none.
    """

    endpoint: str
    controller_endpoint: str = ""
    node_only: bool = False
    volume_id: str = ""
    volume_context: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    mutable_parameters: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    volume_bytes: int = 10 * 1024**3
    expand_bytes: int = 1024**3
    fs_type: str = ""
    patience_seconds: float = 60.0
    directory: Path | None = None
    exceptions: Mapping[str, str] = field(default_factory=dict)
    second_node_id: str = ""
    log: Path | None = None
    before_call: Callable[[str], Awaitable[None]] | None = None
    restart: Callable[[], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        for address in (self.endpoint, self.controller_endpoint or self.endpoint):
            Endpoint(address)
