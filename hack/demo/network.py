"""The network that standalone mode made: taken away again when nothing is attached to it any more."""

import asyncio
import contextlib
from pathlib import Path

from settings import CNI_FILE, Settings

from cni.errors import CNIError
from cni.native.packet_filter import choose_rules
from runtimes.linux import process


async def remove_unused(settings: Settings) -> str:
    """Remove the bridge and the CNI file that standalone mode wrote. Return why not, or an empty text."""
    cni = settings.config.agent.cni
    written = Path(cni.confDir) / CNI_FILE
    if not written.exists():
        return ""  # somebody else's network
    if any(Path(f"/sys/class/net/{cni.bridge}/brif").glob("*")):
        return f"other pods are on the bridge {cni.bridge}; it stays"
    written.unlink(missing_ok=True)
    if Path(f"/sys/class/net/{cni.bridge}/bridge").exists():
        done = await process.run(["ip", "link", "delete", cni.bridge], timeout_seconds=10.0)
        if not done.ok:
            return f"the bridge {cni.bridge} could not be removed: {done.error_text}"
    with contextlib.suppress(CNIError):
        await asyncio.to_thread(choose_rules().withdraw)  # stays while another agent's pods have rules
    return ""
