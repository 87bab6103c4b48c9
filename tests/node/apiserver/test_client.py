"""The agent's client and informers against a live server: as the node's own user, and over a network that loses a connection."""

import asyncio
import contextlib
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import psutil
import pytest
from api_server import ApiServer
from components import require
from lightkube.models.core_v1 import ConfigMap, Pod, Secret
from typing_extensions import override

from nodeagent.api import errors, kubeconfig
from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer
from nodeagent.api.kubeconfig import Connection
from nodeagent.api.objects import ObjectCache
from nodeagent.api.transport import KEEP_ALIVE_OPTIONS, Transport
from nodeagent.podspec.pod import API, AgentPod

pytestmark = pytest.mark.node

SECONDS = 60.0


class Recorded(Transport):
    """Notes what is asked for."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    @override
    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        *,
        further: Sequence[tuple[str, str]] = (),
    ) -> aiohttp.ClientResponse:
        parts = urlsplit(path)
        self.asked.append((method, parts.path, {key: value[0] for key, value in parse_qs(parts.query).items()}))
        return await super().send(method, path, body, content_type, accept, further=further)


@contextlib.asynccontextmanager
async def following(informer: Informer[Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    try:
        async with asyncio.timeout(SECONDS):
            await informer.synced()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.02)


def namespace(server: ApiServer, name: str) -> str:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert server.request("POST", "/api/v1/namespaces", body)[0] == 201
    return name


def create(server: ApiServer, kind: str, space: str, name: str, **fields: Any) -> None:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **fields}
    status, answer = server.request("POST", f"/api/v1/namespaces/{space}/{kind.lower()}s", body)
    assert status == 201, answer


@contextlib.contextmanager
def losing(ports: set[int]) -> Iterator[None]:
    """No packet of connections from these ports arrives any more, in either direction; nobody is told."""
    table = f"lost-{min(ports)}"
    wanted = ", ".join(map(str, ports))
    drops = (f"tcp {side} {{ {wanted} }} drop" for side in ("sport", "dport"))
    lines = ("type filter hook input priority -300", *drops)
    rules = f"table inet {table} {{\nchain lost {{\n{chr(10).join(lines)}\n}}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True, timeout=30)


def open_ports(server: ApiServer) -> set[int]:
    """The local ports of this process's connections to the server."""
    to = int(server.url.rpartition(":")[2])
    connections = psutil.Process().net_connections("tcp")
    return {one.laddr.port for one in connections if one.raddr and one.raddr.port == to and one.status == "ESTABLISHED"}


@pytest.mark.parametrize("found_by", ["keepalive", "silence"])
async def test_a_peer_that_vanishes(server: ApiServer, monkeypatch: pytest.MonkeyPatch, found_by: str) -> None:
    """The network forgets a watch's connection and tells nobody: the watch goes on from where it was, without a list; what
    happened meanwhile is seen once, in order. The kernel finds out, and where it cannot, that no bookmark comes."""
    require("nft")
    short = {socket.TCP_KEEPIDLE: 1, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 2, socket.TCP_USER_TIMEOUT: 2000}
    options = [(level, option, short.get(option, value)) for level, option, value in KEEP_ALIVE_OPTIONS]
    monkeypatch.setattr("nodeagent.api.transport.KEEP_ALIVE_OPTIONS", options if found_by == "keepalive" else ())
    if found_by == "silence":
        monkeypatch.setattr("nodeagent.api.client.WATCH_SILENCE_SECONDS", 2.0)
    space = namespace(server, f"vanishing-by-{found_by}")
    create(server, "ConfigMap", space, "before")
    transport = Recorded(kubeconfig.load(server.kubeconfig))
    seen: list[str] = []
    async with ApiClient(transport) as client:
        informer: Informer[ConfigMap] = Informer(client, ConfigMap, namespace=space)
        informer.subscribe(lambda kind, old, new: seen.append(f"{kind.value} {(new or old).metadata.name}"))
        async with following(informer):
            await until(lambda: "ADDED before" in seen)
            with losing(open_ports(server)):
                for name in ("one", "two"):
                    await asyncio.to_thread(create, server, "ConfigMap", space, name)
                await until(lambda: "ADDED two" in seen)
    assert [text for text in seen if "kube-root" not in text] == ["ADDED before", "ADDED one", "ADDED two"]
    forms = ["stream" if "sendInitialEvents" in query else "watch" in query for _, _, query in transport.asked]
    assert forms[0] == "stream"
    assert set(forms[1:]) == {True}


def watches_of(server: ApiServer, resource: str) -> int:
    """How many watches of a resource are open, as the server counts them."""
    _, text = server.request("GET", "/metrics")
    pattern = rf'^apiserver_longrunning_requests{{.*resource="{resource}".*}} (\S+)$'
    return round(sum(float(found[1]) for found in re.finditer(pattern, text, re.MULTILINE)))


def pod(space: str, name: str, secret: str) -> dict[str, Any]:
    secrets = [{"name": "s", "secret": {"secretName": secret}}, {"name": "c", "configMap": {"name": "shared"}}]
    container = {"name": "c", "image": "localhost/demo:1"}
    spec = {"nodeName": "n1", "automountServiceAccountToken": False, "containers": [container], "volumes": secrets}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": space}, "spec": spec}


async def test_only_what_its_pods_name_is_read(server: ApiServer) -> None:
    """Secrets and config maps that pods of the node name, each by a watch of that one name, which those pods share and which
    ends with the last of them; the server refuses to the node what no pod of it names."""
    space = namespace(server, "reading")
    for name in ("wanted", "unwanted"):
        create(server, "Secret", space, name, stringData={"key": name})
    create(server, "ConfigMap", space, "shared", data={"key": "old"})
    pods = []
    for name in ("a", "b"):
        status, made = server.request("POST", f"/api/v1/namespaces/{space}/pods", pod(space, name, "wanted"))
        assert status == 201, made
        pods.append(made)
    transport = Recorded(kubeconfig.load(server.state_dir / "node.kubeconfig"))
    async with ApiClient(transport) as client:
        mine: Informer[Pod] = Informer(client, Pod, field_selector="spec.nodeName=n1")
        cache = ObjectCache(client, linger_seconds=0.0)
        async with following(mine):
            for each in mine.items():
                if each.metadata and each.metadata.namespace == space:
                    cache.register(AgentPod.of(each, API))
            assert (await cache.get_secret(space, "wanted")).data
            assert (await cache.get_config_map(space, "shared")).data == {"key": "old"}
            await until(lambda: (watches_of(server, "secrets"), watches_of(server, "configmaps")) == (1, 1))
            with pytest.raises(errors.Forbidden, match="no relationship found between node 'n1' and this object"):
                await client.get(Secret, "unwanted", space)
            cache.unregister(pods[0]["metadata"]["uid"])
            assert (await cache.get_secret(space, "wanted")).data
            cache.unregister(pods[1]["metadata"]["uid"])
            await until(lambda: (watches_of(server, "secrets"), watches_of(server, "configmaps")) == (0, 0))
        await cache.close()
    named = {"secrets": "metadata.name=wanted", "configmaps": "metadata.name=shared"}
    for resource, selector in named.items():
        asked = [query for _, path, query in transport.asked if path == f"/api/v1/namespaces/{space}/{resource}"]
        assert asked
        assert {query.get("fieldSelector") for query in asked} == {selector}
    for kind, name in (("pods", "a"), ("pods", "b")):
        server.request("DELETE", f"/api/v1/namespaces/{space}/{kind}/{name}", {"gracePeriodSeconds": 0})
