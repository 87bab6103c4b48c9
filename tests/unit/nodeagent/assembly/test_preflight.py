"""What an agent refuses before it makes anything."""

from pathlib import Path

import pytest
from configured import config

from nodeagent.assembly import preflight
from nodeagent.errors import AgentStartError


def test_swap_is_refused(tmp_path: Path) -> None:
    """A line for a device in /proc/swaps, and failSwapOn as it is by default: the node does not start, and says what to do."""
    swaps = tmp_path / "swaps"
    header = "Filename\tType\tSize\tUsed\tPriority\n"
    swaps.write_text(header)
    preflight.refuse_swap(config(tmp_path), swaps)
    swaps.write_text(f"{header}/dev/sda2 partition 8 0 -2\n/swapfile file 8 0 -3\n")
    with pytest.raises(
        AgentStartError, match=r"^running with swap on is not supported \(/dev/sda2, /swapfile\): .*failSwapOn"
    ):
        preflight.refuse_swap(config(tmp_path), swaps)
    preflight.refuse_swap(config(tmp_path, failSwapOn=False), swaps)
    preflight.refuse_swap(config(tmp_path), tmp_path / "no such kernel")
