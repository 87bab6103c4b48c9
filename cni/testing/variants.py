"""The network under test in other forms: a second one beside it, keys added, a stand-in for its IPAM plugin."""

import copy
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cni import plugin
from cni.testing.implementation import parts
from cni.testing.subject import RANGE_KEYS, Subject, kept_by

# for benchmarks (RFC 2544), and a local one: no pod network and no uplink of a check has them
_SPARE_SUBNETS = {4: "198.18.7.0/24", 6: "fd6e:6174:7::/64"}


def with_keys(network: Subject, **keys: Any) -> Subject:
    """With more keys in the object of every plugin."""
    document = copy.deepcopy(dict(network.document))
    for part in parts(document):
        part |= keys
    return network.variant(document)


def without_ranges(network: Subject) -> Subject:
    """With no addresses in the configuration: the runtime is to say which."""
    document = copy.deepcopy(dict(network.document))
    for part in parts(document):
        for key in ("ranges", *RANGE_KEYS):
            (part.get("ipam") or {}).pop(key, None)
    return network.variant(document)


async def another_network(network: Subject) -> Subject:
    """A second network of the same plugins on the same host: another name, bridge and subnets.

    What it keeps without pods counts as kept. Skips the check where the addresses are not configured as ranges.
    """
    document = copy.deepcopy(dict(network.document))
    document["name"] = f"{network.config.name}-2"
    for part in parts(document):
        if "bridge" in part:
            part["bridge"] = "natest2"
        ipam = part.get("ipam") or {}
        if "subnet" in ipam:
            ipam["ranges"] = [[{"subnet": ipam["subnet"]}], *ipam.get("ranges", [])]
            for key in RANGE_KEYS:
                ipam.pop(key, None)
        if ipam.get("ranges"):
            ipam["ranges"] = [
                [{"subnet": _SPARE_SUBNETS[6 if ":" in choices[0]["subnet"] else 4]}] for choices in ipam["ranges"]
            ]
            break
    else:
        pytest.skip("not claimed: no ranges of addresses in the configuration, to make a second network of")
    second = network.variant(document)
    kept = await kept_by(second)
    network.kept |= kept
    second.kept = network.kept
    return second


@dataclass(frozen=True, slots=True)
class StandIn:
    """A program in place of the IPAM plugin: it notes what it is asked, and does as it was told or as the real one."""

    network: Subject
    real: Path

    def tell(self, command: str, shell: str = "") -> None:
        """What to do at `command` before, or instead of, the real program, `$REAL`; "": nothing special any more."""
        path = self._notes / command
        path.write_text(shell) if shell else path.unlink(missing_ok=True)

    def fail(self, command: str) -> None:
        """To refuse `command` with an error object."""
        self.tell(command, 'echo \'{"cniVersion": "1.0.0", "code": 101, "msg": "the stand-in refuses"}\'; exit 1')

    def asked(self) -> list[str]:
        """The commands that it got, in their order. Skips the check where there are none: nobody delegates to it."""
        found = (self._notes / "asked").read_text().split() if (self._notes / "asked").exists() else []
        if not found:
            pytest.skip("not claimed: no plugin has run its IPAM plugin")
        return found

    @property
    def _notes(self) -> Path:
        return self.network.folder / "stand-in"


def stand_in(network: Subject) -> StandIn:
    """The network with such a program before the real one. Skips the check where no plugin delegates to one."""
    assert network.programs
    kinds = [part.raw["ipam"]["type"] for part in network.config.plugins if part.raw.get("ipam", {}).get("type")]
    if not kinds:
        pytest.skip("not claimed: no plugin delegates to an IPAM plugin")
    real = plugin.find(kinds[0], network.implementation.bin_dirs)
    assert real is not None, f"no program of {kinds[0]}"
    folder, notes = network.folder / "bin", network.folder / "stand-in"
    folder.mkdir()
    notes.mkdir()
    (folder / kinds[0]).write_text(
        f"#!/bin/sh\nREAL={shlex.quote(str(real))}\ncd {shlex.quote(str(notes))} || exit 1\n"
        'echo "$CNI_COMMAND" >> asked\n[ ! -f "$CNI_COMMAND" ] || . "./$CNI_COMMAND"\nexec "$REAL"\n'
    )
    (folder / kinds[0]).chmod(0o755)
    return StandIn(network.with_bin_dir(folder), real)
