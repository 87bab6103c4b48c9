"""What the plugin does of a command when a part of it fails, and what it does once."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from cni.native.failure import Failure
from cni.native.nftables.errors import NftablesError
from cni.native.plugin import Plugin
from cni.native.request import parse
from cni.native.rules import Rules


class Refusing:
    """A packet filter that refuses."""

    def keep_only(self, *_: object) -> None:
        raise NftablesError("table t", 16)


def test_garbage_is_collected_though_the_packet_filter_refuses(tmp_path: Path) -> None:
    """Each step of GC is for itself: the addresses of what is gone are free again, and the failure is told."""
    reserved = tmp_path / "pods" / "10.1.0.2"
    reserved.parent.mkdir()
    reserved.write_text("gone\r\neth0")
    config = {
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "nodeagent-cni",
        "bridge": "nosuch0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]], "dataDir": str(tmp_path)},
        "cni.dev/valid-attachments": [],
    }
    with pytest.raises(Failure, match="table t"):
        Plugin(lambda: cast(Rules, Refusing())).run(parse({"CNI_COMMAND": "GC"}, config))
    assert not reserved.exists()


def test_the_packet_filter_is_opened_once() -> None:
    """However many threads come first at once: it is chosen once, with one line in the log."""
    together, opened = threading.Barrier(2), []

    def open_rules() -> Rules:
        opened.append(threading.current_thread())
        with contextlib.suppress(threading.BrokenBarrierError):  # nobody else comes as far as this
            together.wait(0.05)
        return cast(Rules, Refusing())

    plugin = Plugin(open_rules)
    status = parse({"CNI_COMMAND": "STATUS"}, {"cniVersion": "1.1.0", "name": "pods", "type": "nodeagent-cni"})
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(plugin.run, [status] * 2))
    assert len(opened) == 1
