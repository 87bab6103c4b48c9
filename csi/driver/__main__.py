"""``python -m csi.driver``: the driver as a process. Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot start, 2 for bad
arguments."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from csi import errors
from csi.driver.server import Server
from csi.driver.settings import NAME, Settings
from csi.driver.store import StateError, opened
from csi.endpoint import Endpoint
from csi.values import NodeInfo, Plugin
from proto import csi_pb2 as csi
from runtimes.kube import quantity

log = logging.getLogger("csi.driver")


def arguments(argv: Sequence[str] | None = None) -> tuple[Path, Settings]:
    """Where to listen, and what to be. Ends the process for wrong ones."""
    parser = argparse.ArgumentParser(prog="csi.driver", description="A CSI driver over directories and disk images.")
    parser.add_argument("--endpoint", required=True, metavar="unix:///PATH", help="where to listen")
    parser.add_argument("--node-id", required=True, help="what the driver calls this node")
    parser.add_argument("--state-dir", type=Path, required=True, help="volumes, snapshots and records")
    parser.add_argument("--driver-name", default=NAME, help="default: %(default)s")
    parser.add_argument(
        "--capacity", default="0", metavar="QUANTITY", help="of all volumes; default: the file system's"
    )
    parser.add_argument("--attach", action="store_true", help="volumes are attached before they are used")
    parser.add_argument("--max-volumes", type=int, default=0, help="attached to the node; default: no limit")
    given = parser.parse_args(argv)
    try:
        Plugin.of(csi.GetPluginInfoResponse(name=given.driver_name))
        NodeInfo.of(csi.NodeGetInfoResponse(node_id=given.node_id, max_volumes_per_node=given.max_volumes))
        settings = Settings(
            state_dir=given.state_dir.absolute(),
            node_id=given.node_id,
            name=given.driver_name,
            capacity_bytes=int(quantity.parse(given.capacity)),
            attach=given.attach,
            max_volumes=given.max_volumes,
        )
        return Endpoint(given.endpoint).path, settings
    except (errors.CSIError, ValueError) as error:
        parser.error(str(error))


async def serve(path: Path, settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises StateError, OSError."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with opened(settings.state_dir) as store:
        server = Server(path, settings, store)
        await server.start()
        log.info("%s serves %s on %s", settings.name, settings.state_dir, path)
        try:
            await ended.wait()
        finally:
            await server.stop()


def main() -> int:
    path, settings = arguments()
    if os.geteuid() != 0:
        print("csi.driver: it mounts, so it needs root", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(serve(path, settings))
    except (StateError, OSError) as error:
        print(f"csi.driver: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
