"""Networks of Debian's plugins for the checks of cni/testing, each on a host of its own."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import packets
import pytest
from components import require

from cni.testing.fixtures import network
from cni.testing.flaws import RELEASES
from cni.testing.implementation import Implementation

PLUGINS = Path("/usr/lib/cni")
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def debian(name: str, document: Mapping[str, Any], exceptions: Mapping[str, str] | None = None) -> Implementation:
    """A network of the plugins that are installed, with their flaws told. Skips the test where they are not."""
    require(str(PLUGINS / "bridge"), "iptables-save")
    return Implementation(
        name=name,
        document=document,
        bin_dirs=(PLUGINS,),
        exceptions=exceptions or {},
        flaws=RELEASES["containernetworking-1.1.1"],
        timed_rounds=5,
    )


def bridge(*more: Mapping[str, Any], **options: Any) -> Implementation:
    """bridge and host-local as standalone nodes have them, with more `options`, and what comes after them in the chain."""
    first = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.88.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
        **options,
    }
    name = ", ".join(["bridge", *(part["type"] for part in more)])
    return debian(name, {"cniVersion": "1.0.0", "name": "natest", "plugins": [first, *more]})


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
