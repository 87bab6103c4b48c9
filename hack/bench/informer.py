#!/usr/bin/env python3
"""How fast an informer follows an API that has much to tell, and what that costs: events a second on one core, and memory.

    hack/bench/informer.py [--objects 500] [--events 50000] [--profile]

A server of its own process, on another core where there is one, sends pods by a streaming list and then changes of them, as fast
as they are taken, over TLS; the rest is what the agent has: its client, its informer, its event loop. The objects are as large as
a Deployment's pod of one container with its managedFields (3.3 kB). `rss_mb` is taken at the first state and at each fifth of the
events, `held_kb_per_object` at the first state.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import uvloop
from aiohttp import web
from lightkube.models.core_v1 import Pod

from nodeagent.api.certificates import serving_certificate
from nodeagent.api.client import ApiClient
from nodeagent.api.informer import Informer
from nodeagent.api.kubeconfig import Connection

_BATCH = 64
_PARTS = 5


def pod(number: int) -> dict[str, Any]:
    """As an API server sends one that runs."""
    at = "2026-11-28T10:00:00Z"
    name = f"web-5d4f8c7b9-{number:05}"
    fields = {"f:env": {".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}, "f:image": {}, "f:name": {}}
    owned = {"f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:resources": {}, **fields}}, "f:dnsPolicy": {}}}
    probe = {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10, "failureThreshold": 3}
    token = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    away = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"8a1b2c3d-1111-2222-3333-{number:012}",
            "resourceVersion": "VERSION",
            "creationTimestamp": at,
            "labels": {"app": "web", "pod-template-hash": "5d4f8c7b9"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f8c7b9", "uid": "1"}],
            "managedFields": [
                {"manager": manager, "operation": "Update", "apiVersion": "v1", "time": at, "fieldsV1": owned}
                for manager in ("kube-controller-manager", "kubelet")
            ],
        },
        "spec": {
            "nodeName": "n",
            "serviceAccountName": "default",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "securityContext": {},
            "tolerations": [{"key": f"node.kubernetes.io/{word}", **away} for word in ("not-ready", "unreachable")],
            "containers": [
                {
                    "name": "c",
                    "image": "registry.example.org/web:1",
                    "env": [{"name": "A", "value": "b"}],
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
                    "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/x", "readOnly": True}],
                    "livenessProbe": probe,
                }
            ],
            "volumes": [{"name": "token", "projected": {"sources": token, "defaultMode": 420}}],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.1.0.4",
            "startTime": at,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": at}
                for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {
                    "name": "c",
                    "state": {"running": {"startedAt": at}},
                    "ready": True,
                    "restartCount": 0,
                    "image": "registry.example.org/web:1",
                    "imageID": "registry.example.org/web@sha256:abc",
                    "containerID": "containerd://abcdef",
                }
            ],
        },
    }


# -- the server --------------------------------------------------------------------------------------------------------


def batches(objects: int, events: int) -> Iterator[bytes]:
    """The stream: what there is, the bookmark that ends it, the changes."""
    texts = [json.dumps(pod(number), separators=(",", ":")).encode() for number in range(objects)]
    numbers = iter(range(1, 1 << 62))

    def line(kind: bytes, number: int) -> bytes:
        text = texts[number % objects].replace(b"VERSION", str(next(numbers)).encode())
        return b'{"type":"' + kind + b'","object":' + text + b"}\n"

    yield b"".join(line(b"ADDED", number) for number in range(objects))
    metadata = {"resourceVersion": str(next(numbers)), "annotations": {"k8s.io/initial-events-end": "true"}}
    yield json.dumps({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}).encode() + b"\n"
    for begin in range(0, events, _BATCH):
        yield b"".join(line(b"MODIFIED", number) for number in range(begin, min(begin + _BATCH, events)))


async def serve(folder: Path, objects: int, events: int) -> None:
    """Print the port, answer one watch after the other, until killed."""

    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for batch in batches(objects, events):
            await response.write(batch)
        await asyncio.sleep(3600)
        return response

    files = serving_certificate(folder, "localhost", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    application = web.Application()
    application.router.add_get("/{path:.*}", watch)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.sleep(3600)


# -- the informer ------------------------------------------------------------------------------------------------------


async def follow(server: str, ca_pem: bytes, objects: int, events: int) -> dict[str, Any]:
    process = psutil.Process()
    seen, done = 0, asyncio.Event()
    rss = [process.memory_info().rss]

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen > objects and (seen - objects) % (events // _PARTS) == 0:
            rss.append(process.memory_info().rss)
        if seen == objects + events:
            done.set()

    async with ApiClient(Connection(server=server, ca_pem=ca_pem)) as client:
        informer: Informer[Pod] = Informer(client, Pod, field_selector="spec.nodeName=n")
        informer.subscribe(count)
        running = asyncio.create_task(informer.run())
        await informer.synced()
        gc.collect()
        rss.append(process.memory_info().rss)
        began, cpu = time.perf_counter(), time.process_time()
        await done.wait()
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return {
        "events": events,
        "events_per_second": round(events / wall),
        "events_per_cpu_second": round(events / cpu),
        "microseconds_of_cpu_per_event": round(cpu / events * 1e6, 1),
        "held_kb_per_object": round((rss[1] - rss[0]) / objects / 1024, 1),
        "rss_mb": [round(value / (1 << 20), 1) for value in rss[1:]],
    }


def use_core(index: int) -> None:
    """The first, or the last, of those that there are."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--serve", folder),
            *(f"--objects={options.objects}", f"--events={options.events}"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            use_core(0)
            assert server.stdout is not None
            port = int(await server.stdout.readline())
            ca_pem = serving_certificate(Path(folder), "localhost").certificate.read_bytes()
            found = await follow(f"https://127.0.0.1:{port}", ca_pem, options.objects, options.events)
        finally:
            server.kill()
            await server.wait()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=500)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        use_core(-1)
        uvloop.run(serve(given.serve, given.objects, given.events))
    elif given.profile:
        profile = cProfile.Profile()
        profile.runcall(uvloop.run, main(given))
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    else:
        uvloop.run(main(given))
