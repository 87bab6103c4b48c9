"""`python -m nodeagent.apiserver`: the server as a process of its own, started and watched by the agent.

One JSON line on stdout says that it is ready: `{"ready": true, "url": …, "adminKubeconfig": …, "nodeKubeconfig": …}`.
Exit status: 0 after SIGTERM or SIGINT (or the parent's end, with `--exit-with-parent`), 1 when it cannot start, 2 for
bad arguments.
"""

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from nodeagent.apiserver.contract import ServiceNetwork
from nodeagent.apiserver.pki import PkiError
from nodeagent.apiserver.server import Server, Settings
from nodeagent.apiserver.storage.journal import JournalError
from nodeagent.config.service_ranges import port_range, service_ranges
from nodeagent.logs import tame_servers
from nodeagent.tls_policy import VERSIONS, TLSPolicy, problem_of_suite
from runtimes.linux import allocator
from runtimes.linux.parent import parent_watch

log = logging.getLogger("nodeagent.apiserver")

# a request leaves next to nothing that only the collector can free
GC_THRESHOLDS = (20_000, 20, 50)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nodeagent.apiserver", description="The embedded Kubernetes API.")
    parser.add_argument("--state-dir", type=Path, required=True, help="objects, certificates and kubeconfigs")
    parser.add_argument("--node-name", required=True, help="the one node of this cluster")
    parser.add_argument("--address", default="127.0.0.1", help="IP to listen on")
    parser.add_argument("--port", type=int, default=6443, help="0 takes a free one")
    parser.add_argument("--name", action="append", default=[], help="further IP or DNS name of the server (repeat)")
    parser.add_argument(
        "--service-cluster-ip-range", type=_ranges, default=ServiceNetwork().ranges, help="one, or one of each family"
    )
    parser.add_argument(
        "--service-node-port-range", type=port_range, default=ServiceNetwork().node_ports, help="30000-32767"
    )
    parser.add_argument(
        "--pod-address", default="", help="listen there too, for pods; there is a Service kubernetes then"
    )
    parser.add_argument("--kubelet-certificate-authority", type=Path, help="verifies the node's HTTPS endpoint")
    parser.add_argument(
        "--authorization-mode",
        default="Node,NodeProxy",
        choices=("Node", "Node,NodeProxy"),
        help="what nodes may do. Node: what a kube-apiserver lets a kubelet do, and no more; NodeProxy: also read "
        "EndpointSlices, as a kube-proxy does, for a node that leads Services itself, and have tokens for any audience",
    )
    parser.add_argument("--tls-min-version", default="", choices=VERSIONS, help="default: VersionTLS12")
    parser.add_argument(
        "--tls-cipher-suites", type=_suites, default=(), help="of TLS 1.2, with commas; default: strong ones"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when the process that started it ends")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser.parse_args(argv)


def _ranges(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return service_ranges(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _ports(text: str) -> range:
    try:
        return port_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _suites(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if problem := next(filter(None, map(problem_of_suite, names)), ""):
        raise argparse.ArgumentTypeError(problem)
    return names


async def serve(options: argparse.Namespace) -> int:
    server = Server(
        Settings(
            state_dir=options.state_dir,
            node_name=options.node_name,
            address=options.address,
            port=options.port,
            names=tuple(options.name),
            services=ServiceNetwork(
                ranges=options.service_cluster_ip_range, node_ports=options.service_node_port_range
            ),
            pod_address=options.pod_address,
            kubelet_ca=options.kubelet_certificate_authority,
            proxying_nodes=options.authorization_mode != "Node",
            tls=TLSPolicy(min_version=options.tls_min_version, cipher_suites=options.tls_cipher_suites),
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with contextlib.ExitStack() as stack:
        if options.exit_with_parent:
            stack.enter_context(parent_watch(loop, stop.set))
        try:
            await server.start()
        except (OSError, JournalError, PkiError) as error:
            print(f"nodeagent.apiserver: {error}", file=sys.stderr)
            return 1
        ready = {
            "ready": True,
            "url": server.url,
            "adminKubeconfig": str(server.admin_kubeconfig),
            "nodeKubeconfig": str(server.node_kubeconfig),
        }
        # what exists now lives as long as the server: the collector need not look at it again
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        print(json.dumps(ready), flush=True)
        log.info("serving on %s", server.url)
        try:
            await stop.wait()
        finally:
            await server.stop()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    allocator.return_what_is_freed()
    options = arguments(argv)
    # everything written is private: objects hold secrets, the folder keys
    os.umask(0o077)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    tame_servers()
    return uvloop.run(serve(options))


if __name__ == "__main__":
    sys.exit(main())
