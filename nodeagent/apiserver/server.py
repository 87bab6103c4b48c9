"""The server put together: the only place of this folder that constructs things."""

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aiohttp import web

from nodeagent.apiserver import kinds
from nodeagent.apiserver.auth.authorizer import Authorizer
from nodeagent.apiserver.auth.graph import Graph
from nodeagent.apiserver.auth.identity import Authenticator
from nodeagent.apiserver.auth.node import NodeAuthorizer
from nodeagent.apiserver.auth.node_tokens import NodeTokens
from nodeagent.apiserver.auth.restriction import NodeRestriction
from nodeagent.apiserver.auth.signers import SignerRestriction
from nodeagent.apiserver.contract import ServiceNetwork
from nodeagent.apiserver.kinds.tokens import Tokens
from nodeagent.apiserver.kubeconfig import write_kubeconfig
from nodeagent.apiserver.local_api import Local
from nodeagent.apiserver.metrics import ApiMetrics
from nodeagent.apiserver.objects.engine import Engine, Restrictions
from nodeagent.apiserver.objects.garbage import Collector
from nodeagent.apiserver.objects.objects import Objects
from nodeagent.apiserver.objects.owners import Owners
from nodeagent.apiserver.pki import ADMIN_USER, STORAGE_USER, Pki
from nodeagent.apiserver.registry.builtin import RESOURCES
from nodeagent.apiserver.registry.registry import Registry
from nodeagent.apiserver.rest.connect import Connections
from nodeagent.apiserver.rest.decoding import MAX_BODY_BYTES
from nodeagent.apiserver.rest.discovery import Discovery
from nodeagent.apiserver.rest.documents import Documents
from nodeagent.apiserver.rest.documents import version as about
from nodeagent.apiserver.rest.handler import Handler
from nodeagent.apiserver.rest.measured_resources import MeasuredResources
from nodeagent.apiserver.rest.node_client import NodeClient
from nodeagent.apiserver.rest.node_usage import NodeUsage
from nodeagent.apiserver.rest.objects import ObjectVerbs
from nodeagent.apiserver.rest.openapi import OpenApi
from nodeagent.apiserver.rest.reviews import Reviews
from nodeagent.apiserver.rest.virtual_resources import VirtualResources
from nodeagent.apiserver.storage.history import Retention
from nodeagent.apiserver.storage.journal import Journal
from nodeagent.apiserver.storage.store import Store
from nodeagent.server.bounded_site import BoundedSite
from nodeagent.tls_policy import TLSPolicy
from runtimes.linux.retry import Backoff, RetryPolicy

log = logging.getLogger(__name__)

