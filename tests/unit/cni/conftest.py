"""CNI plugins made of shell: each writes down how it was called and answers as a test wants."""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cni import config
from cni.network import Attachment, Network

RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1}],
    "dns": {},
}

_PLUGIN = """#!/bin/sh
input=$(cat)
printf '%s' "$input" > "{calls}.NAME.$CNI_COMMAND.$CNI_CONTAINERID"
env | grep ^CNI_ | sort > "{calls}.NAME.$CNI_COMMAND.$CNI_CONTAINERID.env"
echo "$CNI_COMMAND NAME $CNI_CONTAINERID" >> "{calls}"
case $CNI_COMMAND in
ADD) ADD_BODY ;;
DEL) DEL_BODY ;;
*) OTHER_BODY ;;
esac
"""


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


@dataclass(frozen=True, slots=True)
class Plugins:
    """A folder of plugins, and what they were asked.

    `started`: plugins write to it, the test reads. `gate`: the other way, a line at a time.
    """

    folder: Path
    started: Pipe
    gate: Pipe

    @property
    def bin_dir(self) -> Path:
        return self.folder / "bin"

    @property
    def cache_dir(self) -> Path:
        return self.folder / "cache"

    @property
    def answer(self) -> str:
        """Shell that prints the ordinary result."""
        return f"cat {self.folder}/result"

    def write(self, name: str, *, add: str = "", delete: str = ":", other: str = ":") -> None:
        text = _PLUGIN.format(calls=self.folder / "calls")
        for mark, body in (
            ("NAME", name),
            ("ADD_BODY", add or self.answer),
            ("DEL_BODY", delete),
            ("OTHER_BODY", other),
        ):
            text = text.replace(mark, body)
        self.bin_dir.mkdir(exist_ok=True)
        path = self.bin_dir / name
        path.write_text(text)
        path.chmod(0o755)

    def network(self, *plugins: str | dict[str, Any], version: str = "1.0.0", **options: Any) -> Network:
        """A network named `net` of these plugins; `options` are further keys of the list or `*_timeout_seconds`."""
        timeouts = {key: options.pop(key) for key in list(options) if key.endswith("_timeout_seconds")}
        chain = [{"type": plugin} if isinstance(plugin, str) else plugin for plugin in plugins]
        document = {"cniVersion": version, "name": "net", "plugins": chain, **options}
        return Network(
            config.parse(json.dumps(document).encode()),
            bin_dirs=[self.bin_dir],
            cache_dir=self.cache_dir,
            **timeouts,
        )

    def calls(self) -> list[str]:
        """`COMMAND plugin container`, in the order of the calls."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def request(self, name: str, command: str, container: str = "c1") -> dict[str, Any]:
        """What the last call of a plugin got on its standard input."""
        document: dict[str, Any] = json.loads((self.folder / f"calls.{name}.{command}.{container}").read_text())
        return document

    def environment(self, name: str, command: str, container: str = "c1") -> dict[str, str]:
        text = (self.folder / f"calls.{name}.{command}.{container}.env").read_text()
        return dict(line.split("=", 1) for line in text.splitlines())

    def records(self) -> list[str]:
        """Names of the files in the cache."""
        folder = self.cache_dir / "results"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    (tmp_path / "result").write_text(json.dumps(RESULT))
    started, gate = Pipe(tmp_path / "started"), Pipe(tmp_path / "gate")
    yield Plugins(tmp_path, started, gate)
    started.close()
    gate.close()


@pytest.fixture
def attachment() -> Attachment:
    return Attachment(container_id="c1", netns="/run/netns/x")
