"""`nodeagent dashboard`: the node in a browser. Read-only; of this machine alone unless it is told to listen elsewhere."""

import asyncio
import ipaddress
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from nodeagent.api.client import ApiClient
from nodeagent.api.errors import ApiError
from nodeagent.api.kubeconfig import Connection, KubeconfigError, load
from nodeagent.cli.dashboard.looks import Looks
from nodeagent.cli.dashboard.site import application
from nodeagent.cli.output import print_error
from nodeagent.cli.usage import UsageUnknown, which_node
from nodeagent.errors import one_line

_DEADLINE_SECONDS = 15.0
_LAST_ANSWERS_SECONDS = 1.0


class CannotServe(Exception):
    """The text is what the operator is told."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `port` 0: any that is free."""

    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    def url(self, port: int, secret: str) -> str:
        host = f"[{self.ip}]" if self.ip.version == 6 else str(self.ip)
        return f"http://{host}:{port}/{secret}/"


def run(kubeconfig: Path, node_name: str, listen: str) -> int:
    """Serve until SIGTERM or SIGINT, then 0. 2: a bad address, a port that is taken, no node to talk to; one line says which."""
    try:
        address = parse_address(listen)
        if not kubeconfig.exists():
            raise CannotServe(
                f"{kubeconfig} does not exist; an agent in standalone mode writes it, else give --kubeconfig"
            )
        asyncio.run(_serve(load(kubeconfig), node_name, address))
    except (CannotServe, KubeconfigError, UsageUnknown) as error:
        print_error(str(error))
    except OSError as error:
        print_error(one_line(error))
    except KeyboardInterrupt:  # before it served
        return 0
    else:
        return 0
    return 2


def parse_address(text: str) -> Address:
    """127.0.0.1:9040 or [::1]:9040. Raises CannotServe."""
    host, colon, port = text.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        if not colon or (ip.version == 6) != host.startswith("[") or not (port.isascii() and port.isdigit()):
            raise ValueError(text)
        if len(port) > 5 or int(port) > 65535:
            raise ValueError(text)
    except ValueError:
        raise CannotServe(
            f"--listen {text!r}: an IP address and a port are wanted, as 127.0.0.1:9040 or [::1]:0"
        ) from None
    return Address(ip, int(port))


async def _serve(connection: Connection, node_name: str, address: Address) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiClient(connection, timeout_seconds=_DEADLINE_SECONDS) as client:
        try:
            looks = Looks(client, await which_node(client, node_name))
            await looks.document()
        except ApiError as error:
            raise CannotServe(f"the API at {connection.server} says: {error.message}") from error
        if not looks.seen:
            raise CannotServe(f"the node does not answer: {looks.error}")
        # who else is on this machine reaches 127.0.0.1, too; the secret is the right to look
        secret = secrets.token_urlsafe(16)
        runner = web.AppRunner(application(looks, secret), access_log=None, shutdown_timeout=_LAST_ANSWERS_SECONDS)
        await runner.setup()
        try:
            await _listen(runner, address, secret, stop)
        finally:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, address: Address, secret: str, stop: asyncio.Event) -> None:
    try:
        await web.TCPSite(runner, str(address.ip), address.port, reuse_address=True).start()
    except OSError as error:
        raise CannotServe(f"cannot listen on {address.ip} port {address.port}: {one_line(error)}") from error
    port: int = runner.addresses[0][1]
    print(f"The node is at {address.url(port, secret)} (stop: Ctrl-C)", flush=True)
    if not address.ip.is_loopback:
        print_error(
            "this is plain HTTP: whoever can reach this address and has read the URL, on its way too, sees the node"
        )
    await stop.wait()
