"""``python -m csi.driver``: the driver as a process. Exit status: 0 after SIGTERM or SIGINT (or the parent's end, with
`--exit-with-parent`), 1 when it cannot start, 2 for bad arguments."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from csi import errors
from csi.driver.registration import Registrar
from csi.driver.server import Server
from csi.driver.settings import NAME, Settings
from csi.driver.store import StateError, opened
from csi.endpoint import Endpoint
from csi.values import NodeInfo, Plugin
from proto import csi_pb2 as csi
from runtimes.kube import quantity
from runtimes.linux.parent import parent_watch

STATE_DIR = Path("/var/lib/csi-hostpath")
log = logging.getLogger("csi.driver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Where to listen, where to register (None: nowhere), what to be."""

    path: Path
    settings: Settings
    registration: Path | None = None
    exit_with_parent: bool = False
    log_level: str = "INFO"


def arguments(argv: Sequence[str] | None = None, prog: str = "csi.driver") -> Arguments:
    """Ends the process for wrong ones."""
    parser = _parser(prog)
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
            other_nodes=frozenset(given.other_node),
            mount_group=given.mount_group,
            alpha=given.alpha,
        )
        return Arguments(
            path=Endpoint(given.endpoint).path,
            settings=settings,
            registration=Endpoint(given.registration).path if given.registration else None,
            exit_with_parent=given.exit_with_parent,
            log_level=given.log_level,
        )
    except (errors.CSIError, ValueError) as error:
        parser.error(str(error))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="A CSI driver over directories and disk images.")
    parser.add_argument("--endpoint", required=True, metavar="unix:///PATH", help="where to listen")
    parser.add_argument(
        "--node-id", default=gethostname(), help="what the driver calls this node; default: %(default)s"
    )
    parser.add_argument(
        "--state-dir", type=Path, default=STATE_DIR, help="volumes, snapshots and records; default: %(default)s"
    )
    parser.add_argument("--driver-name", default=NAME, help="default: %(default)s")
    parser.add_argument(
        "--capacity", default="0", metavar="QUANTITY", help="of all volumes; default: the file system's"
    )
    parser.add_argument("--attach", action="store_true", help="volumes are attached before they are used")
    parser.add_argument("--max-volumes", type=int, default=0, help="attached to the node; default: no limit")
    parser.add_argument(
        "--other-node", action="append", default=[], metavar="ID", help="a node that is known, without volumes (repeat)"
    )
    parser.add_argument("--mount-group", action="store_true", help="claim VOLUME_MOUNT_GROUP: the driver gives groups")
    parser.add_argument(
        "--alpha", action="store_true", help="claim GET_SNAPSHOT and SnapshotMetadata, unknown to common testers"
    )
    parser.add_argument(
        "--registration", metavar="unix:///PATH", help="where to tell a node's agent: a socket in its plugins_registry"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when the process that started it ends")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser


async def serve(given: Arguments) -> None:
    """Until SIGTERM or SIGINT. Raises StateError, OSError."""
    ended, settings = asyncio.Event(), given.settings
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with contextlib.AsyncExitStack() as stack:
        if given.exit_with_parent:
            stack.enter_context(parent_watch(loop, ended.set))
        store = stack.enter_context(opened(settings.state_dir))
        server = Server(given.path, settings, store)
        await server.start()
        stack.push_async_callback(server.stop)
        if given.registration is not None:
            registrar = Registrar(given.registration, name=settings.name, endpoint=given.path)
            await registrar.start()
            stack.push_async_callback(registrar.stop)
        log.info("%s serves %s on %s", settings.name, settings.state_dir, given.path)
        await ended.wait()


def main(argv: Sequence[str] | None = None, prog: str = "csi.driver") -> int:
    given = arguments(argv, prog)
    if os.geteuid() != 0:
        print("csi.driver: it mounts, so it needs root", file=sys.stderr)
        return 1
    logging.basicConfig(level=given.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        asyncio.run(serve(given))
    except (StateError, OSError) as error:
        print(f"csi.driver: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