ISSUER = "https://kubernetes.default.svc.cluster.local"
SETTLE_SECONDS = 10.0
SHUTDOWN_SECONDS = 5.0
CERTIFICATE_CHECK_SECONDS = 10.0
_RESTART = RetryPolicy(first_seconds=0.5, cap_seconds=30.0)
_CANCEL_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the server is started with. `port` 0 takes a free one. `names`: further names or IPs it is called by.

    `pod_address`: an address at which pods reach it, listened on as well; the machine need not have it yet. With it there
    is a Service `kubernetes`. `proxying_nodes`: of `auth.authorizer`.
    """

    state_dir: Path
    node_name: str
    address: str = "127.0.0.1"
    port: int = 6443
    names: tuple[str, ...] = ()
    services: ServiceNetwork = field(default_factory=ServiceNetwork)
    pod_address: str = ""
    kubelet_ca: Path | None = None
    tls: TLSPolicy = field(default_factory=TLSPolicy)
    retention: Retention = field(default_factory=Retention)
    proxying_nodes: bool = True


class Server:
    """`start` opens the store and listens; `stop` ends everything in reverse."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self.url = ""
        self._port = 0

    @property
    def admin_kubeconfig(self) -> Path:
        return self._settings.state_dir / "admin.kubeconfig"

    @property
    def node_kubeconfig(self) -> Path:
        return self._settings.state_dir / "node.kubeconfig"

    @property
    def storage_kubeconfig(self) -> Path:
        return self._settings.state_dir / "storage.kubeconfig"

    async def start(self) -> None:
        """Raises `OSError` (port in use, folder), `storage.journal.JournalError`, `pki.PkiError`."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings = self._settings
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        by_pods = (settings.pod_address, *settings.services.api_addresses) if settings.pod_address else ()
        names = (settings.address, *settings.names, *by_pods)
        pki = Pki(settings.state_dir / "pki", settings.node_name, names)
        registry = Registry(RESOURCES)
        store = Store(Journal(settings.state_dir / "state.db"), registry.index, retention=settings.retention)
        self._stack.push_async_callback(store.close)
        engine = Engine(
            store=store,
            registry=registry,
            hooks_for=kinds.hooks_for,
            node_name=settings.node_name,
            service_network=settings.services,
        )
        objects = Objects(engine)
        local = Local(objects, pki)
        collector = Collector(objects, Owners(store))
        handler, nodes = self._handler(objects, pki)
        self._stack.push_async_callback(nodes.close)
        tasks = _start_tasks(local, collector)
        self._stack.push_async_callback(_cancel, tasks)
        await _until_settled(local)
        tls = _tls(pki, settings.tls)
        await self._listen(handler, tls, store)
        if settings.pod_address:
            own = kinds.OwnService(local, settings.pod_address, self._port)
            tasks = (*tasks, asyncio.ensure_future(_controller("own service", own.run)))
        # before the watches are ended: a controller takes the end of its watch for a reason to begin again
        self._stack.push_async_callback(_cancel, tasks)
        self._write_kubeconfigs(pki)
        keeping = asyncio.ensure_future(self._keep_certificates(pki, tls, nodes))
        self._stack.push_async_callback(_cancel, (keeping,))

    def _handler(self, objects: Objects, pki: Pki) -> tuple[Handler, NodeClient]:
        engine, store = objects.engine, objects.engine.store
        tokens = Tokens(pki.service_account_key_pem, ISSUER, (ISSUER,))
        nodes_may = NodeAuthorizer(store, Graph(store))
        authorizer = Authorizer(store, nodes_may, proxying_nodes=self._settings.proxying_nodes)
        engine.restriction = Restrictions((NodeRestriction(), SignerRestriction(authorizer.authorize)))
        authenticator = Authenticator(tokens, engine.reader)
        nodes = NodeClient(store, pki.kubelet_client, self._settings.kubelet_ca)
        address = f"{self._settings.address}:{self._settings.port}"
        metrics = _metrics(engine)
        documents = Documents(
            Discovery(engine.registry, address), OpenApi(engine.registry), tokens, ISSUER, _agent_version(), metrics
        )
        reviews = Reviews(authorizer, tokens, engine.reader)
        questions = VirtualResources(objects, reviews, tokens, NodeTokens(authorizer.authorize))
        connections = Connections(store, nodes)
        verbs = ObjectVerbs(objects, metrics)
        measured = MeasuredResources(store, NodeUsage(nodes))
        handler = Handler(
            engine.registry, authenticator, authorizer, verbs, questions, measured, connections, documents, metrics
        )
        return handler, nodes

    async def _listen(self, handler: Handler, tls: ssl.SSLContext, store: Store) -> None:
        server = web.Server(handler, request_factory=_request, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        self._stack.callback(_end_watches, store)
        site = BoundedSite(runner, self._settings.address, self._settings.port, tls=tls)
        await site.start()
        host, self._port = runner.addresses[0][:2]
        self.url = f"https://[{host}]:{self._port}" if ":" in host else f"https://{host}:{self._port}"
        if self._settings.pod_address and not _is_any(self._settings.address):
            await BoundedSite(runner, self._settings.pod_address, self._port, tls=tls, any_time=True).start()

    def _write_kubeconfigs(self, pki: Pki) -> None:
        node_user = f"system:node:{self._settings.node_name}"
        for path, user, pair, by_name in (
            (self.admin_kubeconfig, ADMIN_USER, pki.admin, False),
            (self.node_kubeconfig, node_user, pki.node, True),
            (self.storage_kubeconfig, STORAGE_USER, pki.storage, True),
        ):
            write_kubeconfig(path, server=self.url, ca_pem=pki.ca_pem, user=user, pair=pair, by_name=by_name)

    async def _keep_certificates(self, pki: Pki, tls: ssl.SSLContext, nodes: NodeClient) -> None:
        """Renew what nears its end and put it to use: who connects from then on sees it, nothing that is open is closed."""
        stale = False
        while True:
            await asyncio.sleep(CERTIFICATE_CHECK_SECONDS)
            try:
                stale = pki.renew() or stale
                if not stale:
                    continue
                tls.load_cert_chain(pki.server.certificate, pki.server.key)
                nodes.reload()
                self._write_kubeconfigs(pki)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; tried again
                stale = True
                log.error("certificates could not be renewed, or not be put to use: %s", error)
            else:
                stale = False
                log.info("certificates have changed: new connections have the new ones")

    async def stop(self) -> None:
        """Idempotent. Writes that were answered are on disk in any case."""
        await self._stack.aclose()


def _is_any(address: str) -> bool:
    """Whether who listens there listens at every address."""
    return address in ("", "0.0.0.0", "::")


def _metrics(engine: Engine) -> ApiMetrics:
    stored = sorted({resource.storage for resource in RESOURCES if resource.stored})
    build = {re.sub("(?=[A-Z])", "_", name).lower(): text for name, text in about(_agent_version()).items()}
    return ApiMetrics(lambda: ((resource, engine.store.count(resource)) for resource in stored), build)


def _request(*args: Any) -> web.BaseRequest:
    message, payload, protocol, writer, task = args[:5]
    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=MAX_BODY_BYTES
    )


def _tls(pki: Pki, policy: TLSPolicy) -> ssl.SSLContext:
    """Client certificates are asked for and, where shown, must be the CA's; tokens need none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    policy.apply(context)
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    context.load_verify_locations(pki.ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def _end_watches(store: Store) -> None:
    for watcher in store.watchers():
        watcher.close()


def _start_tasks(local: Local, collector: Collector) -> Sequence[asyncio.Future[None]]:
    controllers = [_controller(name, start) for name, start in kinds.controllers(local).items()]
    return [asyncio.ensure_future(task) for task in (collector.run(), *controllers)]


async def _cancel(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Idempotent. Insists: a task group that fails at the same moment swallows a cancellation."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)


async def _controller(name: str, start: kinds.Controller) -> None:
    """Run one controller for the life of the server, again after a back-off when it fails."""
    backoff = Backoff(_RESTART, reset_after_seconds=_RESTART.cap_seconds)
    while True:
        try:
            await start()
            return
        except Exception:
            log.exception("controller %s failed", name)
        await asyncio.sleep(backoff.next_delay())


async def _until_settled(local: Local) -> None:
    """Wait until the default namespace can take pods: a client that comes right after the start must not be refused."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_SECONDS):
            async for event in local.watch("serviceaccounts", "default", field_selector="metadata.name=default"):
                if event.type == "ADDED":
                    return
    log.warning("the controllers did not make the default service account in time")


def _agent_version() -> str:
    try:
        return version("nodeagent")
    except PackageNotFoundError:
        return "0"
