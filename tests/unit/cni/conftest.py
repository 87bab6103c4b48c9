"""CNI plugins made of shell: each writes down how it was called and answers as a test wants."""

import json
import os
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


@dataclass(frozen=True, slots=True)
class Plugins:
    """A folder of plugins, and what they were asked."""

    folder: Path

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

    @property
    def started(self) -> Path:
        """A pipe: a plugin that writes to it and a test that reads from it wait for each other."""
        return self.folder / "started"

    @property
    def gate(self) -> Path:
        """A pipe the other way: a plugin that reads from it goes on when the test has written to it."""
        return self.folder / "gate"

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
def plugins(tmp_path: Path) -> Plugins:
    (tmp_path / "result").write_text(json.dumps(RESULT))
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "gate")
    return Plugins(tmp_path)


@pytest.fixture
def attachment() -> Attachment:
    return Attachment(container_id="c1", netns="/run/netns/x")
