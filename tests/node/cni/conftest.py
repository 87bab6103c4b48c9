"""Real plugins on a bridge, subnet and folders of the test's own, with a look at everything that they might leave."""

import asyncio
import json
import os
import secrets
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import packets
import pytest
from components import require

from cni import config, netns
from cni.network import Attachment, Network
from runtimes.testing.networks import claim_subnet

PLUGINS = Path("/usr/lib/cni")


def command(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class Pipe:
    """A named pipe between a plugin of shell and a test: neither can block the other's end when something goes wrong."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    async def read(self) -> str:
        """What the plugin wrote, as soon as it has."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._fd)
        return os.read(self._fd, 4096).decode()

    def write(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def close(self) -> None:
        os.close(self._fd)


@dataclass(slots=True)
class Site:
    """One network of a test."""

    folder: Path
    name: str
    bridge: str
    subnet: str
    namespaces: list[Path] = field(default_factory=list)

    @property
    def extra_plugins(self) -> Path:
        """A folder for plugins that the test writes itself."""
        return self.folder / "bin"

    def network(self, *more: dict[str, Any], **timeouts: float) -> Network:
        """bridge + host-local, and what comes after them in the chain."""
        bridge = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.folder / "ipam"),
                "ranges": [[{"subnet": self.subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        document = {"cniVersion": "1.0.0", "name": self.name, "plugins": [bridge, *more]}
        return Network(
            config.parse(json.dumps(document).encode()),
            bin_dirs=[self.extra_plugins, PLUGINS],
            cache_dir=self.folder / "cache",
            **timeouts,
        )

    def plugin(self, name: str, body: str) -> dict[str, Any]:
        """A plugin of shell, and its object for the chain."""
        self.extra_plugins.mkdir(exist_ok=True)
        path = self.extra_plugins / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return {"type": name}

    async def attachment(self, **fields: Any) -> Attachment:
        """A container in a namespace of its own."""
        container_id = f"{self.name}-{secrets.token_hex(4)}"
        path = self.folder / f"ns-{container_id}"
        await asyncio.to_thread(netns.create, path)
        self.namespaces.append(path)
        return Attachment(container_id=container_id, netns=str(path), **fields)

    def remove_namespace(self, attachment: Attachment) -> None:
        netns.delete(Path(attachment.netns))
        self.namespaces.remove(Path(attachment.netns))

    def leftovers(self) -> list[str]:
        """Interfaces on the bridge, address reservations, records, and rules of iptables that name the network."""
        found = [f"interface {item['ifname']}" for item in self._links() if item.get("master") == self.bridge]
        ipam = self.folder / "ipam" / self.name
        if ipam.is_dir():
            found += [f"address {path.name}" for path in ipam.iterdir() if path.name[0].isdigit()]
        records = self.folder / "cache" / "results"
        if records.is_dir():
            found += [f"record {path.name}" for path in records.iterdir()]
        return found + self._rules()

    def _links(self) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = json.loads(command("ip", "-json", "link", "show"))
        return links

    def _rules(self) -> list[str]:
        return [line for line in command("iptables-save", "-t", "nat").splitlines() if f"{self.name}-" in line]

    def forget_masquerade(self) -> None:
        """Remove the rules of `ipMasq` that the bridge plugin could not.

        Its DEL (1.1.1) finds the addresses on the interface itself: when that is gone, or they are, the rules stay.
        """
        for line in self._rules():
            words = shlex.split(line)
            if words[:2] == ["-A", "POSTROUTING"] and " dnat name: " not in line:
                chain = words[-1]
                command("iptables", "-w", "-t", "nat", "-D", *words[1:])
                command("iptables", "-w", "-t", "nat", "-F", chain)
                command("iptables", "-w", "-t", "nat", "-X", chain)

    def dismantle(self) -> None:
        for path in list(self.namespaces):
            netns.delete(path)
        if any(item["ifname"] == self.bridge for item in self._links()):
            command("ip", "link", "delete", self.bridge)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A network of the test's own; afterwards nothing of it may be left."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    require(str(PLUGINS / "bridge"), "iptables-save")
    token = secrets.token_bytes(4)
    site = Site(
        folder=tmp_path,
        name=f"natest{token.hex()}",
        bridge=f"na{token.hex()}",
        subnet=claim_subnet(),
    )
    try:
        yield site
        left = site.leftovers()
    finally:
        site.dismantle()
    assert left == []


FOREIGN = "table ip others { chain c { type filter hook forward priority 0; policy accept; accept; }; }"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[packets.World]:
    """A host, pods and a machine outside, in namespaces of their own; somebody else's rules stay as they are."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    require("nft", "ip", "nsenter")
    with packets.world(tmp_path) as made:
        made.host.command("nft", FOREIGN)
        before = made.host.command("nft", "list", "table", "ip", "others")
        yield made
        assert made.host.command("nft", "list", "table", "ip", "others") == before
