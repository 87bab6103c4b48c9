"""A network as the suite meets it: its configuration, and how its verbs are had."""

import json
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from cni import config
from cni.attachment import Attachment
from cni.config import NetworkConfig
from cni.network import Network
from cni.plugin import Call, invoke
from cni.result import Result
from cni.testing import journal
from cni.testing.flaws import Flaw
from cni.testing.levels import check_id
from cni.testing.wire import TIMEOUT_SECONDS


class Verbs(Protocol):
    """The verbs of `cni.network.Network`, with its promises and its errors (`cni.errors`)."""

    async def add(self, attachment: Attachment) -> Result: ...

    async def check(self, attachment: Attachment) -> None: ...

    async def delete(self, attachment: Attachment) -> None: ...

    async def status(self) -> None: ...

    async def gc(self, valid: Iterable[tuple[str, str]]) -> None: ...


# (configuration, a folder for what must outlive the object) -> the network. Called on the host of a check, in its event loop;
# the same folder comes again where a check wants what a restarted process would find, another one where that is lost.
Factory: TypeAlias = Callable[[NetworkConfig, Path], Verbs]


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """`document`: the network list, or a single plugin's object; `${FOLDER}` in it is a folder of each check's own.

    `bin_dirs`: where the plugins' programs are. `make`: instead, something in this process that has the verbs; checks that are
    about programs are skipped then. `exceptions`: id of a check -> why this network does without; raises ValueError for what
    has not the form of an id. `flaws`: mistakes that are known, and told instead of failing the check (cni/testing/flaws.py).
    `timed_rounds`: how many pods come and go for the times of ADD and DEL.
    """

    name: str
    document: Mapping[str, Any]
    bin_dirs: tuple[Path, ...] = ()
    make: Factory | None = None
    exceptions: Mapping[str, str] = field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()
    timed_rounds: int = 100

    def __post_init__(self) -> None:
        unknown = [name for name in self.exceptions if not check_id(f"test_{name.lower()}_")]
        if unknown:
            raise ValueError(f"exceptions of {self.name}: {', '.join(unknown)}: not the id of a check")

    def document_in(self, folder: Path) -> dict[str, Any]:
        """The configuration for one check. host-local keeps its addresses below `folder`, away from those of the machine."""
        text = string.Template(json.dumps(self.document)).safe_substitute(FOLDER=str(folder))
        document: dict[str, Any] = json.loads(text)
        for plugin in parts(document):
            ipam = plugin.get("ipam")
            if isinstance(ipam, dict) and ipam.get("type") == "host-local":
                ipam.setdefault("dataDir", str(folder / "ipam"))
        return document

    @property
    def known_flaws(self) -> tuple[Flaw, ...]:
        """Those of the plugins in the chain."""
        types = {plugin.get("type") for plugin in parts(self.document)}
        return tuple(flaw for flaw in self.flaws if flaw.plugin in types)

    def open(self, document: Mapping[str, Any], memory: Path) -> tuple[NetworkConfig, Verbs]:
        """The network of a configuration. `memory`: where its attachments are remembered. Raises InvalidConfig."""
        parsed = config.parse(json.dumps(document).encode())
        if self.make is not None:
            return parsed, self.make(parsed, memory)
        network = Network(
            parsed,
            bin_dirs=self.bin_dirs,
            cache_dir=memory,
            in_process={part.type: partial(self._noted, part.type) for part in parsed.plugins},
            add_timeout_seconds=TIMEOUT_SECONDS,
            del_timeout_seconds=TIMEOUT_SECONDS,
        )
        return parsed, network

    async def _noted(self, kind: str, call: Call) -> Any:
        """A run of a program, noted for those who want to know what was sent and what came back."""
        return await invoke(kind, self.bin_dirs, call, ran=journal.note)


def parts(document: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """The objects of the plugins in a configuration: of the list, or the one that it is."""
    found: Sequence[dict[str, Any]] = document.get("plugins", [document])
    return found
